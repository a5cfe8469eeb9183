"""A server of the `mcp` package with one tool, on a port; of either of its lines."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version

port = int(sys.argv[1])
if version("mcp").startswith("1."):
    server = import_module("mcp.server.fastmcp").FastMCP("benchmark", port=port, log_level="ERROR")
    options = {}
else:
    server = import_module("mcp.server.mcpserver").MCPServer("benchmark", log_level="ERROR")
    options = {"port": port}


@server.tool()  # type: ignore[untyped-decorator]  # The class is known when it runs.
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


server.run("streamable-http", **options)
