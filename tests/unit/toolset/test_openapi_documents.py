"""Every operation of every published document becomes a tool whose schema is valid and complete."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agentrun._core.values import is_list, is_mapping
from agentrun.toolset.openapi import OpenAPI
from agentrun.toolset.openapi.document import METHODS
from tests.unit.toolset.documents import PUBLISHED, document_of, text_of
from tests.unit.toolset.mock_api import followed

# So many operations there are, counted from the documents' text by other means.
MANY = {"api.github.com.json": 1223, "stripe.com.json": 452, "kubernetes.io.json": 845}


@pytest.fixture(scope="module", params=PUBLISHED)
def name(request: pytest.FixtureRequest) -> str:
    """One document after the other, because a large one takes a while to read."""
    return str(request.param)


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def references(value: Any) -> Iterator[str]:
    """All `$ref`s that stand where a schema may be; a property may have that name too."""
    if is_mapping(value):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for name, part in value.items():
            if name not in ("examples", "default", "enum", "const"):
                yield from references(part)
    elif is_list(value):
        for part in value:
            yield from references(part)


def test_every_operation_has_a_valid_schema(name: str) -> None:
    client = OpenAPI(document_of(name))
    checked: set[str] = set()
    for tool in client.definitions():
        definitions = tool.parameters.get("$defs", {})
        schema = as_json({word: value for word, value in tool.parameters.items() if word != "$defs"})
        # Definitions are shared by many tools: each is checked once, with the tool that has it first.
        Draft202012Validator.check_schema(schema)
        for key in definitions.keys() - checked:
            Draft202012Validator.check_schema(as_json(definitions[key]))
        checked |= definitions.keys()
        assert schema["type"] == "object"
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool.name)
        assert all(re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", argument) for argument in schema["properties"])
        assert set(schema.get("required", ())) <= schema["properties"].keys()


def test_a_schema_has_the_definitions_it_needs_and_no_others(name: str) -> None:
    for tool in OpenAPI(document_of(name)).definitions():
        schema = dict(tool.parameters)
        definitions = schema.pop("$defs", {})
        needed: set[str] = set()
        waiting = set(references(schema))
        while waiting:
            key = waiting.pop().removeprefix("#/$defs/")
            if key not in needed:
                needed.add(key)
                waiting |= set(references(definitions[key]))
        assert needed == definitions.keys()


def test_there_is_a_tool_for_each_operation(name: str) -> None:
    document = document_of(name)
    root = document.root
    count = sum(method in followed(root, item) for item in root.get("paths", {}).values() for method in METHODS)
    client = OpenAPI(document)
    assert (
        len(client.definitions()) == len({each.name for each in client.definitions()}) == MANY.get(name, count) == count
    )


@pytest.mark.parametrize("name", MANY)
def test_listed_tools_have_the_same_schema(name: str) -> None:
    client = OpenAPI(document_of(name))
    listed = client.list_tools()
    assert len(listed) == MANY[name]
    for info, definition in zip(listed[::37], client.definitions()[::37], strict=True):
        assert info.parameters is not None
        assert info.parameters.to_json_schema() == definition.parameters


@pytest.mark.parametrize("name", ["petstore-3.1", "parameters-style-3.1", "readme-3.1"])
def test_yaml_and_json_give_the_same_tools(name: str) -> None:
    from_json = OpenAPI(text_of(f"{name}.json")).definitions()
    from_yaml = OpenAPI(text_of(f"{name}.yaml")).definitions()
    assert from_yaml == from_json


def test_names_are_the_same_whenever_they_are_made() -> None:
    first, second = (OpenAPI(text_of("api.github.com.json")) for _ in range(2))
    assert [tool.name for tool in first.definitions()] == [tool.name for tool in second.definitions()]
