"""The generated control client reads back what it wrote, through every operation that the emulator serves."""

from __future__ import annotations

import httpx
import pytest

from agentrun.emulator import Emulator
from agentrun.emulator.wire.table import table
from tests.parity.conftest import Connect
from tests.parity.generated import MODES, Refused
from tests.parity.kinds import KINDS, RUNTIME, TEMPLATE, Kind
from tests.parity.written import KEY, make

VERSIONS = ("PublishRuntimeVersion", "ListAgentRuntimeVersions")
SANDBOXES = (
    "CreateSandbox",
    "GetSandbox",
    "ListSandboxes",
    "PauseSandbox",
    "ResumeSandbox",
    "StopSandbox",
    "DeleteSandbox",
)
TOKENS = ("GetAccessToken",)
PROVIDERS = ("ListModelProviders",)
TEMPLATE_MCP = ("ActivateTemplateMCP", "StopTemplateMCP")
# What the tests of this file do with success; each test proves its part of this claim by the journal.
DRIVEN = {action for kind in KINDS for action in kind.actions.values()} | {
    *(*VERSIONS, *SANDBOXES, *TOKENS, *PROVIDERS, *TEMPLATE_MCP)
}


def assert_answered(emulator: Emulator, account: str, *actions: str) -> None:
    """Each of the actions was answered with success for this access key."""
    number = emulator.config(account).account_id
    answered = {entry.operation for entry in emulator.journal.entries(account=number) if entry.status == 200}
    assert not set(actions) - answered


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
def test_the_bodies_give_every_field_of_the_contract(kind: Kind) -> None:
    for body, schema in (
        (kind.given, f"Create{kind.noun}Input{kind.inputs}"),
        (kind.changes, f"Update{kind.noun}Input{kind.inputs}"),
    ):
        fields = set(table().fields(schema))
        assert fields == set(body) | (set(kind.not_given) & fields)


