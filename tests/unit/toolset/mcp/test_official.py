"""The official client's names, which keep one session too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentrun import Config
from agentrun.errors import InvalidInputError
from agentrun.toolset.mcp import MCPSession, MCPToolSet, ToolMCPSession
from tests.unit.modes import MODES, drive
from tests.unit.toolset.mcp.mcp_servers import McpServer, serving

pytestmark = pytest.mark.xdist_group("mcp")

KEY = Config(access_key_id="AK", access_key_secret="SK", account_id="1")


@pytest.fixture
def sse(tmp_path: Path) -> Iterator[McpServer]:
    with serving(tmp_path, "sse") as running:
        yield running


@pytest.mark.parametrize("mode", MODES)
def test_a_tool_set_lists_and_calls_over_one_session(sse: McpServer, mode: str) -> None:
    tools = MCPToolSet(sse.url, KEY)
    echo = next(tool for tool in drive(mode, tools.tools_async()) if tool.name == "echo")
    assert echo.parameters is not None
    assert echo.parameters.to_json_schema()["properties"]["text"]["type"] == "string"
    for _ in range(3):
        assert drive(mode, tools.call_tool_async("echo", {"text": "x"})).text == "x"
    assert sse.count("initialize") == 1
    assert drive(mode, tools.call_tool_async("echo", {"text": "y"}, Config(account_id="2"))).text == "y"
    assert sse.count("initialize") == 2
    drive(mode, tools.close_async())


def test_a_session_is_used_with_with(sse: McpServer) -> None:
    async def scenario() -> str:
        async with MCPToolSet(sse.url).new_session() as session:
            assert session.toolsets() is session.toolsets()
            return (await session.call_tool_async("echo", {"text": "awaited"})).text

    assert asyncio.run(scenario()) == "awaited"
    with MCPSession(sse.url) as session:
        assert "echo" in [tool.name for tool in session.list_tools()]


@pytest.mark.parametrize("affinity", ["MCP_STREAMABLE", "MCP_SSE", None])
@pytest.mark.parametrize("signed", [True, False])
def test_a_tool_is_reached_by_its_affinity(tmp_path: Path, affinity: str | None, signed: bool) -> None:
    with serving(tmp_path, "http" if affinity == "MCP_STREAMABLE" else "sse") as server:
        base = server.url.rpartition("/")[0]
        config = KEY.update(Config(data_endpoint=base, headers={"X-Own": "1"}))
        session = ToolMCPSession(server.url, affinity, {"X-Given": "2"}, config, signed)
        assert session.is_streamable == (affinity == "MCP_STREAMABLE")
        assert "echo" in [tool.name for tool in session.list_tools()]
        assert session.call_tool("echo", {"text": "x"}).text == "x"
        session.close()
        sent = [message["headers"] for message in server.messages if "headers" in message]
    assert sent
    assert all((each["x-own"], each["x-given"]) == ("1", "2") for each in sent)
    assert all(("agentrun-authorization" in each) == signed for each in sent)


def test_a_tool_without_an_endpoint_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="endpoint"):
        ToolMCPSession("")
