"""Structured output against the schema by which its tool promises it."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun.errors import Executed, InvalidResponseError
from agentrun.toolset.mcp import McpClient
from tests.unit.modes import MODES, drive
from tests.unit.servers import serving
from tests.unit.toolset.mcp.speaking import speaking

pytestmark = pytest.mark.xdist_group("mcp")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"sum": {"type": "integer"}, "of": {"type": "array", "items": {"type": "integer"}}},
    "required": ["sum"],
}


def tool(schema: Any = SCHEMA) -> dict[str, Any]:
    return {"name": "add", "inputSchema": {"type": "object"}, "outputSchema": schema}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a value": ({"structuredContent": {"sum": "a secret"}}, r"\$\.sum breaks 'type'"),
    "deep inside": ({"structuredContent": {"sum": 1, "of": [1, "a secret"]}}, r"\$\.of\[1\] breaks 'type'"),
    "something missing": ({"structuredContent": {}}, r"breaks 'required'"),
    "none at all": ({}, "there is none"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WRONG)
def test_output_that_does_not_fit_is_refused(name: str, mode: str) -> None:
    result, text = WRONG[name]
    with (
        serving(speaking(tools=[tool()], result={"content": [], **result})) as server,
        McpClient(f"{server.url}/mcp", timeout=60) as client,
    ):
        client.list_tools()
        with pytest.raises(InvalidResponseError, match=text) as caught:
            drive(mode, client.call_tool_async("add"))
        assert caught.value.executed is Executed.YES
        assert "'add'" in str(caught.value)
        assert "a secret" not in str(caught.value)


def test_tools_that_nobody_listed_are_asked_for_once() -> None:
    made = speaking(tools=[tool()], result={"content": [], "structuredContent": {"sum": 3}})
    with serving(made) as server, McpClient(f"{server.url}/mcp", timeout=60) as client:
        for _ in range(3):
            assert client.call_tool("add").structured == {"sum": 3}
        assert sum(b"tools/list" in request.body for request in server.requests) == 1


def test_a_promise_that_changed_meanwhile_is_the_one_that_counts() -> None:
    tools = [tool()]
    result: dict[str, Any] = {"content": [], "structuredContent": {"sum": 3}}
    with (
        serving(speaking(tools=tools, result=result)) as server,
        McpClient(f"{server.url}/mcp", timeout=60) as client,
    ):
        client.list_tools()
        tools[0] = tool({"type": "object", "required": ["total"]})
        result["structuredContent"] = {"total": 3}
        assert client.call_tool("add").structured == {"total": 3}


@pytest.mark.parametrize(
    ("schema", "result", "check"),
    [
        (SCHEMA, {"structuredContent": {"sum": "x"}, "isError": True}, True),
        (SCHEMA, {"structuredContent": {"sum": "x"}}, False),
        ({"type": "object", "properties": {"sum": {"type": "no such"}}}, {"structuredContent": {"sum": "x"}}, True),
        (None, {"structuredContent": {"sum": "x"}}, True),
    ],
    ids=["an error", "not asked to", "an unusable schema", "no schema"],
)
def test_output_is_given_as_it_is(schema: Any, result: dict[str, Any], check: bool) -> None:
    with (
        serving(speaking(tools=[tool(schema)], result={"content": [], **result})) as server,
        McpClient(f"{server.url}/mcp", timeout=60, check_output=check) as client,
    ):
        client.list_tools()
        assert client.call_tool("add").structured == {"sum": "x"}
