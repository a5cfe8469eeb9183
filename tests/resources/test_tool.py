"""Tools of the platform, every method in both modes, against the emulator over signed HTTP and real servers."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentrun.config import Config
from agentrun.credential import Credential, CredentialConfig
from agentrun.errors import (
    InvalidInputError,
    InvalidResponseError,
    ResourceAlreadyExistError,
    ResourceNotExistError,
)
from agentrun.tool import (
    McpConfig,
    Tool,
    ToolClient,
    ToolCodeConfiguration,
    ToolCreateInput,
    ToolCreateMethod,
    ToolListInput,
    ToolType,
    ToolUpdateInput,
    mcp_servers,
)
from agentrun.tool.skills import unpack
from integrations.scenario.platform import UNITS
from integrations.scenario.weather import document, weather_service
from tests.resources.modes import Mode

STREAMABLE = McpConfig(session_affinity="MCP_STREAMABLE")
LOCAL = mcp_servers("units", command="python3", args=["-c", UNITS.read_text()])


@pytest.fixture
def weather() -> Iterator[str]:
    with weather_service() as url:
        yield url


def created(call: Mode, config: Config, name: str = "units", **fields: Any) -> Tool:
    values: dict[str, Any] = {
        "tool_type": ToolType.MCP,
        "create_method": ToolCreateMethod.MCP_LOCAL,
        "protocol_spec": LOCAL,
        "mcp_config": STREAMABLE,
        **fields,
    }
    tool: Tool = call(Tool, "create", config=config, tool_name=name, **values)
    call(tool, "wait_until_ready", interval_seconds=0.05)
    return tool


def skill(**files: str) -> ToolCodeConfiguration:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return ToolCodeConfiguration(zip_file=base64.b64encode(packed.getvalue()).decode())


# The resource


def test_a_tool_is_created_read_changed_listed_and_deleted(call: Mode, config: Config) -> None:
    tool = created(call, config, description="d", environment_variables={"A": "hidden-value"})
    assert (tool.tool_name, tool.name, tool.tool_type, tool.description) == ("units", "units", "MCP", "d")
    assert tool.created_time == tool.created_at
    assert tool.last_modified_time == tool.updated_at
    assert "hidden-value" not in repr(tool)
    found = call(Tool, "get_by_name", "units", config=config)
    assert found.tool_id == tool.tool_id
    call(found, "update", ToolUpdateInput(description="e"))
    assert call(tool, "get").description == "e"
    assert tool.protocol_spec == LOCAL
    created(call, config, "other")
    listed = ToolClient(config).list(ToolListInput(tool_type=ToolType.MCP))
    assert sorted(each.tool_name or "" for each in listed) == ["other", "units"]
    call(Tool, "update_by_name", "other", description="f", config=config)
    call(Tool, "delete_by_name", "other", config=config)
    call(tool, "delete_and_wait_until_finished", interval_seconds=0.05)
    with pytest.raises(ResourceNotExistError):
        call(Tool, "get_by_name", "units", config=config)


def test_the_client_has_the_same_verbs(call: Mode, config: Config) -> None:
    client = ToolClient(config)
    wanted = ToolCreateInput(
        tool_name="a", tool_type=ToolType.MCP, create_method=ToolCreateMethod.MCP_LOCAL, protocol_spec=LOCAL
    )
    call(client, "create", wanted).wait_until_ready(interval_seconds=0.05)
    with pytest.raises(ResourceAlreadyExistError):
        call(client, "create", wanted)
    assert call(client, "get", "a").create_method == "MCP_LOCAL"
    changed = call(client, "update", "a", description="x")
    assert changed.description == "x"
    changed.wait_until_ready(interval_seconds=0.05)
    assert call(client, "delete", "a").tool_name == "a"


def test_what_is_unknown_is_refused_with_a_hint(config: Config) -> None:
    with pytest.raises(InvalidInputError, match="protocol_spec"):
        Tool.create(tool_name="a", tool_type="MCP", create_method="MCP_LOCAL", protocol_spek="x", config=config)
    with pytest.raises(InvalidInputError, match="tool_type"):
        Tool.create(tool_name="a", tool_type="NOPE", create_method="MCP_LOCAL", config=config)


# MCP


def test_a_hosted_mcp_server_is_called_in_one_session(call: Mode, config: Config) -> None:
    tool = created(call, config)
    (info,) = call(tool, "list_tools")
    assert info.name == "to_fahrenheit"
    assert info.parameters is not None
    assert info.parameters.to_json_schema()["required"] == ["celsius"]
    answers = [call(tool, "call_tool", "to_fahrenheit", {"celsius": degrees}).text for degrees in (0, 25)]
    assert answers == ["32 degrees Fahrenheit", "77 degrees Fahrenheit"]
    call(tool, "close")
    assert call(tool, "call_tool", "to_fahrenheit", {"celsius": 100}).text == "212 degrees Fahrenheit"
    call(tool, "close")


def test_a_hosted_mcp_server_is_reached_by_sse_too(call: Mode, config: Config) -> None:
    tool = created(call, config, mcp_config=McpConfig(session_affinity="MCP_SSE"))
    with tool:
        assert call(tool, "call_tool", "to_fahrenheit", {"celsius": -40}).text == "-40 degrees Fahrenheit"


def test_many_callers_share_the_session(config: Config) -> None:
    tool = created(Mode("sync"), config)

    async def ask(degrees: int) -> str:
        answer = await tool.call_tool_async("to_fahrenheit", {"celsius": degrees})
        return str(answer.text)

    async def ask_all() -> list[str]:
        return await asyncio.gather(*map(ask, range(30)))

    with tool:
        assert asyncio.run(ask_all()) == [f"{degrees * 9 / 5 + 32:g} degrees Fahrenheit" for degrees in range(30)]


# APIs


def test_an_api_is_called_at_its_own_server(call: Mode, config: Config, weather: str) -> None:
    spec = json.dumps(document(weather))
    tool = created(
        call,
        config,
        "weather",
        tool_type="FUNCTIONCALL",
        create_method="OPENAPI_IMPORT",
        protocol_spec=spec,
        mcp_config=None,
    )
    assert [info.name for info in call(tool, "list_tools")] == ["get_weather", "send_alert"]
    answer = call(tool, "call_tool", "get_weather", {"city": "Oslo"})
    assert (answer["status_code"], answer["body"]) == (200, {"city": "Oslo", "celsius": -5.0})
    assert call(tool, "call_tool", "get_weather", {"city": "Atlantis"}).status_code == 404
    with pytest.raises(InvalidInputError) as refused:
        call(tool, "call_tool", "send_alert", {"place": {"city": "Oslo"}, "level": "panic"})
    assert refused.value.field == "level"


def test_an_api_with_a_credential_is_called_through_the_platform(call: Mode, config: Config, weather: str) -> None:
    described = document(weather)
    described["components"] = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}
    described["security"] = [{"key": []}]
    Credential.create(
        credential_name="key", credential_config=CredentialConfig.outbound_tool_api_key("hidden"), config=config
    )
    tool = created(
        call,
        config,
        "weather",
        tool_type="FUNCTIONCALL",
        create_method="OPENAPI_IMPORT",
        protocol_spec=json.dumps(described),
        mcp_config=None,
        credential_name="key",
    )
    answer = call(tool, "call_tool", "get_weather", {"city": "Oslo"})
    assert answer["body"]["celsius"] == -5.0
    assert answer["body"]["key"] == "hidden"
    assert "127.0.0.1" in answer["url"]
    assert "/tools/weather/" in answer["url"]


# Skills


def test_a_skill_is_unpacked_and_replaced(call: Mode, config: Config, tmp_path: Path) -> None:
    tool = created(
        call,
        config,
        "greet",
        tool_type="SKILL",
        create_method="CODE_PACKAGE",
        protocol_spec=None,
        mcp_config=None,
        code_configuration=skill(**{"SKILL.md": "# Greet", "run.py": "print('hi')"}),
    )
    folder = Path(call(tool, "download_skill", str(tmp_path)))
    assert folder == tmp_path / "greet"
    assert (folder / "SKILL.md").read_text() == "# Greet"
    (folder / "old.txt").write_text("x")
    call(tool, "download_skill", str(tmp_path))
    assert sorted(path.name for path in folder.iterdir()) == ["SKILL.md", "run.py"]
    assert [path.name for path in tmp_path.iterdir()] == ["greet"]


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/outside.txt", "a/../../outside.txt"])
def test_a_skill_that_leads_outside_is_not_unpacked(tmp_path: Path, name: str) -> None:
    # The emulator refuses to keep such an archive; another platform may not.
    archive = tmp_path / "skill.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(name, "x")
    with pytest.raises(InvalidResponseError, match="outside"):
        unpack(archive, tmp_path / "skill", "evil")
    assert [path.name for path in tmp_path.iterdir()] == ["skill.zip"]


def test_only_skills_are_downloaded_and_only_others_called(call: Mode, config: Config, tmp_path: Path) -> None:
    tool = created(call, config)
    with pytest.raises(InvalidInputError, match="no skill"):
        call(tool, "download_skill", str(tmp_path))
