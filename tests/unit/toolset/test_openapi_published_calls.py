"""Operations of published documents, picked at random, are called against a server made from the same document."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agentrun._core.values import is_list, is_mapping
from agentrun.toolset.openapi import OpenAPI
from tests.unit.modes import both_modes, drive
from tests.unit.servers import serving
from tests.unit.toolset.documents import document_of
from tests.unit.toolset.making import Unmakeable, make
from tests.unit.toolset.mock_api import MockAPI, modern

SEED = 20260727
# How many operations are called, and in how many tries: for some no value is found, such as for odd patterns.
SAMPLES = {
    "api.github.com.json": 60,
    "stripe.com.json": 60,
    "kubernetes.io.json": 40,
    "petstore-3.0.json": 14,
    "petstore-3.1.json": 14,
    "readme-3.1.json": 40,
    "star-trek-3.0.json": 40,
    "readme-legacy-3.0.json": 30,
    "uspto-3.0.json": 2,
}


def arguments_for(schema: Mapping[str, Any], randomness: random.Random) -> dict[str, Any] | None:
    """Arguments that the tool's schema allows, None when none were found."""
    definitions = schema.get("$defs", {})
    validator: Any = Draft202012Validator(schema)
    for _ in range(6):
        try:
            made = make(schema, lambda reference: definitions[reference.removeprefix("#/$defs/")], randomness)
        except Unmakeable:
            continue
        if validator.is_valid(made):
            return dict(made)
    return None


@lru_cache(maxsize=1)
def modern_of(name: str) -> Any:
    root = document_of(name).root
    return modern(root, root)


def as_text(value: Any) -> Any:
    """A value as it looks when everything is text: what a form cannot say is not compared."""
    if is_mapping(value):
        return {key: as_text(part) for key, part in value.items() if part not in ({}, [])}
    if is_list(value):
        return [as_text(part) for part in value]
    return (
        json.dumps(value)
        if isinstance(value, (bool, type(None)))
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def check_received(client: OpenAPI, name: str, arguments: dict[str, Any], mock: MockAPI) -> None:
    """Every argument has reached the server, where it belongs and with its value."""
    call, operation = mock.calls[-1], client.operation(name)
    body: dict[str, Any] = {}
    for argument, value in arguments.items():
        spec = operation.arguments[argument]
        if spec.location == "body":
            body[spec.wire] = value
        else:
            assert as_text(call.values[spec.location, spec.wire]) == as_text(value), (name, argument)
    if body and operation.body is not None and not operation.body.is_file:
        sent = body if operation.body.properties else body["body"]
        files = {each.wire for each in operation.arguments.values() if each.takes_files}
        kept = {key: part for key, part in sent.items() if key not in files} if is_mapping(sent) else sent
        received = (
            {key: part for key, part in call.body.items() if key not in files} if is_mapping(call.body) else call.body
        )
        assert as_text(received) == as_text(kept), name


@both_modes
@pytest.mark.parametrize("name", SAMPLES)
def test_calls_arrive_as_the_document_says(name: str, mode: str) -> None:
    document = document_of(name)
    randomness = random.Random(f"{SEED}{name}{mode}")
    mock = MockAPI(modern_of(name), SEED)
    called = 0
    with serving(mock.behaviour()) as server:
        client = OpenAPI(document, base_url=server.url)
        tools = client.definitions()

        async def calls() -> int:
            done = 0
            for tool in randomness.sample(tools, len(tools)):
                if done == SAMPLES[name]:
                    break
                arguments = arguments_for(tool.parameters, randomness)
                if arguments is None:
                    continue
                result = await client.invoke_tool_async(tool.name, arguments)
                assert mock.faults == [], (tool.name, arguments)
                assert result.status_code == 200
                check_received(client, tool.name, arguments, mock)
                done += 1
            return done

        called = drive(mode, calls())
    assert called >= SAMPLES[name]
