"""Runs that clients of AG-UI ask for, as questions to an agent."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_camel
from starlette.requests import Request

from agentrun._core.values import is_list, is_object
from agentrun._serving.openai_error import bad_request
from agentrun.server.model import AgentRequest, Message, Tool
from agentrun.server.protocols.reading import listed, validated

_ROLES = {"developer": "system", "reasoning": "assistant"}
_MORE = ("state", "context", "forwarded_props", "thread_id", "run_id", "parent_run_id", "resume")


def read(request: Request, body: dict[str, Any]) -> AgentRequest:
    """The question of a run; raises ApiError, which says which field is wrong."""
    more = {name: _field(body, name) for name in _MORE}
    more["thread_id"] = str(more["thread_id"] or uuid.uuid4())
    more["run_id"] = str(more["run_id"] or uuid.uuid4())
    found = AgentRequest(
        protocol="agui",
        messages=[
            _message(entry, f"messages[{index}]")
            for index, entry in enumerate(listed(body, "messages"))
            if not _is_display(entry)
        ],
        stream=True,
        tools=[_tool(entry, f"tools[{index}]") for index, entry in enumerate(listed(body, "tools"))] or None,
        session_id=more["thread_id"],
        user_id=_user(more["forwarded_props"]),
        raw_request=request,
    )
    return found.with_more({name: value for name, value in more.items() if value is not None})


def _field(document: Mapping[str, Any], name: str) -> Any:
    """A field under its name on the wire, or the one that Python programs send."""
    found = document.get(to_camel(name))
    return document.get(name) if found is None else found


def _user(forwarded: Any) -> str | None:
    found = _field(forwarded, "user_id") if is_object(forwarded) else None
    return None if found is None else str(found)


def _is_display(entry: Any) -> bool:
    """Whether a message is there for eyes only: what an activity shows was never said."""
    return is_object(entry) and entry.get("role") == "activity"


def _message(entry: Any, path: str) -> Message:
    if not is_object(entry):
        raise bad_request(f"{path} is a {type(entry).__name__}, not an object", "invalid_type", path)
    role, content = entry.get("role"), entry.get("content")
    if is_list(content):
        content = [_part(part) if is_object(part) else part for part in content]
    said = {"reasoning_content": content} if role == "reasoning" else {"content": content}
    document = {
        **said,
        "id": entry.get("id"),
        "role": _ROLES.get(str(role), role),
        "name": entry.get("name"),
        "tool_calls": _field(entry, "tool_calls"),
        "tool_call_id": _field(entry, "tool_call_id"),
    }
    return validated(Message, document, path)


def _part(part: dict[str, Any]) -> dict[str, Any]:
    """An image as agents know it from other protocols; other parts stay what they are."""
    if part.get("type") == "image" and is_object(source := part.get("source")):
        return {"type": "image_url", "image_url": {"url": _url(source)}}
    if part.get("type") == "binary" and str(_field(part, "mime_type")).startswith("image/"):
        source = {"value": part.get("data"), "type": "data", "mime_type": _field(part, "mime_type")}
        return {"type": "image_url", "image_url": {"url": part.get("url") or _url(source)}}
    return part


def _url(source: Mapping[str, Any]) -> str:
    if source.get("type") == "data":
        return f"data:{_field(source, 'mime_type')};base64,{source.get('value')}"
    return str(source.get("value"))


def _tool(entry: Any, path: str) -> Tool:
    if is_object(entry) and "function" not in entry:
        if not isinstance(entry.get("name"), str):
            raise bad_request(f"{path}.name is missing: a tool is called by it", "invalid_value", f"{path}.name")
        entry = {"function": {name: entry[name] for name in ("name", "description", "parameters") if name in entry}}
    return validated(Tool, entry, path)
