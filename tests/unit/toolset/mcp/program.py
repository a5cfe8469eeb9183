"""An MCP server by the `mcp` package itself, whichever of its two lines is installed.

usage: program.py stdio | http PORT [stateless] [json] | sse PORT      (port 0: a free one, which is printed)

The file that SEEN names gets a line for each thing worth knowing: a cancelled call, and over HTTP every message.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, TypeAlias

import uvicorn

FIRST_LINE = metadata.version("mcp").startswith("1.")
types: Any = import_module("mcp.types")
serving: Any = import_module("mcp.server.fastmcp" if FIRST_LINE else "mcp.server.mcpserver")
Server: Any = serving.FastMCP if FIRST_LINE else serving.MCPServer
if TYPE_CHECKING:
    Context: TypeAlias = Any
else:
    Context = serving.Context  # By it the server knows which parameter is not an argument.

PIXEL = "iVBORw0KGgo="


def seen(what: str) -> None:
    if "SEEN" in os.environ:
        with open(os.environ["SEEN"], "a") as file:
            file.write(what + "\n")


def wire(model: str, /, **fields: Any) -> Any:
    """One of the package's models, by the names that are on the wire."""
    return getattr(types, model).model_validate(fields)


def build(**settings: Any) -> Any:
    server: Any = Server("testing", instructions="Be kind.", log_level="ERROR", **settings)

    @server.tool()  # type: ignore[untyped-decorator]
    def echo(text: str) -> str:
        """Say it again."""
        return text

    @server.tool()  # type: ignore[untyped-decorator]
    def process() -> str:
        """Which process answers, and where it stands."""
        return f"{os.getpid()} {os.getcwd()} {os.environ.get('GIVEN', '')}"

    @server.tool()  # type: ignore[untyped-decorator]
    def add(a: int, b: int) -> dict[str, int]:
        """Structured output."""
        return {"sum": a + b}

    @server.tool()  # type: ignore[untyped-decorator]
    def fail(why: str) -> str:
        """Raise."""
        raise ValueError(why)

    @server.tool(structured_output=False)  # type: ignore[untyped-decorator]
    def everything() -> list[Any]:
        """One part of each kind."""
        embedded = {"uri": "memo://1", "mimeType": "text/plain", "text": "embedded"}
        return [
            wire("TextContent", type="text", text="first"),
            wire("ImageContent", type="image", data=PIXEL, mimeType="image/png"),
            wire("AudioContent", type="audio", data="AAEC", mimeType="audio/wav"),
            wire("EmbeddedResource", type="resource", resource=embedded),
            wire("ResourceLink", type="resource_link", uri="memo://2", name="second"),
        ]

    @server.tool()  # type: ignore[untyped-decorator]
    async def slow(seconds: float, steps: int, ctx: Context) -> str:
        """Work in steps, and tell of each."""
        try:
            for step in range(steps):
                await asyncio.sleep(seconds / steps)
                await ctx.report_progress(step + 1, steps, f"step {step + 1}")
        except asyncio.CancelledError:
            seen("cancelled")
            raise
        return "done"

    @server.tool()  # type: ignore[untyped-decorator]
    async def grow(name: str, ctx: Context) -> str:
        """Have one more tool from now on."""
        server.add_tool(lambda: name, name=name, description="New.")
        await ctx.session.send_tool_list_changed()
        return "grown"

    @server.tool()  # type: ignore[untyped-decorator]
    async def note(text: str, ctx: Context) -> str:
        """Log it."""
        await ctx.info(text)
        return "noted"

    @server.tool()  # type: ignore[untyped-decorator]
    async def ask(question: str, ctx: Context) -> str:
        """Ask who calls."""
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        answer = await ctx.session.elicit_form(question, schema)
        return f"{answer.action} {answer.content}"

    @server.tool()  # type: ignore[untyped-decorator]
    def leave() -> str:
        """End the process in the middle of a call."""
        os._exit(3)

    @server.resource("memo://greeting")  # type: ignore[untyped-decorator]
    def greeting() -> str:
        return "hello"

    @server.resource("memo://about/{name}")  # type: ignore[untyped-decorator]
    def about(name: str) -> str:
        return f"about {name}"

    @server.prompt()  # type: ignore[untyped-decorator]
    def review(code: str) -> str:
        """Review some code."""
        return f"Review {code}"

    return server


def watched(app: Any) -> Any:
    """The app, noting the messages and the headers that reach it."""

    async def watching(scope: Any, receive: Any, send: Any) -> None:
        async def received() -> Any:
            message = await receive()
            if message["type"] == "http.request" and message.get("body"):
                headers = {name.decode(): value.decode() for name, value in scope["headers"]}
                method = json.loads(message["body"]).get("method")
                seen(json.dumps({"method": method, "headers": headers, "path": scope["path"]}))
            return message

        if scope["type"] == "http" and scope["method"] != "POST":
            seen(json.dumps({"method": scope["method"]}))
        await app(scope, received, send)

    return watching


def main(kind: str, *options: str) -> None:
    if kind == "stdio":
        print("ready to serve", file=sys.stderr, flush=True)
        build().run(transport="stdio")
        return
    listening = socket.create_server(("127.0.0.1", int(options[0])), backlog=512)
    # Connections inherit it. Asyncio only sees to sockets that it made itself, and each answer would take 40 ms more.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(listening.getsockname()[1], flush=True)
    flags = {"stateless_http": "stateless" in options, "json_response": "json" in options}
    if kind == "sse":
        app = build().sse_app()
    elif FIRST_LINE:
        app = build(**flags).streamable_http_app()
    else:
        app = build().streamable_http_app(**flags)
    config = uvicorn.Config(watched(app), log_level="warning", timeout_graceful_shutdown=1)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main(*sys.argv[1:])
