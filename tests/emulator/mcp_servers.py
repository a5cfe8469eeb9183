"""MCP servers that tests upload: one with the standard library alone, one with the `mcp` package."""

from __future__ import annotations

import json
from typing import Any

from tests.emulator import bodies
from tests.emulator.agents import wait_until
from tests.emulator.signed import API, Account

TOOLS = f"{API}/agents/tools"

# Starts at once. Its tools tell what it is, what it sees and what it may do; `count` shows that it has a state.
PLAIN = """
import json, os, socket, sys, time

COUNT = 0

def connect(port):
    try:
        socket.create_connection(("127.0.0.1", int(port)), timeout=2).close()
        return "connected"
    except OSError as error:
        return type(error).__name__

def read(path):
    try:
        return open(path).read(100)
    except OSError as error:
        return type(error).__name__

def count():
    global COUNT
    COUNT += 1
    return COUNT

def slowly(seconds, token=None):
    for step in range(3):
        say({"method": "notifications/progress", "params": {"progressToken": token, "progress": step, "total": 3}})
        time.sleep(float(seconds) / 3)
    return "done"

def ask():
    say({"id": "mine", "method": "roots/list"})
    return json.loads(sys.stdin.readline())["result"]

TOOLS = {
    "ask": ask,
    "announce": lambda: "announced",
    "pid": os.getpid,
    "count": count,
    "environment": lambda: dict(os.environ),
    "folder": lambda: sorted(os.listdir(".")),
    "crash": lambda: os._exit(3),
    "connect": connect,
    "read": read,
    "echo": lambda text: text,
    "print": lambda text: print(text, flush=True) or "printed",
}

def say(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

def answer(method, params):
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "plain", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in (*TOOLS, "slowly")]}
    if method == "tools/call":
        arguments = params.get("arguments") or {}
        if params["name"] == "slowly":
            found = slowly(arguments["seconds"], params.get("_meta", {}).get("progressToken"))
        else:
            found = TOOLS[params["name"]](**arguments)
        return {"content": [{"type": "text", "text": json.dumps(found)}]}
    return {}

print("the server has started", file=sys.stderr, flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and "method" in message:
        params = message.get("params") or {}
        say({"id": message["id"], "result": answer(message["method"], params)})
        if params.get("name") == "announce":
            say({"method": "notifications/tools/list_changed"})
"""

# The package has another name for the same class in its second version.
PACKAGED = """
try:
    from mcp.server import MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server

server = Server("packaged")

@server.tool()
def add(a: int, b: int) -> int:
    "The sum."
    return a + b

@server.tool()
def fail() -> str:
    "Never works."
    raise ValueError("it never works")

@server.resource("note://today")
def note() -> str:
    "A note."
    return "buy milk"

server.run()
"""

# Speaks HTTP itself, on the port that it is given.
LISTENING = """
import os
try:
    from mcp.server import MCPServer as Server
    server, options = Server("listening"), {"port": int(os.environ["PORT"])}
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server
    server, options = Server("listening", port=int(os.environ["PORT"])), {}

@server.tool()
def greet(name: str) -> str:
    "A greeting."
    return f"hello {name}"

server.run(transport="%s", **options)
"""


def local(command: str, *arguments: str, **environment: str) -> str:
    """The specification of a server that is a program."""
    server = {"command": command, "args": list(arguments), "env": environment}
    return json.dumps({"mcpServers": {"server": server}})


def remote(url: str, **entry: Any) -> str:
    """The specification of a server that is elsewhere."""
    return json.dumps({"mcpServers": {"server": {"url": url, **entry}}})


def packaged(source: str, name: str = "tool", **changes: Any) -> dict[str, Any]:
    """An MCP tool whose server is one file of Python."""
    code = bodies.code(bodies.zipped({"main.py": source}), command=["python3", "main.py"])
    tool = {"toolName": name, "toolType": "MCP", "createMethod": "CODE_PACKAGE", "codeConfiguration": code}
    return {**tool, **changes}


def settled(account: Account, name: str) -> dict[str, Any]:
    """A tool once nothing is under way any more."""

    def look() -> dict[str, Any] | None:
        shown: dict[str, Any] = account.done("GET", f"{TOOLS}/{name}")
        return shown if not shown["status"].endswith("ING") else None

    found: dict[str, Any] = wait_until(look, 60)
    return found


def made(account: Account, tool: dict[str, Any]) -> dict[str, Any]:
    """A tool that was created and works."""
    account.done("POST", TOOLS, tool)
    shown = settled(account, tool["toolName"])
    assert shown["status"] == "READY", shown
    return shown
