"""Schemas come back as they were, and tools are what servers list."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from agentrun.errors import InvalidInputError
from agentrun.toolset.schema import ToolDefinition, ToolInfo, ToolSchema

EVERYTHING: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    "type": ["object", "null"],
    "title": "All",
    "properties": {
        "kind": {"const": "x"},
        "count": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10, "multipleOf": 2, "default": None},
        "ratio": {"type": "number", "minimum": 0.5},
        "any": True,
        "never": False,
        "node": {"$ref": "#/$defs/node"},
        "list": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "minItems": 1},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
        "choice": {"oneOf": [{"enum": [1, "a", None, {"b": []}]}, {"type": "string", "pattern": "^a"}]},
        "min_length": {"type": "string", "minLength": 1, "maxLength": 3, "format": "uuid"},
    },
    "required": ["kind"],
    "additionalProperties": {"type": "string"},
    "patternProperties": {"^x-": {"type": "string"}},
    "if": {"properties": {"kind": {"const": "x"}}},
    "then": {"required": ["count"]},
    "x-extension": {"anything": [1, 2]},
}


def test_a_schema_comes_back_as_it_was() -> None:
    assert ToolSchema.from_any_openapi_schema(EVERYTHING).to_json_schema() == EVERYTHING


def test_whole_numbers_stay_whole() -> None:
    schema = ToolSchema.from_any_openapi_schema({"minimum": 1, "maximum": 1.5}).to_json_schema()
    assert [type(value) for value in schema.values()] == [int, float]


def test_the_usual_keywords_are_attributes() -> None:
    schema = ToolSchema.from_any_openapi_schema(EVERYTHING)
    assert schema.properties is not None
    listed = schema.properties["list"]
    assert isinstance(listed, ToolSchema)
    assert listed.min_items == 1
    assert isinstance(listed.items, ToolSchema)
    assert isinstance(schema.additional_properties, ToolSchema)
    assert schema.additional_properties.type == "string"


def test_a_schema_made_by_hand_has_what_was_given() -> None:
    inner = ToolSchema(type="array", items=ToolSchema(type="string"), min_items=2)
    schema = ToolSchema(type="object", properties={"names": inner}, required=["names"], additional_properties=False)
    assert schema.to_json_schema() == {
        "type": "object",
        "properties": {"names": {"type": "array", "items": {"type": "string"}, "minItems": 2}},
        "required": ["names"],
        "additionalProperties": False,
    }


def test_a_changed_copy_leaves_the_first_alone() -> None:
    first = ToolSchema.from_any_openapi_schema({"type": "string"})
    second = ToolSchema.from_any_openapi_schema(first)
    second.description = "new"
    assert (first.to_json_schema(), second.to_json_schema()["description"]) == ({"type": "string"}, "new")


class Foreign(BaseModel):
    """A schema of another library's."""

    type: str = "string"


@pytest.mark.parametrize(
    "given",
    [
        {"type": "string"},
        '{"type": "string"}',
        SimpleNamespace(to_map=lambda: {"type": "string"}),
        Foreign(type="string"),
    ],
)
def test_a_schema_comes_in_many_forms(given: Any) -> None:
    assert ToolSchema.from_any_openapi_schema(given).to_json_schema() == {"type": "string"}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (5, None),
        ("{", None),
        (None, None),
        ({"type": 5}, "type"),
        ({"properties": {"a": {"required": "b"}}}, "required"),
    ],
)
def test_what_is_no_schema_is_refused(given: Any, field: str | None) -> None:
    with pytest.raises(InvalidInputError, match="no JSON") as caught:
        ToolSchema.from_any_openapi_schema(given)
    assert field is None or field in str(caught.value.field)


def test_tools_of_mcp_servers() -> None:
    tool = SimpleNamespace(name="add", description="Adds.", inputSchema=EVERYTHING)
    info = ToolInfo.from_mcp_tool(tool)
    assert (info.name, info.description) == ("add", "Adds.")
    assert info.parameters is not None
    assert info.parameters.to_json_schema() == EVERYTHING
    assert info.to_definition() == ToolDefinition("add", "Adds.", EVERYTHING)


@pytest.mark.parametrize("key", ["inputSchema", "input_schema"])
def test_tools_of_mcp_servers_as_fields(key: str) -> None:
    info = ToolInfo.from_mcp_tool({"name": "add", key: {"type": "object", "x": 1}})
    assert info.parameters is not None
    assert info.parameters.to_json_schema() == {"type": "object", "x": 1}


def test_a_tool_without_a_schema_takes_nothing() -> None:
    info = ToolInfo.from_mcp_tool({"name": "now"})
    assert info.parameters is not None
    assert info.parameters.to_json_schema() == {"type": "object", "properties": {}}


def test_a_tool_needs_a_name() -> None:
    with pytest.raises(InvalidInputError, match="no name"):
        ToolInfo.from_mcp_tool({"description": "nameless"})
