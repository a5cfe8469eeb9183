"""The events of a run as the result of a tool, and as the progress on the way there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from agentrun.integration._outcome import as_text
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.protocols.mcp.library import Report, Wire
from agentrun.server.protocols.media import media_part

_RESOURCES = "agentrun://answer"


def definition(name: str, description: str) -> Wire:
    """The tool as clients see it."""
    message = {"type": "string", "description": "What to ask the agent"}
    session = {"type": "string", "description": "The conversation that this belongs to; another one without it"}
    properties = {"message": message, "session_id": session}
    schema = {"type": "object", "properties": properties, "required": ["message"], "additionalProperties": False}
    return {"name": name, "description": description, "inputSchema": schema}


def failure(message: str, code: str | None = None) -> Wire:
    """The result of a call that failed."""
    more = {"_meta": {"code": code}} if code else {}
    return {"content": [{"type": "text", "text": message}], "isError": True, **more}


async def result(events: AsyncGenerator[AgentEvent, None], report: Report | None) -> Wire:
    """What an agent answers; its words are reported as they come."""
    answer = _Answer()
    said = 0
    async with aclosing(events):
        async for event in events:
            if event.event == EventType.ERROR:
                return failure(str(event.data.get("message")), event.data.get("code"))
            delta = answer.add(event)
            if delta and report is not None:
                said += len(delta)
                await report(said, delta)
    return answer.whole()


class _Answer:
    """What an agent says and makes, in this order."""

    def __init__(self) -> None:
        self._content: list[Wire] = []
        self._pieces: list[str] = []
        self._usage: dict[str, int] = {}

    def add(self, event: AgentEvent) -> str:
        """Take an event, and give what it says in words."""
        said = ""
        if event.event == EventType.TEXT:
            said = str(event.data.get("delta") or "")
        elif event.event == EventType.HITL:
            said = str(event.data.get("prompt") or "")
        elif event.event == EventType.CUSTOM:
            self._add_media(event)
        elif event.event == EventType.USAGE:
            for name, counted in (("inputTokens", "input_tokens"), ("outputTokens", "output_tokens")):
                self._usage[name] = self._usage.get(name, 0) + int(event.data.get(counted) or 0)
        self._pieces += [said] if said else []
        return said

    def whole(self) -> Wire:
        """The result; one without any content has an empty text."""
        self._add_text()
        content = self._content or [{"type": "text", "text": ""}]
        return {"content": content, **({"_meta": {"usage": self._usage}} if self._usage else {})}

    def _add_text(self) -> None:
        if self._pieces:
            self._content.append({"type": "text", "text": "".join(self._pieces)})
            self._pieces = []

    def _add_media(self, event: AgentEvent) -> None:
        part = media_part(str(event.data.get("name") or ""), event.data.get("value"))
        if part is not None:
            self._add_text()
            self._content.append(_content(part, len(self._content)))


def _content(part: dict[str, Any], number: int) -> Wire:
    """A part as a block; images and sound are shown, other bytes are a resource, and what is elsewhere a link."""
    if "data" in part:
        return {"type": "text", "text": as_text(part["data"])}
    media_type = {"mimeType": part["mediaType"]} if "mediaType" in part else {}
    kind = part.get("mediaType", "").partition("/")[0]
    if "url" in part:
        return {"type": "resource_link", "uri": part["url"], "name": part.get("filename") or part["url"], **media_type}
    if kind in ("image", "audio"):
        return {"type": kind, "data": part["raw"], **media_type}
    uri = f"{_RESOURCES}/{part.get('filename') or number}"
    return {"type": "resource", "resource": {"uri": uri, "blob": part["raw"], **media_type}}
