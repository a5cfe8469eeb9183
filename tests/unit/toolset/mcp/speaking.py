"""An MCP server written by hand, for what the `mcp` package's own would not do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.unit.servers import Behaviour, Line, Received, answer

_NUMBERED: list[dict[str, Any]] = [{"name": f"tool-{number}", "inputSchema": {"type": "object"}} for number in range(3)]


def speaking(tools: Sequence[Mapping[str, Any]] = _NUMBERED, result: Mapping[str, Any] | None = None) -> Behaviour:
    """Has no sessions, lists each tool on a page of its own, and answers calls with a result, if there is one."""

    def behave(line: Line, request: Received) -> bool:
        if request.method != "POST":
            return answer(b"", 405)(line, request)
        message = json.loads(request.body)
        if "id" not in message:
            return answer(b"", 202)(line, request)
        body = {"jsonrpc": "2.0", "id": message["id"], **_outcome(message, tools, result)}
        return answer(body, headers={"content-type": "application/json"})(line, request)

    return behave


def _outcome(
    message: Mapping[str, Any], tools: Sequence[Mapping[str, Any]], result: Mapping[str, Any] | None
) -> dict[str, Any]:
    if message["method"] == "initialize":
        version = message["params"]["protocolVersion"]
        about = {"name": "hand", "version": "1"}
        return {"result": {"protocolVersion": version, "capabilities": {}, "serverInfo": about}}
    if message["method"] == "tools/list":
        number = int(message.get("params", {}).get("cursor", 0))
        more = {"nextCursor": str(number + 1)} if number + 1 < len(tools) else {}
        return {"result": {"tools": [tools[number]], **more}}
    if message["method"] == "tools/call" and result is not None:
        return {"result": result}
    return {"error": {"code": -32601, "message": "Method not found"}}
