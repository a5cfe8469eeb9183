"""Tools with their invoker, whatever that is, also as Python functions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.toolset.openapi import ApiSet
from agentrun.toolset.schema import ToolDefinition, ToolInfo
from tests.unit.modes import both_modes, drive
from tests.unit.servers import answer, serving
from tests.unit.toolset.documents import minimal

PARAMETERS = [
    {"name": "city", "in": "query", "required": True, "description": "Which\n city.", "schema": {"type": "string"}},
    {"name": "days", "in": "query", "schema": {"type": "integer"}},
    {"name": "class", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
]
WEATHER = minimal({"summary": "Tells the weather.", "parameters": PARAMETERS})


class Client:
    """Stands for a client of an MCP server."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any], Config | None]] = []

    async def call_tool_async(self, name: str, arguments: Mapping[str, Any], config: Config | None = None) -> str:
        self.calls.append((name, arguments, config))
        return f"{name} called"

    def call_tool(self, name: str, arguments: Mapping[str, Any], config: Config | None = None) -> str:
        return run(self.call_tool_async(name, arguments, config))


ADD = {
    "name": "add",
    "description": "Adds.",
    "inputSchema": {"type": "object", "properties": {"a": {"type": "number"}}},
}


@both_modes
def test_tools_of_a_document(mode: str) -> None:
    with serving(answer({"sun": True}, headers={"content-type": "application/json"})) as server:
        tools = ApiSet.from_openapi_schema(WEATHER, server.url, headers={"X-H": "h"}, query_params={"v": 1})
        assert [tool.name for tool in tools.tools()] == ["call"]
        result = drive(mode, tools.invoke_async("call", {"city": "Hangzhou"}))
        assert result["body"] == {"sun": True}
        assert (server.requests[0].path, server.requests[0].headers["x-h"]) == ("/things?city=Hangzhou&v=1", "h")


@pytest.mark.parametrize(
    "listed",
    [ADD, [ADD], (ADD,), SimpleNamespace(tools=[ADD]), [SimpleNamespace(**ADD)], [ToolInfo.from_mcp_tool(ADD)]],
)
@both_modes
def test_tools_of_an_mcp_server(mode: str, listed: Any) -> None:
    client = Client()
    config = Config(timeout=5)
    tools = ApiSet.from_mcp_tools(listed, client, config)
    found = tools.get_tool("add")
    assert found is not None
    assert (found.description, found.parameters and found.parameters.to_json_schema()) == ("Adds.", ADD["inputSchema"])
    assert drive(mode, tools.invoke_async("add", {"a": 1})) == "add called"
    assert client.calls == [("add", {"a": 1}, config)]


class Engine:
    """Stands for an invoker that has its settings already."""

    async def call_tool_async(self, name: str, arguments: Mapping[str, Any]) -> str:
        return f"{name} {dict(arguments)}"


def test_an_invoker_may_take_no_config() -> None:
    assert ApiSet.from_mcp_tools([ADD], Engine()).invoke("add", {"a": 1}, Config(timeout=5)) == "add {'a': 1}"


def test_a_tool_that_is_not_there() -> None:
    tools = ApiSet.from_mcp_tools([ADD], Client())
    assert tools.get_tool("sub") is None
    with pytest.raises(InvalidInputError, match=r"no tool 'ad'. Did you mean add\?"):
        tools.invoke("ad")
    with pytest.raises(InvalidInputError, match="There are 1 tools: add"):
        tools.to_function_tool("nothing")


def test_an_invoker_must_be_able_to_invoke() -> None:
    with pytest.raises(InvalidInputError, match="has neither invoke_tool_async nor call_tool_async"):
        ApiSet([ToolDefinition("a")], object())


def test_a_tool_as_a_function() -> None:
    with serving(answer({"sun": True}, headers={"content-type": "application/json"})) as server:
        function = ApiSet.from_openapi_schema(WEATHER, server.url).to_function_tool("call")
        assert function(city="Hangzhou", days=2)["body"] == {"sun": True}
        assert function(city="Suzhou", days=None, **{"class": ["a"]}).status_code == 200
        assert [each.path for each in server.requests] == [
            "/things?city=Hangzhou&days=2",
            "/things?city=Suzhou&class=a",
        ]
        with pytest.raises(InvalidInputError, match="call: city is missing"):
            function()
    signature = inspect.signature(function)
    assert (function.__name__, list(signature.parameters)) == ("call", ["city", "days", "arguments"])
    assert signature.parameters["city"].default is inspect.Parameter.empty
    assert signature.parameters["city"].annotation is str
    assert signature.parameters["days"].annotation == Optional[int]  # noqa: UP045  # As libraries compare it.
    assert function.__doc__ == "Tells the weather.\n\nArgs:\n    city: Which city."
