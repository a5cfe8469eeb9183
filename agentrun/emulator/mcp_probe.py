"""Asks an MCP server behind a bridge which tools it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun._serving.upstream import UpstreamError
from agentrun.emulator.bridge.plan import STREAMABLE
from agentrun.emulator.data.asking import Asking
from agentrun.emulator.wire.envelope import ServiceError

_SESSION = "mcp-session-id"
_MOST_PAGES = 100


class McpProbe:
    """A client that knows as much of MCP as that takes."""

    def __init__(self) -> None:
        self._asking = Asking()

    async def tools(self, socket: Path) -> list[dict[str, Any]]:
        """Name, description and input schema of every tool. Raises ServiceError (503)."""
        client = {"name": "agentrun-emulator", "version": "1"}
        opening = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        headers = await self._opened(socket, opening)
        try:
            await self._told(socket, headers)
            return await self._listed(socket, headers)
        finally:
            await self._asking.ask(socket, "DELETE", STREAMABLE, more=headers)

    async def _opened(self, socket: Path, opening: dict[str, Any]) -> dict[str, str]:
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": opening}
        try:
            status, answer, headers = await self._asking.ask_whole(socket, "POST", STREAMABLE, body=message)
        except UpstreamError as error:
            raise _unavailable(str(error)) from error
        if status != 200 or not is_object(answer) or "result" not in answer or _SESSION not in headers:
            raise _unavailable(f"it answers {status} to initialize")
        return {_SESSION: headers[_SESSION]}

    async def _told(self, socket: Path, headers: dict[str, str]) -> None:
        message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await self._asking.ask(socket, "POST", STREAMABLE, body=message, more=headers)

    async def _listed(self, socket: Path, headers: dict[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: Any = None
        for number in range(1, _MOST_PAGES):
            params = {"cursor": cursor} if cursor else {}
            message = {"jsonrpc": "2.0", "id": number, "method": "tools/list", "params": params}
            _, answer = await self._asking.ask(socket, "POST", STREAMABLE, body=message, more=headers)
            result = answer.get("result") if is_object(answer) else None
            if not is_object(result) or not is_list(result.get("tools")):
                raise _unavailable("it has no list of tools")
            found += [_shown(tool) for tool in result["tools"] if is_object(tool)]
            cursor = result.get("nextCursor")
            if not cursor:
                break
        return found

    def close(self) -> None:
        """Close connections."""
        self._asking.close()


def _shown(tool: dict[str, Any]) -> dict[str, Any]:
    return {name: tool[name] for name in ("name", "description", "inputSchema") if name in tool}


def _unavailable(reason: str) -> ServiceError:
    return ServiceError(503, "ERR_TOOL_UNAVAILABLE", f"the MCP server cannot be asked for its tools: {reason}")
