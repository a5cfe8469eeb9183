"""Tool sets, every method in both modes, against the emulator over signed HTTP and real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agentrun.config import Config
from agentrun.errors import ConfigError, InvalidInputError, ResourceAlreadyExistError, ResourceNotExistError
from agentrun.integration.builtin import toolset as neutral_toolset
from agentrun.status import Status
from agentrun.tool import mcp_servers
from agentrun.toolset import (
    Authorization,
    SchemaType,
    ToolSet,
    ToolSetClient,
    ToolSetCreateInput,
    ToolSetListInput,
    ToolSetSpec,
    ToolSetUpdateInput,
)
from integrations.scenario.platform import UNITS
from integrations.scenario.weather import document, weather_service
from tests.resources.modes import Mode

UNITS_SPEC = ToolSetSpec.mcp(mcp_servers("units", command="python3", args=["-c", UNITS.read_text()]))


@pytest.fixture
def weather() -> Iterator[str]:
    with weather_service() as url:
        yield url


def created(call: Mode, config: Config, url: str, name: str = "weather", **fields: Any) -> ToolSet:
    auth = fields.pop("auth", None)
    spec = ToolSetSpec.openapi(json.dumps(document(url)), auth)
    found: ToolSet = call(ToolSet, "create", config=config, name=name, spec=spec, **fields)
    return found


def test_a_tool_set_is_created_read_changed_listed_and_deleted(call: Mode, config: Config, weather: str) -> None:
    tools = created(call, config, weather, description="d", labels={"team": "a"})
    assert (tools.name, tools.description, tools.type(), tools.state) == ("weather", "d", SchemaType.OpenAPI, "READY")
    assert tools.state == Status.READY
    assert call(tools, "wait_until_ready", interval_seconds=0.05) is tools
    assert call(ToolSet, "get_by_name", "weather", config=config).uid == tools.uid
    call(tools, "update", ToolSetUpdateInput(description="e"))
    assert (tools.description, tools.generation) == ("e", 2)
    assert call(tools, "publish").generation == 3
    created(call, config, weather, "other", labels={"team": "b"})
    client = ToolSetClient(config)
    assert [each.name for each in client.list(ToolSetListInput(label_selector=["team=a"]))] == ["weather"]
    assert [each.name for each in ToolSet.list_all(keyword="oth", config=config)] == ["other"]
    assert call(ToolSet, "update_by_name", "other", description="f", config=config).description == "f"
    call(ToolSet, "delete_by_name", "other", config=config)
    call(tools, "delete")
    with pytest.raises(ResourceNotExistError):
        call(tools, "get")


def test_the_client_has_the_same_verbs(call: Mode, config: Config, weather: str) -> None:
    client = ToolSetClient(config)
    wanted = ToolSetCreateInput(name="a", spec=ToolSetSpec.openapi(json.dumps(document(weather))))
    call(client, "create", wanted)
    with pytest.raises(ResourceAlreadyExistError):
        call(client, "create", wanted)
    assert call(client, "get", "a").name == "a"
    assert call(client, "update", "a", description="x").description == "x"
    assert call(client, "delete", "a").name == "a"
    assert call(client, "list") == []


def test_the_operations_of_an_api_are_called(call: Mode, config: Config, weather: str) -> None:
    tools = created(call, config, weather)
    assert [info.name for info in call(tools, "list_tools")] == ["get_weather", "send_alert"]
    answer = call(tools, "call_tool", "get_weather", {"city": "Cairo"})
    assert (answer["status_code"], answer["body"]) == (200, {"city": "Cairo", "celsius": 35.0})
    assert answer["url"].endswith("/weather/Cairo")
    with pytest.raises(InvalidInputError) as refused:
        call(tools, "call_tool", "send_alert", {"place": {"city": 1}, "level": "info"})
    assert refused.value.field == "place.city"
    with pytest.raises(InvalidInputError, match="get_weather"):
        call(tools, "call_tool", "get_wether", {})


def test_a_key_travels_and_is_not_shown(call: Mode, config: Config, weather: str) -> None:
    tools = created(call, config, weather, auth=Authorization.api_key("X-Key", "hidden-key"))
    assert "hidden-key" not in repr(tools)
    answer = call(tools, "call_tool", "get_weather", {"city": "Cairo"})
    assert answer["body"]["key"] == "hidden-key"
    assert "hidden-key" not in answer["url"]


def test_an_mcp_server_is_called_in_one_session(call: Mode, config: Config) -> None:
    tools: ToolSet = call(ToolSet, "create", config=config, name="units", spec=UNITS_SPEC)
    assert tools.type() == SchemaType.MCP
    assert [info.name for info in call(tools, "list_tools")] == ["to_fahrenheit"]
    assert call(tools, "call_tool", "to_fahrenheit", {"celsius": 25}).text == "77 degrees Fahrenheit"
    call(tools, "close")
    assert call(tools, "call_tool", "to_fahrenheit", {"celsius": 0}).text == "32 degrees Fahrenheit"
    call(tools, "close")


def test_an_api_set_calls_by_name(config: Config, weather: str) -> None:
    tools = created(Mode("sync"), config, weather)
    api = tools.to_apiset()
    assert [info.name for info in api.tools()] == ["get_weather", "send_alert"]
    assert api.invoke("get_weather", {"city": "Oslo"})["body"]["celsius"] == -5.0
    assert api.to_function_tool("get_weather")(city="Oslo")["status_code"] == 200


def test_a_tool_set_without_a_schema_says_so() -> None:
    with pytest.raises(ConfigError, match="no schema"):
        ToolSet.from_wire({"name": "empty"}).type()


def test_errors_are_errors_of_the_tool(config: Config, weather: str) -> None:
    created(Mode("sync"), config, weather)
    with neutral_toolset("weather", config) as tools:
        ask = next(tool for tool in tools.tools() if tool.name == "get_weather")
        assert ask.outcome({"city": "Oslo"}).text == '{"city": "Oslo", "celsius": -5.0}'
        failed = ask.outcome({"city": "Atlantis"})
        assert failed.is_error
        assert failed.text == 'ToolError: status 404: {"message": "there is no city Atlantis"}'
        assert ask.outcome({"town": "Oslo"}).is_error
