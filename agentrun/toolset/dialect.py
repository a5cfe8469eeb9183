"""The schema keywords of OpenAPI 3.0 in JSON Schema 2020-12, which 3.1 speaks by itself.

What neither knows, or what is no valid value of its keyword, is left out: a published document is seldom without such a
thing, and a tool should not be lost for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from agentrun._core.values import is_list, is_mapping

Schema: TypeAlias = "dict[str, Any]"

_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")


def translated(schema: Mapping[str, Any]) -> Schema:
    """One schema object, without going into its subschemas, in 2020-12."""
    found: Schema = {}
    for keyword, value in schema.items():
        check = _CHECKS.get(keyword)
        if check is None:
            if keyword not in _DROPPED and not keyword.startswith("x-"):
                found[keyword] = value
        elif check(value):
            found[keyword] = value
    _bound(found, schema, "minimum", "exclusiveMinimum")
    _bound(found, schema, "maximum", "exclusiveMaximum")
    if "example" in schema and "examples" not in found:
        found["examples"] = [schema["example"]]
    if schema.get("nullable") is True:
        return _nullable(found)
    return found


def _bound(found: Schema, schema: Mapping[str, Any], inclusive: str, exclusive: str) -> None:
    # In 3.0 `exclusiveMinimum` is a switch, in 2020-12 it is the bound itself.
    if schema.get(exclusive) is True and inclusive in found:
        found[exclusive] = found.pop(inclusive)


def _nullable(schema: Schema) -> Schema:
    kind = schema.get("type")
    if isinstance(kind, str):
        schema["type"] = [kind, "null"]
    elif is_list(kind) and "null" not in kind:
        schema["type"] = [*kind, "null"]
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    if kind is None and ("$ref" in schema or any(word in schema for word in ("allOf", "anyOf", "oneOf", "enum"))):
        notes = {word: schema.pop(word) for word in _NOTES if word in schema}
        return {**notes, "anyOf": [schema, {"type": "null"}]}
    return schema


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and int(value) == value


def _is_list(value: Any) -> bool:
    return is_list(value)


def _is_filled(value: Any) -> bool:
    return is_list(value) and bool(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_names(value: Any) -> bool:
    if not is_list(value):
        return False
    names = value
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _is_type(value: Any) -> bool:
    if isinstance(value, str):
        return value in _TYPES
    return _is_filled(value) and all(kind in _TYPES for kind in value) and len(set(value)) == len(value)


@lru_cache(maxsize=4096)
def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is_pattern(value: Any) -> bool:
    # Patterns are ECMAScript's, and a few of them mean nothing to Python, which is to check them.
    return isinstance(value, str) and _compiles(value)


def _is_subschema(value: Any) -> bool:
    return isinstance(value, (Mapping, bool))


_DROPPED = ("nullable", "example", "discriminator", "xml", "externalDocs", "collectionFormat")
_NOTES = ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "type": _is_type,
    "title": _is_text,
    "description": _is_text,
    "format": _is_text,
    "$ref": _is_text,
    "$comment": _is_text,
    "contentEncoding": _is_text,
    "contentMediaType": _is_text,
    "enum": _is_list,
    "examples": _is_list,
    "required": _is_names,
    "properties": is_mapping,
    "patternProperties": is_mapping,
    "dependentSchemas": is_mapping,
    "$defs": is_mapping,
    "definitions": is_mapping,
    "additionalProperties": _is_subschema,
    "unevaluatedProperties": _is_subschema,
    "unevaluatedItems": _is_subschema,
    "items": _is_subschema,
    "not": _is_subschema,
    "if": _is_subschema,
    "then": _is_subschema,
    "else": _is_subschema,
    "contains": _is_subschema,
    "propertyNames": _is_subschema,
    "allOf": _is_filled,
    "anyOf": _is_filled,
    "oneOf": _is_filled,
    "prefixItems": _is_filled,
    "pattern": _is_pattern,
    "minimum": _is_number,
    "maximum": _is_number,
    "exclusiveMinimum": _is_number,
    "exclusiveMaximum": _is_number,
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "minLength": _is_count,
    "maxLength": _is_count,
    "minItems": _is_count,
    "maxItems": _is_count,
    "minProperties": _is_count,
    "maxProperties": _is_count,
    "uniqueItems": _is_flag,
    "deprecated": _is_flag,
    "readOnly": _is_flag,
    "writeOnly": _is_flag,
    "dependentRequired": lambda value: is_mapping(value) and all(map(_is_names, value.values())),
}
