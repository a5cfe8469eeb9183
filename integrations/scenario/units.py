"""A small MCP server on stdin and stdout, of nothing but the standard library: it converts temperatures."""

from __future__ import annotations

import json
import sys
from typing import Any

TOOL = {
    "name": "to_fahrenheit",
    "description": "Convert a temperature from Celsius to Fahrenheit.",
    "inputSchema": {
        "type": "object",
        "properties": {"celsius": {"type": "number", "description": "The temperature in Celsius."}},
        "required": ["celsius"],
    },
}


def result(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "units", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        fahrenheit = params["arguments"]["celsius"] * 9 / 5 + 32
        return {"content": [{"type": "text", "text": f"{fahrenheit:g} degrees Fahrenheit"}]}
    return {}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        answer = {
            "jsonrpc": "2.0",
            "id": message["id"],
            "result": result(message["method"], message.get("params") or {}),
        }
        print(json.dumps(answer), flush=True)
