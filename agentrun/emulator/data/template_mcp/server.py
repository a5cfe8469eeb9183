"""An MCP server for one session, whose tools are those of a sandbox."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentrun import __version__
from agentrun._core.values import is_list, is_object
from agentrun._sandbox_tools.definitions import ToolDescription
from agentrun._sandbox_tools.schema import checked
from agentrun.emulator.bridge.messages import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Message,
    failure,
    read,
    response,
)
from agentrun.emulator.bridge.session import Received
from agentrun.emulator.data.template_mcp.calls import call_of
from agentrun.emulator.data.template_mcp.sandbox import SessionSandbox, ToolFailed
from agentrun.errors import InvalidInputError

log = logging.getLogger("agentrun.emulator")
VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
_PICTURES = ("image/png", "image/jpeg")


class SandboxServer:
    """Answers the messages of one client; calls of tools run side by side and can be cancelled."""

    def __init__(self, sandbox: SessionSandbox, tools: Sequence[ToolDescription], received: Received) -> None:
        self._sandbox = sandbox
        self._tools = {tool.name: tool for tool in tools}
        self._received = received
        self._calls: dict[str, asyncio.Task[None]] = {}

    async def send(self, message: Message) -> None:
        """Take a message; the answer comes when it is ready."""
        if message.method == "notifications/cancelled":
            if call := self._calls.get(json.dumps(message.params.get("requestId"))):
                call.cancel()
        elif message.is_request and message.method == "tools/call":
            assert message.id is not None
            task = asyncio.get_running_loop().create_task(self._call(message))
            self._calls[message.id] = task
        elif message.is_request:
            self._received(read(self._answer(message)))

    async def close(self) -> None:
        """End what is under way, and the sandbox."""
        for call in self._calls.values():
            call.cancel()
        await asyncio.gather(*self._calls.values(), return_exceptions=True)
        await self._sandbox.close()

    def _answer(self, message: Message) -> bytes:
        if message.method == "initialize":
            return response(message.id, _initialized(message.params))
        if message.method == "ping":
            return response(message.id, {})
        if message.method == "tools/list":
            return response(message.id, {"tools": [_shown(tool) for tool in self._tools.values()]})
        return failure(message.id, METHOD_NOT_FOUND, f"Method not found: {message.method}")

    async def _call(self, message: Message) -> None:
        try:
            self._received(read(await self._called(message)))
        except Exception:
            log.exception("the tool %s failed", message.params.get("name"))
            self._received(read(failure(message.id, INTERNAL_ERROR, "the emulator failed; its log says more")))
        finally:
            self._calls.pop(message.id or "", None)

    async def _called(self, message: Message) -> bytes:
        tool = self._tools.get(str(message.params.get("name")))
        if tool is None:
            known = ", ".join(self._tools)
            return failure(message.id, INVALID_PARAMS, f"Unknown tool: {message.params.get('name')}; there are {known}")
        try:
            arguments = checked(tool.name, tool.parameters, message.params.get("arguments") or {})
            call = call_of(tool.name, arguments)
            answer = await self._sandbox.perform(call)
        except (ToolFailed, InvalidInputError) as error:
            return response(message.id, {"content": [_text({"error": str(error)})], "isError": True})
        result = call.result(answer)
        content = [_text(result), *_pictures(answer)]
        return response(message.id, {"content": content, "structuredContent": result, "isError": False})


def _initialized(params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = params.get("protocolVersion")
    return {
        "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "agentrun-sandbox", "version": __version__},
    }


def _shown(tool: ToolDescription) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "inputSchema": tool.parameters}


def _text(value: Any) -> dict[str, str]:
    return {"type": "text", "text": json.dumps(value, ensure_ascii=False)}


def _pictures(answer: Any) -> Iterator[dict[str, str]]:
    """The pictures that code has displayed."""
    entries: Any = answer.get("results") if is_object(answer) else None
    for entry in entries if is_list(entries) else ():
        data = entry.get("data") if is_object(entry) else None
        for kind in _PICTURES:
            if is_object(data) and isinstance(data.get(kind), str):
                yield {"type": "image", "data": data[kind], "mimeType": kind}
