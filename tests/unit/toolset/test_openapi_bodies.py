"""Bodies: JSON, forms, multipart with files, text and bytes; and the arguments that they are made of."""

from __future__ import annotations

import base64
import json
from email import message_from_bytes
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from agentrun.errors import InvalidInputError
from agentrun.toolset.openapi import OpenAPI
from tests.unit.servers import Received
from tests.unit.toolset.documents import minimal, schema_of, sent

FORM = "application/x-www-form-urlencoded"
PET = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "name": {"type": "string"},
        "secret": {"type": "string", "writeOnly": True},
        "tags": {"type": "array", "items": {"type": "string"}},
        "owner": {"type": "object", "properties": {"id": {"type": "integer"}}},
    },
    "required": ["id", "name"],
}


def with_body(schema: Any, kind: str = "application/json", required: bool = True, **fields: Any) -> dict[str, Any]:
    body = {"required": required, "content": {kind: {"schema": schema, **fields}}}
    return minimal({"requestBody": body}, method="post")


def parts_of(request: Received) -> list[tuple[str, str | None, str | None, bytes]]:
    """Name, file name, content type and content of each part, read by the standard library."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    message = message_from_bytes(head + request.body)
    assert message.is_multipart()
    found: list[tuple[str, str | None, str | None, bytes]] = []
    for part in message.walk():
        if part is not message:
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            name = str(part.get_param("name", header="content-disposition"))
            found.append((name, part.get_filename(), part.get("content-type"), content))
    return found


# What the arguments are


def test_the_properties_of_an_object_are_arguments() -> None:
    schema = schema_of(with_body(PET))
    assert list(schema["properties"]) == ["name", "secret", "tags", "owner"]
    assert schema["required"] == ["name"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"type": "string"},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object"},
        {"oneOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "string"}]},
        {**PET, "anyOf": [{"required": ["name"]}, {"required": ["tags"]}]},
        {**PET, "minProperties": 1},
    ],
)
def test_what_is_no_plain_object_is_one_argument(schema: Any) -> None:
    found = schema_of(with_body(schema))
    assert (list(found["properties"]), found["required"]) == (["body"], ["body"])


def test_parts_of_an_object_are_put_together() -> None:
    components = {
        "schemas": {"Base": PET, "More": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"required": ["tags"]}]}}
    }
    document = minimal(
        {
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/More"}}},
            }
        },
        method="post",
        components=components,
    )
    schema = schema_of(document)
    assert (list(schema["properties"]), schema["required"]) == (["name", "secret", "tags", "owner"], ["name", "tags"])


def test_a_body_may_be_left_away_but_not_halved() -> None:
    document = with_body(PET, required=False)
    assert "required" not in schema_of(document)
    assert sent(document, {}).body == b""
    with pytest.raises(InvalidInputError, match="lacks a part"):
        sent(document, {"tags": ["a"]})
    assert json.loads(sent(document, {"name": "a"}).body) == {"name": "a"}


def test_other_properties_are_taken_where_the_object_takes_them() -> None:
    document = with_body({**PET, "additionalProperties": {"type": "integer"}})
    assert json.loads(sent(document, {"name": "a", "extra": 5}).body) == {"name": "a", "extra": 5}
    with pytest.raises(InvalidInputError) as caught:
        sent(document, {"name": "a", "extra": "five"})
    assert caught.value.field == "extra"


def test_read_only_properties_are_not_asked_for_wherever_they_are() -> None:
    nested = {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}
    body = {"content": {"application/json": {"schema": nested}}, "required": True}
    document = minimal({"requestBody": body}, method="post", components={"schemas": {"Pet": PET}})
    pet = schema_of(document)["$defs"]["Pet"]
    assert ("id" in pet["properties"], pet["required"]) == (False, ["name"])


def test_arguments_that_clash_are_told_apart_by_their_location() -> None:
    parameters = [
        {"name": "id", "in": "query", "schema": {"type": "string"}},
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
        {"name": "id", "in": "header", "schema": {"type": "string"}},
    ]
    body = {"content": {"application/json": {"schema": {"type": "object", "properties": {"id": {"type": "integer"}}}}}}
    document = minimal({"parameters": parameters, "requestBody": body}, path="/a/{id}", method="put")
    assert list(schema_of(document)["properties"]) == ["id", "query_id", "header_id", "body_id"]
    request = sent(document, {"id": "p", "query_id": "q", "header_id": "h", "body_id": 1})
    assert (request.path, request.headers["id"], request.body) == ("/a/p?id=q", "h", b'{"id":1}')


def test_arguments_may_be_grouped_or_named_as_on_the_wire() -> None:
    parameters = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
        {"name": "filter[a]", "in": "query", "schema": {"type": "string"}},
        {"name": "X-H", "in": "header", "schema": {"type": "string"}},
    ]
    body = {"content": {"application/json": {"schema": {"type": "object", "properties": {"name": {"type": "string"}}}}}}
    document = minimal({"parameters": parameters, "requestBody": body}, path="/a/{id}", method="put")
    assert list(schema_of(document)["properties"]) == ["id", "filter_a", "X-H", "name"]
    ways: list[dict[str, Any]] = [
        {"id": "7", "filter_a": "x", "X-H": "h", "name": "n"},
        {"id": "7", "filter[a]": "x", "X-H": "h", "name": "n"},
        {"path": {"id": "7"}, "query": {"filter[a]": "x"}, "headers": {"X-H": "h"}, "body": {"name": "n"}},
    ]
    for arguments in ways:
        request = sent(document, arguments)
        found = (request.path, request.headers["x-h"], request.body)
        assert found == ("/a/7?filter%5Ba%5D=x", "h", b'{"name":"n"}')


# JSON


def test_json_is_sent_as_such() -> None:
    request = sent(with_body(PET), {"name": "é", "tags": ["a"], "owner": {"id": 1}})
    assert request.headers["content-type"] == "application/json"
    assert request.body == '{"name":"é","tags":["a"],"owner":{"id":1}}'.encode()


@pytest.mark.parametrize(
    ("kinds", "chosen"),
    [
        (["text/plain", "multipart/form-data", FORM, "application/json"], "application/json"),
        (["application/json-patch+json", "application/merge-patch+json"], "application/merge-patch+json"),
        (["application/json-patch+json", "application/vnd.x+json; v=1"], "application/vnd.x+json; v=1"),
        (["*/*"], "application/json"),
        (["application/xml", FORM], FORM),
        (["application/octet-stream", "text/csv"], "text/csv"),
    ],
)
def test_the_easiest_media_type_is_chosen(kinds: list[str], chosen: str) -> None:
    content = {kind: {"schema": {"type": "object", "properties": {"a": {"type": "string"}}}} for kind in kinds}
    document = minimal({"requestBody": {"required": True, "content": content}}, method="post")
    arguments = {"a": "x"} if "a" in schema_of(document)["properties"] else {"body": "x"}
    assert sent(document, arguments).headers["content-type"] == chosen


def test_what_json_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="cannot be written as JSON"):
        sent(with_body({"type": "array"}), {"body": [float("nan")]})


# Forms


def test_forms_have_a_pair_for_each_value() -> None:
    arguments = {"name": "a b&c=d+é", "tags": ["x", "y"], "owner": {"id": 1}}
    request = sent(with_body(PET, FORM), arguments)
    assert request.headers["content-type"] == FORM
    expected = [("name", "a b&c=d+é"), ("tags", "x"), ("tags", "y"), ("owner", '{"id":1}')]
    assert parse_qsl(request.body.decode()) == expected


@pytest.mark.parametrize(
    ("encoding", "value", "pairs"),
    [
        ({"style": "form", "explode": False}, ["x", "y"], [("p", "x,y")]),
        ({"style": "form", "explode": True}, ["x", "y"], [("p", "x"), ("p", "y")]),
        ({"explode": False}, ["x", "y"], [("p", "x,y")]),
        ({"style": "form", "explode": True}, {"x": 1}, [("x", "1")]),
        ({"style": "pipeDelimited", "explode": False}, ["x", "y"], [("p", "x|y")]),
        ({"style": "spaceDelimited", "explode": False}, ["x", "y"], [("p", "x y")]),
        (
            {"style": "deepObject", "explode": True},
            {"x": {"y": [1, 2]}, "z": True},
            [("p[x][y][]", "1"), ("p[x][y][]", "2"), ("p[z]", "true")],
        ),
    ],
)
def test_forms_in_every_style(encoding: Any, value: Any, pairs: Any) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"p": {}}}
    request = sent(with_body(schema, FORM, encoding={"p": encoding}), {"p": value})
    assert parse_qsl(request.body.decode()) == pairs


# Files

UPLOAD = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "count": {"type": "integer"},
        "meta": {"type": "object"},
        "file": {"type": "string", "format": "binary", "description": "The picture."},
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
    },
    "required": ["file"],
}
PICTURE = b"\x89PNG\r\n\x00\xff--boundary"


def test_a_file_is_text_in_the_schema() -> None:
    properties = schema_of(with_body(UPLOAD, "multipart/form-data"))["properties"]
    assert (properties["file"]["type"], properties["file"]["contentEncoding"]) == ("string", "base64")
    assert properties["file"]["description"].startswith("The picture.")
    assert properties["files"]["items"]["contentEncoding"] == "base64"


def test_files_come_as_bytes_paths_base64_and_with_names(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(PICTURE)
    encoded = base64.b64encode(PICTURE).decode()
    forms: list[tuple[Any, str, str]] = [
        (PICTURE, "file", "application/octet-stream"),
        (bytearray(PICTURE), "file", "application/octet-stream"),
        (path, "cat.png", "image/png"),
        (encoded, "file", "application/octet-stream"),
        (f"data:image/gif;base64,{encoded}", "file", "image/gif"),
        (("dog.jpg", PICTURE), "dog.jpg", "image/jpeg"),
        (("dog.jpg", PICTURE, "image/webp"), "dog.jpg", "image/webp"),
    ]
    for value, name, kind in forms:
        request = sent(with_body(UPLOAD, "multipart/form-data"), {"file": value})
        assert parts_of(request) == [("file", name, kind, PICTURE)]


def test_a_form_of_several_parts() -> None:
    arguments = {"title": "a\r\nb é", "count": 3, "meta": {"k": [1]}, "file": PICTURE, "files": [b"1", b"2"]}
    encoding = {"file": {"contentType": "image/png"}, "title": {"contentType": "text/plain; charset=utf-8"}}
    found = parts_of(sent(with_body(UPLOAD, "multipart/form-data", encoding=encoding), arguments))
    assert found == [
        ("title", None, "text/plain; charset=utf-8", "a\r\nb é".encode()),
        ("count", None, None, b"3"),
        ("meta", None, "application/json", b'{"k":[1]}'),
        ("file", "file", "image/png", PICTURE),
        ("files", "file", "application/octet-stream", b"1"),
        ("files", "file", "application/octet-stream", b"2"),
    ]


def test_a_name_cannot_end_its_header() -> None:
    request = sent(with_body(UPLOAD, "multipart/form-data"), {"file": ('a"\r\nx: y', b"1")})
    assert b'filename="a%22%0D%0Ax: y"' in request.body


def test_text_is_never_a_path(tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("secret")
    with pytest.raises(InvalidInputError, match="file is not Base64") as caught:
        sent(with_body(UPLOAD, "multipart/form-data"), {"file": str(path)})
    assert caught.value.field == "file"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read") as caught:
        sent(with_body(UPLOAD, "multipart/form-data"), {"file": tmp_path / "none"})
    assert caught.value.field == "file"


def test_files_are_checked_with_the_rest() -> None:
    with pytest.raises(InvalidInputError) as caught:
        sent(with_body(UPLOAD, "multipart/form-data"), {"file": b"1", "count": "x"})
    assert caught.value.field == "count"


@pytest.mark.parametrize("value", [PICTURE, base64.b64encode(PICTURE).decode()])
def test_a_body_of_bytes(value: Any) -> None:
    request = sent(with_body({"type": "string", "format": "binary"}, "application/octet-stream"), {"body": value})
    assert (request.body, request.headers["content-type"]) == (PICTURE, "application/octet-stream")


def test_a_body_of_some_image() -> None:
    request = sent(with_body({}, "image/*"), {"body": ("a.png", PICTURE)})
    assert (request.body, request.headers["content-type"]) == (PICTURE, "image/png")


@pytest.mark.parametrize("kind", ["text/plain", "text/csv; charset=utf-8", "application/xml", "application/yaml"])
def test_a_body_of_text(kind: str) -> None:
    request = sent(with_body({"type": "string"}, kind), {"body": "<é>"})
    assert (request.body, request.headers["content-type"]) == ("<é>".encode(), kind)


def test_a_required_object_is_sent_even_when_it_is_empty() -> None:
    document = with_body({"type": "object", "properties": {"a": {"type": "string"}}})
    assert sent(document, {}).body == b"{}"


def test_there_is_no_content_type_without_content() -> None:
    request = sent(minimal(), {})
    assert "content-type" not in request.headers


def test_a_whole_body_that_is_missing() -> None:
    with pytest.raises(InvalidInputError) as caught:
        OpenAPI(with_body({"type": "array"}), "http://127.0.0.1:1").invoke_tool("call", {})
    assert caught.value.field == "body"
