"""The smallest value of a JSON schema, and what does not fit one."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from agentrun._serving.openai_error import ApiError
from agentrun.emulator.scripted.example import NoExampleError
from agentrun.emulator.scripted.schema import OutputFormat

NODE = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "array"}]}}}
BASE = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, ""),
        ({"const": [1]}, [1]),
        ({"enum": ["b", "a"]}, "b"),
        ({"type": "string", "default": "d"}, "d"),
        ({"type": "string", "minLength": 3}, "xxx"),
        ({"type": "string", "format": "date"}, "2000-01-01"),
        ({"type": "integer"}, 0),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3, "multipleOf": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": -4}, 0),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "number", "minimum": 0.2, "maximum": 0.4, "multipleOf": 0.25}, 0.25),
        ({"type": "boolean"}, False),
        ({"type": ["integer", "null"]}, None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, 0),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"prefixItems": [{"type": "integer"}, {"type": "string"}]}, [0, ""]),
        ({"properties": {"a": {}, "b": {"type": "null"}}, "required": ["b"]}, {"b": None}),
        ({"type": "object", "required": ["any"]}, {"any": ""}),
        ({"allOf": [BASE, {"properties": {"b": {"type": "string"}}, "required": ["b"]}]}, {"a": 0, "b": ""}),
        ({"$defs": {"Base": BASE}, "allOf": [{"$ref": "#/$defs/Base"}]}, {"a": 0}),
        ({"$defs": {"a/b": BASE}, "$ref": "#/$defs/a~1b"}, {"a": 0}),
        ({"$defs": {"Node": {**NODE, "required": ["next"]}}, "$ref": "#/$defs/Node"}, {"next": []}),
    ],
)
def test_the_smallest_value(schema: dict[str, Any], expected: object) -> None:
    wanted = OutputFormat(schema, "schema")
    assert wanted.example() == expected
    assert wanted.fault_of(expected) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^[0-9]{5}$"},
        {"$defs": {"Node": {**BASE, "properties": {"a": {"$ref": "#/$defs/Node"}}}}, "$ref": "#/$defs/Node"},
        {"type": "integer", "minimum": 1, "maximum": 0},
        {"type": "array", "minItems": 2, "uniqueItems": True},
        {"anyOf": []},
        {"not": {}},
    ],
)
def test_no_value_is_found(schema: dict[str, Any]) -> None:
    with pytest.raises((NoExampleError, ApiError)):
        OutputFormat(schema, "schema").example()


def test_a_fault_names_the_path() -> None:
    wanted = OutputFormat({"properties": {"list": {"items": BASE}}}, "schema")
    assert wanted.fault_of({"list": [{"a": 1}, {"a": "x"}]}) == "$.list[1].a: 'x' is not of type 'integer'"
    assert wanted.fault_of({"list": [{"a": 1}]}) is None


def test_the_dialect_of_the_schema_counts() -> None:
    draft_7 = "http://json-schema.org/draft-07/schema#"
    items = {"items": [{"type": "integer"}], "additionalItems": False}
    assert OutputFormat({"$schema": draft_7, **items}, "schema").fault_of([1, 2]) is not None
    with pytest.raises(ApiError, match="no JSON schema"):
        OutputFormat(items, "schema")


def test_the_emulator_loads_neither_schemas_nor_yaml_before_somebody_needs_them() -> None:
    code = "import sys, agentrun.emulator.daemon; print({'jsonschema', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
