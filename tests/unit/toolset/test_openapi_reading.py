"""Documents from everywhere, what is wrong with them, and where their references lead."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agentrun.errors import AgentRunError, ConnectError, InvalidInputError, ResourceNotExistError
from agentrun.toolset.openapi import Document, OpenAPI
from agentrun.toolset.openapi.yaml import parse_yaml
from tests.unit.modes import both_modes, drive
from tests.unit.servers import Behaviour, Line, Received, answer, closed_port, serving
from tests.unit.toolset.documents import minimal, schema_of

YAML = """
openapi: 3.1.0
info: {title: Things, version: 1.0}
paths:
  /things:
    get:
      operationId: call
      parameters:
        - {name: day, in: query, schema: {type: string, default: 2024-01-02, enum: [2024-01-02, no, 12:30, ~]}}
      responses:
        200: {description: well}
"""


def names(source: Any) -> list[str]:
    return [tool.name for tool in OpenAPI(source).definitions()]


# Where from


@pytest.mark.parametrize(
    "text", [json.dumps(minimal()), "\ufeff" + json.dumps(minimal(), indent=2), YAML, YAML.encode()]
)
def test_text(text: Any) -> None:
    assert names(text) == ["call"]


def test_yaml_that_begins_with_a_brace() -> None:
    assert names("{openapi: 3.1.0, info: {title: a}, paths: {/a: {get: {operationId: call}}}}") == ["call"]


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "thing s.yaml"
    path.write_text(YAML)
    assert names(path) == names(str(path)) == ["call"]
    assert OpenAPI(path).document.uri == path.as_uri()


@both_modes
def test_urls(mode: str) -> None:
    with serving(answer(YAML.encode())) as server:
        document = drive(mode, Document.read_async(f"{server.url}/v1/openapi.yaml"))
        assert [tool.name for tool in OpenAPI(document).definitions()] == ["call"]


def test_a_url_in_the_constructor_also_on_an_event_loop() -> None:
    async def on_a_loop(url: str) -> list[str]:
        return names(url)

    with serving(answer(minimal())) as server:
        assert names(f"{server.url}/openapi.json") == asyncio.run(on_a_loop(f"{server.url}/a")) == ["call"]


def test_a_server_is_relative_to_the_url_of_its_document() -> None:
    with serving(answer({**minimal(), "servers": [{"url": "../v2"}]}), answer(b"")) as server:
        OpenAPI(f"{server.url}/docs/v1/openapi.json").invoke_tool("call")
        assert server.requests[1].path == "/docs/v2/things"


# What is wrong


@pytest.mark.parametrize(
    ("source", "said", "field"),
    [
        ({**minimal(), "swagger": "2.0"}, "swagger: version 2.0 is not supported", "swagger"),
        ({"swagger": "2.0"}, "Convert it to OpenAPI 3", "swagger"),
        ({**minimal(), "openapi": "2.9"}, "openapi: version '2.9' is not supported", "openapi"),
        ({**minimal(), "openapi": 3.1}, "", None),
        ({"info": {}}, "it has no field 'openapi'", "schema"),
        ("[1]", "it is a list", "schema"),
        ("just text", "it is a text", "schema"),
        ("", "it is empty", "schema"),
        ('{"openapi": "3.1.0", "paths": {', "line 1 column", "schema"),
        ('{\n"openapi": "3.1.0",\n"paths" {}}', "line 3 column", "schema"),
        ("openapi: 3.1.0\npaths:\n  - a\n b: c", "line 4, column", None),
        ("openapi: 3.1.0\n\tpaths: {}", "line 2, column 1", None),
        ("a: &x [*x]", "aliases", None),
        (b"\xff\xfe", "no UTF-8 text: byte 0", None),
        ({**minimal(), "paths": []}, "paths must be an object, not a list", "paths"),
        ({**minimal(), "paths": {"/a": None}}, "paths./a must be an object, not empty", "paths./a"),
        ({**minimal(), "paths": {"/a": {"get": "x"}}}, "paths./a.get must be an object, not a text", "paths./a.get"),
        ({**minimal(), "components": 5}, "components must be an object", "components"),
        (5, "int is no OpenAPI document", "schema"),
        ("/nowhere/openapi.yaml", "cannot be read: No such file", "schema"),
        (Path("/nowhere/openapi.yaml"), "cannot be read: No such file", "schema"),
    ],
)
def test_what_is_no_document_is_refused_with_the_place(source: Any, said: str, field: str | None) -> None:
    if source == {**minimal(), "openapi": 3.1}:
        assert names(source) == ["call"]  # What YAML makes of it when it has no quotes.
        return
    with pytest.raises(InvalidInputError) as caught:
        OpenAPI(source)
    assert said in str(caught.value)
    assert field is None or caught.value.field == field


DEEP = {
    "lists": "[" * 100_000,
    "objects": '{"a":' * 100_000,
    "lists in an object": "a: " + "[" * 100_000,
    "lists of YAML": "- " * 100_000,
}


# Ids are in the environment of each process that a test starts, so they had better be short.
@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_what_is_nested_too_deeply_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        OpenAPI(text)


def nested_schema(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def test_a_schema_that_is_nested_too_deeply_is_refused_when_it_is_used() -> None:
    with pytest.raises(InvalidInputError, match="nested too deeply"):
        OpenAPI(with_schema(nested_schema(5000))).operation("call")
    document = with_schema({"$ref": "#/components/schemas/Deep"}, schemas={"Deep": nested_schema(5000)})
    with pytest.raises(InvalidInputError, match="the schema Deep is nested too deeply"):
        OpenAPI(document).operation("call")
    assert OpenAPI(with_schema(nested_schema(100))).operation("call").name == "call"


def test_a_url_that_does_not_answer_so() -> None:
    with serving(answer({"message": "no"}, 404)) as server, pytest.raises(AgentRunError, match="no") as caught:
        OpenAPI(f"{server.url}/a")
    assert caught.value.status_code == 404
    assert not isinstance(caught.value, ResourceNotExistError)
    with (
        serving(answer(b"", 302, {"location": "/b"})) as server,
        pytest.raises(InvalidInputError, match="It leads to /b"),
    ):
        OpenAPI(f"{server.url}/a")
    with pytest.raises(ConnectError):
        OpenAPI(f"http://127.0.0.1:{closed_port()}/a")


def test_the_query_of_a_url_may_be_secret() -> None:
    with serving(answer(b"{")) as server, pytest.raises(InvalidInputError) as caught:
        OpenAPI(f"{server.url}/a?token=s3cret")
    assert "s3cret" not in str(caught.value)


# YAML


def test_yaml_has_the_values_of_json() -> None:
    text = "{d: 2024-01-02, t: 12:30, y: yes, n: no, on: on, s: '1', h: 0x1, o: 010, f: .5, g: 1e3, b: true, x: ~, e: }"
    texts = {"d": "2024-01-02", "t": "12:30", "y": "yes", "n": "no", "on": "on", "s": "1", "h": "0x1"}
    assert parse_yaml(text, "it") == texts | {"o": 10, "f": 0.5, "g": 1000.0, "b": True, "x": None, "e": None}
    assert [type(value) for value in parse_yaml("[1, 1.0, -5, .5]", "it")] == [int, float, int, float]


def test_keys_of_yaml_are_text() -> None:
    assert parse_yaml("{200: a, true: b, 1.0: c, null: d}", "it") == {"200": "a", "true": "b", "1.0": "c", "null": "d"}


def test_dates_stay_text_in_schemas() -> None:
    schema = schema_of(Document.read(YAML).root)["properties"]["day"]
    assert schema == {"type": "string", "default": "2024-01-02", "enum": ["2024-01-02", "no", "12:30", None]}


def test_aliases_and_merges() -> None:
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}"
    assert parse_yaml(text, "it") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}}


@pytest.mark.parametrize("start", ["[x]", "{k: v}"])
def test_a_bomb_of_aliases_is_refused(start: str) -> None:
    lines = [f"a0: &a0 {start}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(InvalidInputError, match="aliases that stand for more than"):
        OpenAPI("openapi: 3.1.0\n" + "\n".join(lines))


def test_a_bomb_of_merges_is_refused() -> None:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    with pytest.raises(InvalidInputError, match="aliases that stand for more than"):
        OpenAPI("openapi: 3.1.0\n" + "\n".join(lines))


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [ls]", "a: !!python/name:os.system", "!custom x"])
def test_yaml_makes_no_objects(text: str) -> None:
    with pytest.raises(InvalidInputError, match="neither JSON nor YAML"):
        OpenAPI(text)


# References


def with_schema(schema: Any, version: str = "3.1.0", **components: Any) -> dict[str, Any]:
    parameter = {"name": "a", "in": "query", "schema": schema}
    return minimal({"parameters": [parameter]}, version=version, components=components)


def test_a_recursive_schema_is_a_definition() -> None:
    tree = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}},
    }
    schema = schema_of(
        with_schema({"$ref": "#/components/schemas/Tree"}, schemas={"Tree": tree, "Other": {"type": "object"}})
    )
    assert schema["properties"]["a"] == {"$ref": "#/$defs/Tree"}
    items = {"$ref": "#/$defs/Tree"}
    assert schema["$defs"] == {
        "Tree": {"type": "object", "properties": {"children": {"type": "array", "items": items}}}
    }


def test_a_long_chain_of_references() -> None:
    schemas: dict[str, Any] = {
        f"S{n}": {"properties": {"next": {"$ref": f"#/components/schemas/S{n + 1}"}}} for n in range(3000)
    }
    schemas["S3000"] = {"type": "object"}
    assert len(schema_of(with_schema({"$ref": "#/components/schemas/S0"}, schemas=schemas))["$defs"]) == 3001


def test_a_small_schema_is_written_out() -> None:
    schemas = {"Color": {"type": "string", "enum": ["red"]}}
    schema = schema_of(with_schema({"$ref": "#/components/schemas/Color", "description": "Which."}, schemas=schemas))
    assert schema["properties"]["a"] == {"type": "string", "enum": ["red"], "description": "Which."}
    assert "$defs" not in schema


def test_what_stands_beside_a_reference() -> None:
    schemas: dict[str, Any] = {"Thing": {"type": "object", "properties": {}}}
    reference = {"$ref": "#/components/schemas/Thing", "description": "d", "minProperties": 1}
    newer = schema_of(with_schema(reference, schemas=schemas))["properties"]["a"]
    older = schema_of(with_schema({**reference, "nullable": True}, "3.0.3", schemas=schemas))["properties"]["a"]
    assert newer == {"$ref": "#/$defs/Thing", "description": "d", "minProperties": 1}
    assert older == {"description": "d", "anyOf": [{"$ref": "#/$defs/Thing"}, {"type": "null"}]}


def test_references_to_anything() -> None:
    components = {
        "parameters": {
            "P": {"$ref": "#/components/parameters/Q"},
            "Q": {"name": "q", "in": "query", "schema": {"$ref": "#/paths/~1things/post/x"}},
        },
        "requestBodies": {
            "B": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/a~1b%25c"}}}}
        },
        "schemas": {"a/b%c": {"type": "object", "properties": {"z": {"type": "string"}}}},
    }
    operation = {
        "parameters": [{"$ref": "#/components/parameters/P"}],
        "requestBody": {"$ref": "#/components/requestBodies/B"},
        "x": {"type": "array", "items": {"type": "string"}},
    }
    schema = schema_of(minimal(operation, method="post", components=components))
    assert list(schema["properties"]) == ["q", "z"]
    assert schema["properties"]["q"] == {"$ref": "#/$defs/x"}


def test_ids_anchors_and_local_definitions_of_3_1() -> None:
    schemas = {
        "Base": {
            "$id": "https://example.com/base",
            "type": "object",
            "properties": {"own": {"$ref": "#/$defs/inner"}, "marked": {"$ref": "#here"}},
            "$defs": {"inner": {"type": "object"}, "other": {"$anchor": "here", "type": "array"}},
        }
    }
    schema = schema_of(with_schema({"$ref": "https://example.com/base"}, schemas=schemas))
    assert schema["properties"]["a"] == {"$ref": "#/$defs/base"}
    assert schema["$defs"]["base"] == {
        "type": "object",
        "properties": {"own": {"$ref": "#/$defs/inner"}, "marked": {"$ref": "#/$defs/here"}},
    }
    assert (schema["$defs"]["inner"], schema["$defs"]["here"]) == ({"type": "object"}, {"type": "array"})


@pytest.mark.parametrize(
    "reference",
    [
        "#/components/schemas/None",
        "#/paths/0",
        "#nothing",
        "other.yaml#/A",
        "https://example.com/a.yaml",
        "file:///etc/passwd",
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error_with_its_place(reference: str) -> None:
    with pytest.raises(InvalidInputError, match="leads nowhere") as caught:
        schema_of(with_schema({"$ref": reference}))
    assert reference in str(caught.value)


def test_a_circle_of_references_is_an_error() -> None:
    circle = {"A": {"$ref": "#/components/parameters/B"}, "B": {"$ref": "#/components/parameters/A"}}
    document = minimal({"parameters": [{"$ref": "#/components/parameters/A"}]}, components={"parameters": circle})
    with pytest.raises(InvalidInputError, match="leads in a circle"):
        schema_of(document)


def test_one_broken_operation_does_not_break_the_others() -> None:
    document = with_schema({"$ref": "#/nowhere"})
    document["paths"]["/good"] = {"get": {"operationId": "good"}}
    client = OpenAPI(document)
    assert client.operation("good").definition.name == "good"


def test_a_broken_definition_breaks_every_operation_that_uses_it_and_no_other() -> None:
    schemas = {"Bad": {"properties": {"a": {"$ref": "#/nowhere"}}}, "Good": {"type": "object"}}
    document = with_schema({"$ref": "#/components/schemas/Bad"}, schemas=schemas)
    other = with_schema({"$ref": "#/components/schemas/Good"})["paths"]["/things"]["get"]
    document["paths"]["/again"] = {"get": {**document["paths"]["/things"]["get"], "operationId": "again"}}
    document["paths"]["/good"] = {"get": {**other, "operationId": "good"}}
    client = OpenAPI(document)
    for name in ("call", "again", "call"):
        with pytest.raises(InvalidInputError, match="'#/nowhere' leads nowhere"):
            client.operation(name)
    assert client.operation("good").definition.parameters["$defs"] == {"Good": {"type": "object"}}


# Several documents

SHARED = {
    "Pet": {"type": "object", "properties": {"friend": {"$ref": "#/Pet"}, "toy": {"$ref": "deeper/toys.yaml#/Toy"}}}
}
TOYS = {"Toy": {"type": "object", "properties": {"owner": {"$ref": "../shared.json#/Pet"}}}}


def folder(root: Path) -> Path:
    (root / "api" / "deeper").mkdir(parents=True)
    (root / "secret.json").write_text('{"A": {"type": "object"}}')
    (root / "api" / "shared.json").write_text(json.dumps(SHARED))
    (root / "api" / "deeper" / "toys.yaml").write_text(json.dumps(TOYS))
    main = root / "api" / "openapi.json"
    main.write_text(json.dumps(with_schema({"$ref": "shared.json#/Pet"})))
    return main


def test_a_file_may_refer_to_files_below_its_folder(tmp_path: Path) -> None:
    tool = OpenAPI(folder(tmp_path)).operation("call").definition
    assert tool.parameters["$defs"] == {
        "Pet": {"type": "object", "properties": {"friend": {"$ref": "#/$defs/Pet"}, "toy": {"$ref": "#/$defs/Toy"}}},
        "Toy": {"type": "object", "properties": {"owner": {"$ref": "#/$defs/Pet"}}},
    }


@pytest.mark.parametrize(
    "reference", ["../secret.json#/A", "link.json#/A", "/secret.json#/A", "http://127.0.0.1:1/a#/A"]
)
def test_a_file_may_not_refer_to_anything_else(tmp_path: Path, reference: str) -> None:
    main = folder(tmp_path)
    (main.parent / "link.json").symlink_to(tmp_path / "secret.json")
    main.write_text(json.dumps(with_schema({"$ref": reference.replace("/secret.json", f"{tmp_path}/secret.json", 1)})))
    with pytest.raises(InvalidInputError, match="leads nowhere"):
        OpenAPI(main).operation("call")


def by_path(**bodies: Any) -> Behaviour:
    def behave(line: Line, request: Received) -> bool:
        return answer(bodies[request.path.strip("/").replace("/", "_").partition(".")[0]])(line, request)

    return behave


@both_modes
def test_a_url_may_refer_to_urls_of_the_same_origin(mode: str) -> None:
    main = with_schema({"$ref": "shared.json#/Pet"})
    with serving(by_path(v1_openapi=main, v1_shared=SHARED, v1_deeper_toys=TOYS)) as server:
        document = drive(mode, Document.read_async(f"{server.url}/v1/openapi.json"))
        assert set(OpenAPI(document).operation("call").definition.parameters["$defs"]) == {"Pet", "Toy"}
        assert len(server.requests) == 3


def test_a_url_may_not_refer_to_another_origin() -> None:
    with serving(answer({})) as other:
        main = with_schema({"$ref": f"{other.url}/a.json#/A"})
        with serving(answer(main)) as server, pytest.raises(InvalidInputError, match="leads nowhere"):
            OpenAPI(f"{server.url}/openapi.json").operation("call")
        assert other.requests == []
