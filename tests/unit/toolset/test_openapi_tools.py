"""Names of tools and arguments, and what a tool says about itself."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest

from agentrun.errors import InvalidInputError
from agentrun.toolset.openapi import OpenAPI
from agentrun.toolset.openapi.naming import argument_name, tool_name
from tests.unit.servers import answer, serving
from tests.unit.toolset.documents import minimal, schema_of


def with_paths(**operations: Any) -> dict[str, Any]:
    """A document with operations by method and path, such as `get /a`."""
    document: dict[str, Any] = {**minimal(), "paths": {}}
    for place, operation in operations.items():
        method, _, path = place.partition(" ")
        document["paths"].setdefault(path, {})[method] = operation
    return document


def names(**operations: Any) -> list[str]:
    return [tool.name for tool in OpenAPI(with_paths(**operations)).definitions()]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("getPet", "getPet"),
        ("repos/get-content", "repos_get-content"),
        ("Pets.list all!", "Pets_list_all"),
        ("查询天气", ""),
        ("a" * 64, "a" * 64),
        ("a" * 65, "a" * 32 + hashlib.md5(b"a" * 65).hexdigest()),
    ],
)
def test_a_name_is_what_every_provider_takes(given: str, name: str) -> None:
    assert tool_name(given) == name


def test_an_operation_without_an_id_is_named_by_its_method_and_path() -> None:
    found = names(**{"get /": {}, "get /items/{id}": {}, "post /items/{id}": {}, "get /查询": {"operationId": "查询"}})
    assert found[:3] == ["get", "get_items_id", "post_items_id"]
    assert re.fullmatch("get_[0-9a-f]{32}", found[3])


def test_operations_of_one_name_are_told_apart_by_method_and_path() -> None:
    same = {"operationId": "same"}
    assert names(**{"get /a": same, "get /b": same, "put /b": same}) == ["same", "same_get_b", "same_put_b"]
    # What comes in between changes nothing for the others.
    assert names(**{"get /a": same, "get /aa": same, "get /b": same, "put /b": same})[2:] == [
        "same_get_b",
        "same_put_b",
    ]


def test_ids_that_differ_only_in_what_is_left_out() -> None:
    found = names(
        **{"get /a": {"operationId": "x/y"}, "get /b": {"operationId": "x.y"}, "get /c": {"operationId": "x_y"}}
    )
    assert found == ["x_y", "x_y_get_b", "x_y_get_c"]


def test_a_tool_is_found_by_its_name_and_by_its_id() -> None:
    with serving(answer(b"")) as server:
        client = OpenAPI(with_paths(**{"get /a": {"operationId": "things/list"}}), server.url)
        assert [client.has_tool(name) for name in ("things_list", "things/list", "things")] == [True, True, False]
        assert [info.name for info in client.list_tools("things/list")] == ["things_list"]
        assert client.list_tools("things") == []
        assert client.invoke_tool("things/list").status_code == 200


def test_names_of_arguments() -> None:
    names = ["filter[status]", "$top", "X-Request-ID", "a.b", "查询", "filter_status"]
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
    found = list(schema_of(minimal({"parameters": parameters}))["properties"])
    assert found == ["filter_status", "top", "X-Request-ID", "a.b", "query", "query_filter_status"]


def test_names_that_clash_more_than_once() -> None:
    assert argument_name("id", "body", {"id", "body_id"}) == "body_id_2"


def described(operation: dict[str, Any]) -> str:
    return OpenAPI(minimal(operation)).operation("call").definition.description


def test_what_a_tool_says_about_itself() -> None:
    operation = {"summary": "Lists.", "description": "Lists all of them.", "deprecated": True}
    assert described(operation) == "Deprecated. Lists.\n\nLists all of them."
    assert described({"summary": "Same.", "description": "Same."}) == "Same."
    long = described({"description": "word " * 500})
    assert (len(long) <= 1024, long[-1]) == (True, "…")


def test_a_tool_without_arguments() -> None:
    assert schema_of(minimal()) == {"type": "object", "properties": {}, "additionalProperties": False}


def test_an_argument_that_is_not_known_is_refused_with_the_nearest() -> None:
    parameters = [{"name": "per_page", "in": "query", "schema": {"type": "integer"}}]
    with pytest.raises(InvalidInputError, match=r"perpage is not known. Did you mean per_page\?") as caught:
        OpenAPI(minimal({"parameters": parameters})).invoke_tool("call", {"perpage": 1})
    assert caught.value.field == "perpage"


def test_the_field_of_an_error_is_a_path_into_the_body() -> None:
    tag = {"type": "object", "properties": {"name": {"type": "string"}}}
    pet = {
        "type": "object",
        "properties": {"pet": {"type": "object", "properties": {"tags": {"type": "array", "items": tag}}}},
    }
    document = minimal({"requestBody": {"content": {"application/json": {"schema": pet}}}}, method="post")
    with pytest.raises(InvalidInputError) as caught:
        OpenAPI(document).invoke_tool("call", {"pet": {"tags": [{"name": "a"}, {"name": 5}]}})
    assert caught.value.field == "pet.tags[1].name"


def test_a_null_for_an_optional_argument_is_not_sent() -> None:
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in ("a", "b")]
    with serving(answer(b"")) as server:
        OpenAPI(minimal({"parameters": parameters}), server.url).invoke_tool("call", {"a": None, "b": "x"})
        assert server.requests[0].path == "/things?b=x"


def test_nullable_of_3_0() -> None:
    schema = {"type": "string", "nullable": True, "enum": ["a"]}
    document = minimal({"parameters": [{"name": "a", "in": "query", "schema": schema}]}, version="3.0.3")
    assert schema_of(document)["properties"]["a"] == {"type": ["string", "null"], "enum": ["a", None]}


def test_webhooks_and_callbacks_are_no_tools() -> None:
    hook = {"post": {"operationId": "hook"}}
    document = minimal({"callbacks": {"done": {"{$request.body#/url}": hook}}}, webhooks={"new": hook})
    assert [tool.name for tool in OpenAPI(document).definitions()] == ["call"]


def test_a_document_without_paths_has_no_tools() -> None:
    assert OpenAPI({"openapi": "3.1.0", "info": {"title": "x"}, "components": {}}).list_tools() == []