def test_every_operation_of_the_emulator_is_driven(emulator: Emulator) -> None:
    assert set(emulator.platform.handlers) == DRIVEN


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
async def test_what_is_written_is_read(
    kind: Kind, mode: str, emulator: Emulator, connect: Connect, account: str, echo_zip: str
) -> None:
    client = connect(account, mode)
    resource = await make(client, kind, echo_zip)
    assert await resource.listed()
    for filters in kind.filters:
        assert await resource.listed(**filters), filters
    for filters in kind.misses:
        assert not await resource.listed(**filters), filters

    await resource.update(kind.changes)
    assert await resource.listed()

    refused = await resource.delete()
    assert (refused.kind, refused.status, refused.code) == ("ClientException", 404, "ERR_NOT_FOUND")
    assert "does not exist" in refused.text
    assert not await resource.listed()
    assert_answered(emulator, account, *kind.actions.values())


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES)
async def test_versions(mode: str, emulator: Emulator, connect: Connect, account: str, echo_zip: str) -> None:
    client = connect(account, mode)
    runtime = await make(client, RUNTIME, echo_zip)
    first = await client.call("PublishRuntimeVersion", runtime.label, body={"description": "first"})
    await runtime.update({"cpu": 4.0, "description": "changed"})
    second = await client.call("PublishRuntimeVersion", runtime.label, body={"description": "second"})
    for number, version in (("1", first), ("2", second)):
        assert version["agentRuntimeVersion"] == number
        assert (version["agentRuntimeName"], version["agentRuntimeId"]) == ("agent", runtime.label)
        assert version["description"] == {"1": "first", "2": "second"}[number]
        assert version["agentRuntimeArn"] == runtime.shown["agentRuntimeArn"]

    page = await client.call("ListAgentRuntimeVersions", runtime.label, pageNumber=1, pageSize=10)
    assert page["items"] == [first, second]
    second_page = await client.call("ListAgentRuntimeVersions", runtime.label, pageNumber=2, pageSize=1)
    assert (second_page["items"], second_page["total"]) == ([second], 2)

    cpus = [
        (await client.call("GetAgentRuntime", runtime.label, agentRuntimeVersion=version))["cpu"]
        for version in ("1", "2", "LATEST")
    ]
    assert cpus == [2.0, 4.0, 4.0]
    assert_answered(emulator, account, *VERSIONS)


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES)
async def test_templates_as_mcp_servers(
    mode: str, emulator: Emulator, connect: Connect, account: str, echo_zip: str
) -> None:
    client = connect(account, mode)
    await make(client, TEMPLATE, echo_zip)
    options = {"enabledTools": ["run_code", "health"], "transport": "sse"}
    shown = await client.call("ActivateTemplateMCP", "template", **options)
    assert shown["mcpOptions"] == options
    address = f"{emulator.url}/templates/template/sse"
    assert shown["mcpState"] == {"accessEndpoint": address, "status": "READY"}
    assert shown == await client.call("GetTemplate", "template")
    shown = await client.call("StopTemplateMCP", "template")
    assert shown["mcpState"] == {"status": "STOPPED"}
    assert_answered(emulator, account, *TEMPLATE_MCP)


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES)
async def test_sandboxes(mode: str, emulator: Emulator, connect: Connect, account: str, echo_zip: str) -> None:
    client = connect(account, mode)
    await make(client, TEMPLATE, echo_zip)
    created = await client.call("CreateSandbox", body={"templateName": "template", "sandboxIdleTimeoutSeconds": 60})
    named = await client.call("CreateSandbox", body={"templateName": "template", "sandboxId": "mine"})
    assert (created["status"], created["sandboxIdleTimeoutSeconds"]) == ("READY", 60)
    assert (named["sandboxId"], named["sandboxIdleTimeoutSeconds"]) == ("mine", 700)
    label = created["sandboxId"]
    assert await client.call("GetSandbox", label) == created

    assert await client.call("ListSandboxes") == {"items": [created, named]}
    first = await client.call("ListSandboxes", maxResults=1)
    rest = await client.call("ListSandboxes", maxResults=1, nextToken=first["nextToken"])
    assert [*first["items"], *rest["items"]] == [created, named]
    for query, found in (
        ({"sandboxId": "mine"}, [named]),
        ({"status": "READY", "templateName": "template", "templateType": "CodeInterpreter"}, [created, named]),
        ({"status": "TERMINATED"}, []),
    ):
        assert (await client.call("ListSandboxes", **query))["items"] == found

    shown = created
    for action, status in (("PauseSandbox", "PAUSED"), ("ResumeSandbox", "READY"), ("StopSandbox", "TERMINATED")):
        shown = await client.call(action, label)
        assert shown == await client.call("GetSandbox", label)
        assert (shown["status"], shown["createdAt"]) == (status, created["createdAt"])
    assert shown["endedAt"] >= shown["createdAt"]

    for sandbox_id in (label, "mine"):
        deleted = await client.call("DeleteSandbox", sandbox_id)
        assert (deleted["sandboxId"], deleted["status"]) == (sandbox_id, "TERMINATED")
        with pytest.raises(Refused, match="does not exist"):
            await client.call("GetSandbox", sandbox_id)
    assert await client.call("ListSandboxes") == {"items": []}
    assert_answered(emulator, account, *SANDBOXES)


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES)
async def test_providers(mode: str, emulator: Emulator, connect: Connect, account: str) -> None:
    client = connect(account, mode)
    page = await client.call("ListModelProviders", provider="deepseek", modelType="llm", pageNumber=1, pageSize=10)
    assert (page["total"], page["pageNumber"], page["pageSize"]) == (1, 1, 10)
    (item,) = page["items"]
    assert (item["providerName"], item["modelType"]) == ("deepseek", "llm")
    assert item["baseUrl"].startswith("https://api.deepseek.com")
    assert "deepseek-chat" in item["models"]
    by_model = await client.call("ListModelProviders", modelName="deepseek-chat")
    assert by_model["items"] == [item]
    assert (await client.call("ListModelProviders", modelName="no such model"))["items"] == []
    assert_answered(emulator, account, *PROVIDERS)


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES)
async def test_an_access_token_opens_the_data_plane(
    mode: str, emulator: Emulator, connect: Connect, account: str
) -> None:
    client = connect(account, mode)
    token = (await client.call("GetAccessToken", resourceType="sandbox", resourceName="none"))["accessToken"]
    async with httpx.AsyncClient(base_url=emulator.url) as web:
        bearer = {"Authorization": f"Bearer {token}"}
        statuses = [(await web.get("/sandboxes/none", headers=given)).status_code for given in ({}, bearer)]
    assert statuses == [401, 404]
    assert_answered(emulator, account, *TOKENS)


@pytest.mark.asyncio
async def test_accounts_see_nothing_of_each_other(connect: Connect, account: str) -> None:
    await connect(account).call("CreateCredential", body=KEY)
    page = await connect(f"{account}-other").call("ListCredentials")
    assert page["items"] == []
