"""Keywords of OpenAPI 3.0 in JSON Schema 2020-12."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agentrun.toolset.dialect import translated

SAME: list[dict[str, Any]] = [
    {"type": "string", "format": "uuid", "minLength": 1, "maxLength": 5, "pattern": "^a"},
    {"type": ["string", "null"], "const": 1, "enum": [1, None]},
    {"type": "number", "exclusiveMinimum": 1, "multipleOf": 0.5},
    {"properties": {"example": {"type": "string"}}, "required": ["example"]},
    {"contentEncoding": "base64", "contentMediaType": "image/png", "deprecated": True},
]


@pytest.mark.parametrize("schema", SAME)
def test_what_is_2020_12_stays(schema: dict[str, Any]) -> None:
    assert translated(schema) == schema


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"type": "string", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"enum": ["a"], "nullable": True}, {"anyOf": [{"enum": ["a", None]}, {"type": "null"}]}),
        (
            {"$ref": "#/$defs/a", "nullable": True, "description": "d"},
            {"description": "d", "anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]},
        ),
        (
            {"allOf": [{"type": "string"}], "nullable": True},
            {"anyOf": [{"allOf": [{"type": "string"}]}, {"type": "null"}]},
        ),
        ({"nullable": True}, {}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"minimum": 1, "exclusiveMinimum": False}, {"minimum": 1}),
        ({"maximum": 1, "exclusiveMaximum": True}, {"exclusiveMaximum": 1}),
        ({"type": "string", "example": "a"}, {"type": "string", "examples": ["a"]}),
        ({"type": "string", "example": "a", "examples": ["b"]}, {"type": "string", "examples": ["b"]}),
        ({"type": "object", "xml": {"name": "a"}, "discriminator": {}, "x-internal": 1}, {"type": "object"}),
    ],
)
def test_what_is_3_0_is_translated(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert translated(old) == new


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "file"},
        {"type": []},
        {"type": "any"},
        {"required": True},
        {"required": ["a", "a"]},
        {"pattern": "^\\p{L}+$"},
        {"pattern": "("},
        {"minimum": "1"},
        {"minLength": -1},
        {"maxLength": 1.5},
        {"multipleOf": 0},
        {"enum": "a"},
        {"allOf": []},
        {"properties": []},
        {"description": 5},
        {"uniqueItems": "yes"},
        {"items": []},
    ],
)
def test_what_is_no_schema_is_left_out(broken: dict[str, Any]) -> None:
    found = translated({**broken, "title": "kept"})
    Draft202012Validator.check_schema(found)
    assert found == {"title": "kept"}
