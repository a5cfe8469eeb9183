"""Tools: converting many of them, and what a call costs beside a bare one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from agentrun.integration._toolset import CommonToolSet
from agentrun.toolset import OpenAPI, ToolSet
from agentrun.toolset.mcp import McpClient
from benchmarks.call_overhead import stub, timed, timed_async
from benchmarks.emulator import free_port
from benchmarks.import_cost import cost
from benchmarks.peers import python_with
from benchmarks.report import Figure, median

ROOT = Path(__file__).parent.parent
LANGCHAIN = ("langchain", ("--editable", f"{ROOT}[tools,model]", "langchain-core==1.8.3", "langchain-openai==1.7.4"))
TOOLS, ROUNDS, CALLS = 1000, 40, 200
CORE = "from langchain_core.tools import StructuredTool, ToolException"
CONVERT = """
import json, sys, time
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.langchain import to_tool
from agentrun.toolset import ToolSet
found = ToolSet.from_wire(json.load(sys.stdin))
began = time.perf_counter()
tools = CommonToolSet.from_agentrun_toolset(found).converted(to_tool)
assert len(tools) == 1000
print(time.perf_counter() - began)
"""


def many() -> dict[str, Any]:
    """A tool set of a thousand operations, as the service answers it."""
    body = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "description": "What it is called."},
            "kind": {"type": "string", "enum": ["small", "large"], "default": "small"},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
        },
    }
    part = {
        "type": "object",
        "properties": {"size": {"type": "number"}, "inner": {"$ref": "#/components/schemas/Part"}},
    }
    paths = {
        f"/things{number}/{{id}}": {
            "post": {
                "operationId": f"change_thing_{number}",
                "summary": "Change a thing.",
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "requestBody": {"content": {"application/json": {"schema": body}}},
                "responses": {"200": {"description": "Done."}},
            }
        }
        for number in range(TOOLS)
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Many", "version": "1"},
        "servers": [{"url": "http://127.0.0.1:1"}],
        "paths": paths,
        "components": {"schemas": {"Part": part}},
    }
    return {"name": "many", "spec": {"schema": {"type": "OpenAPI", "detail": json.dumps(document)}}}


def neutral() -> float:
    """Seconds for a thousand neutral tools, from the document's text to what OpenAI takes."""
    answer = many()
    began = time.perf_counter()
    found = CommonToolSet.from_agentrun_toolset(ToolSet.from_wire(answer))
    assert len(found.to_openai_function()) == TOOLS
    return time.perf_counter() - began


def langchain(python: Path) -> float:
    """Seconds for a thousand tools of LangChain."""
    done = subprocess.run(
        [python, "-c", CONVERT], input=json.dumps(many()), capture_output=True, text=True, check=True, cwd="/"
    )
    return float(done.stdout)


def api(port: int) -> OpenAPI:
    """The stub's one operation."""
    parameter = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    answers = {"200": {"description": "A credential."}}
    operation = {"operationId": "get_credential", "parameters": [parameter], "responses": answers}
    return OpenAPI(
        {
            "openapi": "3.1.0",
            "info": {"title": "Stub", "version": "1"},
            "servers": [{"url": f"http://127.0.0.1:{port}"}],
            "paths": {"/credentials/{name}": {"get": operation}},
        }
    )


def overheads(port: int) -> tuple[float, float, float, float]:
    """Median milliseconds of a call of a tool and of bare httpx, in both modes."""
    url, tools = f"http://127.0.0.1:{port}/credentials/key", api(port)
    arguments = {"name": "key"}
    ours: list[float] = []
    bare: list[float] = []
    with httpx.Client() as client:
        for _ in range(ROUNDS):
            bare.append(timed(lambda: client.get(url).json()))
            ours.append(timed(lambda: tools.invoke_tool("get_credential", arguments)))

    async def awaited() -> tuple[float, float]:
        theirs: list[float] = []
        mine: list[float] = []
        async with httpx.AsyncClient() as client:
            for _ in range(ROUNDS):
                theirs.append(await timed_async(lambda: client.get(url)))
                mine.append(await timed_async(lambda: tools.invoke_tool_async("get_credential", arguments)))
        return median(mine), median(theirs)

    return median(ours), median(bare), *asyncio.run(awaited())


@contextmanager
def mcp_server() -> Generator[str]:
    """The URL of a server of the `mcp` package."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.mcp_server", str(port)], stderr=subprocess.DEVNULL
    ) as server:
        url = f"http://127.0.0.1:{port}/mcp"
        try:
            while not _answers(url):
                time.sleep(0.05)
            yield url
        finally:
            server.kill()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def mcp(url: str) -> tuple[float, float, float]:
    """Median milliseconds of a call: on the kept session in both modes, and with a session for each call."""
    with McpClient(url) as client:
        kept = [_timed(lambda: client.call_tool("add", {"a": 1, "b": 2})) for _ in range(CALLS)]

        async def awaited() -> list[float]:
            took: list[float] = []
            for _ in range(CALLS):
                began = time.perf_counter()
                await client.call_tool_async("add", {"a": 1, "b": 2})
                took.append((time.perf_counter() - began) * 1000)
            return took

        kept_async = asyncio.run(awaited())

    def once() -> None:
        with McpClient(url) as fresh:
            fresh.call_tool("add", {"a": 1, "b": 2})

    return median(kept), median(kept_async), median([_timed(once) for _ in range(20)])


def _timed(call: Any) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def run() -> list[Figure]:
    """The figures."""
    figures = [Figure("1,000 tools of an API, as OpenAI takes them", median([neutral() for _ in range(5)]), "s", 1)]
    python = python_with(*LANGCHAIN)
    if python:
        seconds = median([langchain(python) for _ in range(5)])
        figures.append(Figure("1,000 tools of an API, as LangChain's", seconds, "s", 1))
        both, _ = cost(python, f"{CORE}; import agentrun.integration.langchain")
        alone, _ = cost(python, CORE)
        note = f"{both:.0f} ms over {alone:.0f} ms"
        figures.append(
            Figure("`import agentrun.integration.langchain` over LangChain", both - alone, "ms", 50, "", note)
        )
    with stub() as port:
        ours, bare, ours_async, bare_async = overheads(port)
    for mode, mine, theirs in (("", ours, bare), (", awaited", ours_async, bare_async)):
        note = f"{mine:.2f} ms over {theirs:.2f} ms"
        figures.append(
            Figure(f"a call of an API's tool over bare httpx{mode}", (mine / theirs - 1) * 100, "%", 15, "", note)
        )
    with mcp_server() as url:
        kept, kept_async, fresh = mcp(url)
    peer = f"a session for each call: {fresh:.1f} ms"
    figures.append(Figure("a call of an MCP tool on the kept session", kept, "ms", 3, peer))
    figures.append(Figure("a call of an MCP tool on the kept session, awaited", kept_async, "ms", 3, peer))
    return figures
