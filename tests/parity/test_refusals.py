"""Every operation refuses what is wrong, in the words and the envelope that its clients understand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from agentrun.emulator import Emulator
from agentrun.emulator.wire.table import Operation, table
from tests.parity.conftest import Connect
from tests.parity.generated import ASYNC, MODES, Generated, Refused
from tests.parity.kinds import ENDPOINT, KNOWLEDGE_BASE, MODEL_PROXY, MODEL_SERVICE
from tests.parity.refusals import REFUSALS, TEMPLATE, TOOL, Refusal
from tests.parity.written import Written, make

ACCOUNT = "parity-refusals"


@pytest.fixture(scope="module")
def world(connect: Connect, echo_zip: str) -> Mapping[str, str]:
    """The labels of one resource of each kind, all in one account."""
    return asyncio.run(_world(connect(ACCOUNT, ASYNC), echo_zip))


async def _world(client: Generated, echo_zip: str) -> Mapping[str, str]:
    endpoint = await make(client, ENDPOINT, echo_zip)
    for kind in (MODEL_SERVICE, MODEL_PROXY, KNOWLEDGE_BASE):
        await Written(client, kind).create(kind.given)
    await client.call("CreateTemplate", body={**TEMPLATE, "templateName": "template"})
    await client.call("GetTemplate", "template")
    await client.call("CreateTool", body={**TOOL, "toolName": "tool"})
    running, stopped = [await client.call("CreateSandbox", body={"templateName": "template"}) for _ in range(2)]
    await client.call("StopSandbox", stopped["sandboxId"])
    return {
        "runtime": endpoint.shown["agentRuntimeId"],
        "endpoint": endpoint.label,
        "sandbox": running["sandboxId"],
        "stopped": stopped["sandboxId"],
    }


def filled(value: Any, world: Mapping[str, str]) -> Any:
    text = json.dumps(value)
    for name, label in world.items():
        text = text.replace(f"{{{name}}}", label)
    return json.loads(text)


def assert_noted(emulator: Emulator, refused: Refused, action: str) -> None:
    """The request id that the client was told is the one under which the emulator noted the refusal."""
    noted = [entry for entry in emulator.journal.entries(operation=action) if entry.request_id == refused.request_id]
    assert [entry.status for entry in noted] == [refused.status]


def test_every_operation_of_the_emulator_refuses_something(emulator: Emulator) -> None:
    assert {refusal.action for refusal in REFUSALS} == set(emulator.platform.handlers)


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
async def test_it_is_refused(
    refusal: Refusal, mode: str, emulator: Emulator, connect: Connect, world: Mapping[str, str]
) -> None:
    with pytest.raises(Refused) as caught:
        await connect(ACCOUNT, mode).call(refusal.action, *filled(refusal.names, world), **filled(refusal.given, world))
    refused = caught.value
    assert (refused.status, refused.code) == refusal.answer
    assert refused.kind == ("ServerException" if refused.status >= 500 else "ClientException")
    assert filled(refusal.text, world) in refused.text
    assert_noted(emulator, refused, refusal.action)


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES)
async def test_what_is_not_implemented_says_so(mode: str, emulator: Emulator, connect: Connect) -> None:
    client = connect(ACCOUNT, mode)
    absent = [operation for operation in table().operations if operation.action not in emulator.platform.handlers]
    assert len(absent) == 100 - len(emulator.platform.handlers)
    for operation in absent:
        with pytest.raises(Refused) as caught:
            await client.call(operation.action, *["some"] * operation.path.count("{"), **_smallest_body(operation))
        refused = caught.value
        assert (refused.kind, refused.status, refused.code) == ("ServerException", 501, "ERR_NOT_IMPLEMENTED")
        assert refused.text.startswith(f"{operation.action} ")
        assert_noted(emulator, refused, operation.action)


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES)
async def test_a_wrong_secret_is_refused(mode: str, emulator: Emulator) -> None:
    client = Generated(emulator.url.removeprefix("https://"), ACCOUNT, "wrong", mode)
    with pytest.raises(Refused, match="does not match: its secret is wrong") as caught:
        await client.call("ListCredentials")
    refused = caught.value
    assert (refused.kind, refused.status, refused.code) == ("ClientException", 401, "SignatureDoesNotMatch")


def _smallest_body(operation: Operation) -> Mapping[str, Any]:
    return {"body": _smallest(operation.body)} if operation.body else {}


def _smallest(kind: str) -> Any:
    """The smallest value that a type of the contract allows."""
    schemas = table().schemas
    if kind in schemas:
        return {name: _smallest(spec["type"]) for name, spec in schemas[kind].items() if spec.get("required")}
    if kind.startswith("List["):
        return [_smallest(kind[5:-1])]
    scalars: dict[str, Any] = {"str": "some", "int": 1, "float": 1.0, "bool": True}
    return scalars.get(kind, {})
