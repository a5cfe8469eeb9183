"""Arguments of tools as models of pydantic, for frameworks that want such a model."""

from __future__ import annotations

from typing import Any

from agentrun.integration._arguments import arguments_of
from agentrun.integration._tool import Tool

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"place": {"$ref": "#/$defs/Place"}, "level": {"enum": ["a", "b"], "default": "a"}},
    "required": ["place"],
    "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


async def nothing(arguments: dict[str, Any]) -> Any:
    return None


def test_the_schema_is_the_tools_own() -> None:
    model = arguments_of(Tool("warn", "Warn.", SCHEMA, perform=nothing))
    assert model.model_json_schema() == SCHEMA
    model.model_json_schema()["properties"].clear()
    assert model.model_json_schema() == SCHEMA


def test_tools_do_not_share_a_schema_and_one_without_properties_has_none() -> None:
    first = arguments_of(Tool("warn", "Warn.", SCHEMA, perform=nothing))
    second = arguments_of(Tool("wait", "Wait.", {"type": "object"}, perform=nothing))
    assert second.model_json_schema() == {"type": "object", "properties": {}}
    assert first.model_json_schema() == SCHEMA


def test_arguments_go_through_as_they_are() -> None:
    model = arguments_of(Tool("warn", "Warn.", SCHEMA, perform=nothing))
    given = {"place": {"city": "Oslo"}, "model_config": 1, "schema": None}
    assert model.model_validate(given).model_dump() == given
