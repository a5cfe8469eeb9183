"""Parameters in every style, as the table in the specification has them."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun.errors import InvalidInputError
from agentrun.toolset.openapi import OpenAPI
from tests.unit.toolset.documents import minimal, schema_of, sent

TEXT, LIST, OBJECT = "blue", ["blue", "black", "brown"], {"R": 100, "G": 200, "B": 150}


def with_parameter(location: str, **fields: Any) -> dict[str, Any]:
    """A document whose operation has one parameter, `color`."""
    parameter: dict[str, Any] = {"name": "color", "in": location, "schema": {}, **fields}
    path = "/things/{color}/end" if location == "path" else "/things"
    if location == "path":
        parameter["required"] = True
    return minimal({"parameters": [parameter]}, path=path)


@pytest.mark.parametrize(
    ("style", "explode", "value", "wire"),
    [
        (None, None, TEXT, "blue"),
        ("simple", False, LIST, "blue,black,brown"),
        ("simple", True, LIST, "blue,black,brown"),
        ("simple", False, OBJECT, "R,100,G,200,B,150"),
        ("simple", True, OBJECT, "R=100,G=200,B=150"),
        ("label", False, TEXT, ".blue"),
        ("label", False, LIST, ".blue,black,brown"),
        ("label", True, LIST, ".blue.black.brown"),
        ("label", False, OBJECT, ".R,100,G,200,B,150"),
        ("label", True, OBJECT, ".R=100.G=200.B=150"),
        ("matrix", False, TEXT, ";color=blue"),
        ("matrix", False, LIST, ";color=blue,black,brown"),
        ("matrix", True, LIST, ";color=blue;color=black;color=brown"),
        ("matrix", False, OBJECT, ";color=R,100,G,200,B,150"),
        ("matrix", True, OBJECT, ";R=100;G=200;B=150"),
        (None, None, "a/b?c#d%e é", "a%2Fb%3Fc%23d%25e%20%C3%A9"),
        (None, None, ["a,b", "c"], "a%2Cb,c"),
        (None, None, "{id}", "%7Bid%7D"),
        (None, None, True, "true"),
        (None, None, 7.0, "7"),
        (None, None, 7.5, "7.5"),
    ],
)
def test_in_paths(style: str | None, explode: bool | None, value: Any, wire: str) -> None:
    given = {name: part for name, part in (("style", style), ("explode", explode)) if part is not None}
    assert sent(with_parameter("path", **given), {"color": value}).path == f"/things/{wire}/end"


@pytest.mark.parametrize(
    ("style", "explode", "value", "wire"),
    [
        (None, None, TEXT, "color=blue"),
        (None, None, "", "color="),
        ("form", True, LIST, "color=blue&color=black&color=brown"),
        ("form", False, LIST, "color=blue,black,brown"),
        ("form", True, OBJECT, "R=100&G=200&B=150"),
        ("form", False, OBJECT, "color=R,100,G,200,B,150"),
        ("spaceDelimited", False, LIST, "color=blue%20black%20brown"),
        ("spaceDelimited", False, OBJECT, "color=R%20100%20G%20200%20B%20150"),
        ("pipeDelimited", False, LIST, "color=blue%7Cblack%7Cbrown"),
        ("pipeDelimited", False, OBJECT, "color=R%7C100%7CG%7C200%7CB%7C150"),
        ("pipeDelimited", True, LIST, "color=blue&color=black&color=brown"),
        ("deepObject", True, OBJECT, "color[R]=100&color[G]=200&color[B]=150"),
        ("deepObject", True, {"a": {"b": 1}, "c": [1, 2]}, "color[a][b]=1&color[c][]=1&color[c][]=2"),
        ("deepObject", True, [{"e": 3}, {"e": 4}], "color[0][e]=3&color[1][e]=4"),
        (None, None, "a&b=c d+e#f/é", "color=a%26b%3Dc%20d%2Be%23f%2F%C3%A9"),
        (None, None, [True, None, {"a": 1}], "color=true&color=null&color=%7B%22a%22%3A1%7D"),
    ],
)
def test_in_queries(style: str | None, explode: bool | None, value: Any, wire: str) -> None:
    given = {name: part for name, part in (("style", style), ("explode", explode)) if part is not None}
    assert sent(with_parameter("query", **given), {"color": value}).path == f"/things?{wire}"


def test_reserved_characters_stay_where_that_is_allowed() -> None:
    document = with_parameter("query", allowReserved=True)
    assert sent(document, {"color": "a/b:c?d,e"}).path == "/things?color=a/b:c?d,e"
    # But nothing that would begin another parameter, or end the query.
    assert sent(document, {"color": "a&b#c+d"}).path == "/things?color=a%26b%23c%2Bd"


def test_an_empty_list_and_a_null_are_not_sent() -> None:
    assert sent(with_parameter("query"), {"color": []}).path == "/things"
    assert sent(with_parameter("query", schema={"type": ["string", "null"]}), {"color": None}).path == "/things"


@pytest.mark.parametrize(
    ("explode", "value", "wire"),
    [
        (False, TEXT, "blue"),
        (False, LIST, "blue,black,brown"),
        (False, OBJECT, "R,100,G,200,B,150"),
        (True, OBJECT, "R=100,G=200,B=150"),
        (False, "100 %/e", "100 %/e"),
    ],
)
def test_in_headers(explode: bool, value: Any, wire: str) -> None:
    assert sent(with_parameter("header", explode=explode), {"color": value}).headers["color"] == wire


@pytest.mark.parametrize("value", ["a\r\nx-injected: 1", "a\nb", "é", "a\0b"])
def test_headers_take_no_line_ends(value: str) -> None:
    client = OpenAPI(with_parameter("header"), "http://127.0.0.1:1")
    with pytest.raises(InvalidInputError, match="color has characters that a header cannot have") as caught:
        client.invoke_tool("call", {"color": value})
    assert caught.value.field == "color"


@pytest.mark.parametrize(
    ("explode", "value", "wire"),
    [
        (True, TEXT, "color=blue"),
        (False, LIST, "color=blue,black,brown"),
        (True, LIST, "color=blue; color=black; color=brown"),
        (False, OBJECT, "color=R,100,G,200,B,150"),
        (True, "a; b=c", "color=a%3B%20b%3Dc"),
    ],
)
def test_in_cookies(explode: bool, value: Any, wire: str) -> None:
    assert sent(with_parameter("cookie", explode=explode), {"color": value}).headers["cookie"] == wire


@pytest.mark.parametrize(
    ("location", "wire"),
    [("path", "/things/%7B%22a%22%3A%5B1%5D%7D/end"), ("query", "/things?color=%7B%22a%22%3A%5B1%5D%7D")],
)
def test_parameters_by_content_are_json(location: str, wire: str) -> None:
    content = {"application/json": {"schema": {"type": "object"}}}
    assert sent(with_parameter(location, schema=None, content=content), {"color": {"a": [1]}}).path == wire


def test_parameters_by_content_in_headers_and_cookies() -> None:
    content = {"application/json": {"schema": {"type": "object"}}}
    assert sent(with_parameter("header", content=content), {"color": {"a": 1}}).headers["color"] == '{"a":1}'
    cookie = sent(with_parameter("cookie", content=content), {"color": {"a": 1}}).headers["cookie"]
    assert cookie == "color=%7B%22a%22%3A1%7D"


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_path_does_not_lead_elsewhere(value: str) -> None:
    client = OpenAPI(with_parameter("path"), "http://127.0.0.1:1")
    with pytest.raises(InvalidInputError, match="it is a part of a path") as caught:
        client.invoke_tool("call", {"color": value})
    assert caught.value.field == "color"


def test_a_path_parameter_that_was_not_declared() -> None:
    document = minimal(path="/a/{id}")
    assert schema_of(document)["required"] == ["id"]
    assert sent(document, {"id": "x y"}).path == "/a/x%20y"


def test_headers_that_are_no_parameters_are_none() -> None:
    names = ("Accept", "Content-Type", "Authorization", "X-Real")
    document = minimal({"parameters": [{"name": name, "in": "header", "schema": {"type": "string"}} for name in names]})
    assert list(schema_of(document)["properties"]) == ["X-Real"]


def test_parameters_of_a_path_hold_for_its_operations_which_may_replace_them() -> None:
    document = minimal({"parameters": [{"name": "b", "in": "query", "required": True, "schema": {"type": "integer"}}]})
    document["paths"]["/things"]["parameters"] = [
        {"name": "a", "in": "query", "schema": {"type": "string"}},
        {"name": "b", "in": "query", "schema": {"type": "string"}},
    ]
    schema = schema_of(document)
    assert schema["properties"] == {"a": {"type": "string"}, "b": {"type": "integer"}}
    assert schema["required"] == ["b"]


def test_what_a_parameter_says_about_itself_is_in_the_schema() -> None:
    parameter = {"description": "Which one.", "deprecated": True, "example": "blue", "schema": {"type": "string"}}
    expected = {"type": "string", "description": "Which one.", "deprecated": True, "examples": ["blue"]}
    assert schema_of(with_parameter("query", **parameter))["properties"]["color"] == expected


def test_a_broken_parameter_is_an_error_with_its_place() -> None:
    document = minimal({"parameters": [{"name": "a", "in": "body"}]})
    with pytest.raises(InvalidInputError, match="'in' as one of path, query, header, cookie") as caught:
        schema_of(document)
    assert caught.value.field == "paths./things.get"
