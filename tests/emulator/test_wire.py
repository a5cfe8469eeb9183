"""The control plane's wire: routing, strict checking, names in paths, bodies."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from agentrun._serving.asgi import Message
from agentrun.emulator import Emulator
from agentrun.emulator.http import Request
from agentrun.emulator.wire.envelope import ServiceError
from agentrun.emulator.wire.table import Operation, table
from tests.emulator import bodies
from tests.emulator.agents import wait_until
from tests.emulator.signed import (
    API,
    CREDENTIALS,
    MODEL_SERVICES,
    RUNTIMES,
    TEMPLATES,
    Account,
    account_of,
    client_of,
    refusal,
    segment,
)

OPERATIONS = table().operations
SERVED = {
    "GetAccessToken",
    *(f"{verb}{kind}" for verb in ("Create", "Get", "Update", "Delete") for kind in ("Credential", "ModelService")),
    *(f"{verb}{kind}" for verb in ("Create", "Get", "Update", "Delete") for kind in ("Template", "AgentRuntime")),
    *(f"{verb}ModelProxy" for verb in ("Create", "Get", "Update", "Delete")),
    *(f"{verb}AgentRuntimeEndpoint" for verb in ("Create", "Get", "Update", "Delete")),
    *(f"{verb}Sandbox" for verb in ("Create", "Get", "Delete", "Stop", "Pause", "Resume")),
    *("CreateKnowledgeBase", "GetKnowledgeBase", "UpdateKnowledgeBase", "DeleteKnowledgeBase", "ListKnowledgeBases"),
    *("ListCredentials", "ListModelServices", "ListTemplates", "ListAgentRuntimes", "ListAgentRuntimeEndpoints"),
    *(f"{verb}Tool" for verb in ("Create", "Get", "Update", "Delete")),
    *("ListTools", "ActivateTemplateMCP", "StopTemplateMCP"),
    *("ListAgentRuntimeVersions", "PublishRuntimeVersion", "ListSandboxes", "ListModelProxies", "ListModelProviders"),
}
SCOPE: dict[str, Any] = {"method": "POST", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}


@pytest.fixture(scope="module")
def loose() -> Iterator[tuple[Emulator, Account]]:
    with Emulator(strict=False) as emulator, client_of(emulator) as client:
        yield emulator, account_of(emulator, client)


def path_of(operation: Operation) -> str:
    return re.sub(r"\{\w+\}", "absent", operation.path)


def required_of(schema: str) -> Any:
    """The least value that a schema takes."""
    values: dict[str, Any] = {"str": "x", "int": 1, "float": 1.0, "bool": True, "List[str]": ["x"]}
    if schema in values:
        return values[schema]
    fields = table().schemas.get(schema, {})
    return {name: required_of(spec["type"]) for name, spec in fields.items() if spec.get("required")}


def test_the_contract_has_a_hundred_operations() -> None:
    assert len(OPERATIONS) == 100
    assert {operation.action for operation in OPERATIONS} >= SERVED


def test_the_emulator_serves_what_it_says(emulator: Emulator) -> None:
    assert set(emulator.platform.handlers) == SERVED


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.action)
def test_every_operation_is_routed(account: Account, operation: Operation) -> None:
    body = required_of(operation.body) if operation.body else None
    answer = account.call(operation.method, path_of(operation), body)
    assert answer.json()["code"] not in ("InvalidAction.NotFound", "UnsupportedHTTPMethod")
    if operation.action in SERVED:
        assert answer.status_code in (200, 400, 404), answer.text
    else:
        assert operation.action in refusal(answer, 501)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.body], ids=lambda operation: operation.action)
def test_every_body_is_checked(account: Account, operation: Operation) -> None:
    path = path_of(operation)
    assert "surelyUnknown is not a field" in account.refused(
        400, operation.method, path, {**required_of(operation.body or ""), "surelyUnknown": 1}
    )
    for name in required_of(operation.body or ""):
        body = required_of(operation.body or "")
        del body[name]
        assert f"{name} is required" in account.refused(400, operation.method, path, body)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.action)
def test_every_query_is_checked(account: Account, operation: Operation) -> None:
    body = required_of(operation.body) if operation.body else None
    message = account.refused(400, operation.method, path_of(operation), body, surelyUnknown="1")
    assert "query parameter surelyUnknown is unknown" in message


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_a_wrong_method_is_refused(client: httpx.Client, method: str) -> None:
    answer = client.request(method, CREDENTIALS)
    assert answer.status_code == 405
    if method != "HEAD":
        assert f"takes GET, POST, not {method}" in refusal(answer, 405)


@pytest.mark.parametrize("path", [f"{API}/nothing", f"{API}/", f"{CREDENTIALS}/a/b", f"{RUNTIMES}/a/endpoints/b/c"])
def test_an_unknown_path_is_refused(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert "no path" in refusal(answer, 404)
    assert answer.json()["code"] == "InvalidAction.NotFound"


def test_an_unknown_path_outside_the_api_is_refused(client: httpx.Client) -> None:
    assert "no path /elsewhere" in refusal(client.get("/elsewhere"), 404)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"credentialsecret": "x"}, "did you mean credentialSecret?"),
        ({"credential_secret": "x"}, "did you mean credentialSecret?"),
        ({"zzz": 1}, "zzz is not a field of CreateCredentialInput: known are credentialAuthType"),
        ({"enabled": "yes"}, "enabled must be a boolean, not str"),
        ({"enabled": 1}, "enabled must be a boolean, not int"),
        ({"description": 3}, "description must be a string, not int"),
        ({"credentialPublicConfig": "x"}, "credentialPublicConfig must be an object, not str"),
        ({"credentialPublicConfig": {"headerkey": "x"}}, "credentialPublicConfig.headerkey is not a field"),
        ({"credentialPublicConfig": {"users": {}}}, "credentialPublicConfig.users must be a list, not dict"),
        ({"credentialPublicConfig": {"users": [{"user": "x"}]}}, "credentialPublicConfig.users[0].user is not a field"),
        ({"credentialPublicConfig": {"users": ["x"]}}, "credentialPublicConfig.users[0] must be an object, not str"),
        ({"credentialPublicConfig": {"authConfig": {"a": 1}}}, "credentialPublicConfig.authConfig.a must be a string"),
        ({"credentialPublicConfig": {"remoteConfig": {"ttl": 1.5}}}, "remoteConfig.ttl must be an integer, not float"),
        ({"credentialName": []}, "credentialName is required"),
        ({"credentialName": None}, "credentialName is required"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(account: Account, changes: dict[str, Any], message: str) -> None:
    assert message in account.refused(400, "POST", CREDENTIALS, bodies.credential(**changes))
    assert account.done("GET", CREDENTIALS)["items"] == []


def test_all_problems_are_told_at_once(account: Account) -> None:
    message = account.refused(400, "POST", CREDENTIALS, {"credentialName": 1, "nme": "x"})
    for part in ("credentialAuthType is required", "credentialName must be a string", "nme is not a field"):
        assert part in message


def test_whole_floats_are_integers_and_integers_are_numbers(account: Account) -> None:
    account.done("POST", TEMPLATES, bodies.template(memory=4096.0, cpu=2))


def test_a_body_where_none_belongs_is_refused(account: Account) -> None:
    assert "takes no body" in account.refused(400, "PUT", f"{API}/sandboxes/x/pause", {"a": 1})


@pytest.mark.parametrize("body", [5, "x", [1], True])
def test_a_body_of_another_kind_is_refused(account: Account, body: Any) -> None:
    assert "object" in account.refused(400, "POST", CREDENTIALS, body)
    assert "object" in account.refused(400, "PATCH", f"{TEMPLATES}/x/mcp/activate", body)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe",
        b'{"cpu": NaN}',
        b'{"cpu": 1e999}',
        b"[" * 200_000,
        b'{"description": "\\ud800"}',
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda content: repr(content[:12]),
)
def test_a_body_that_is_not_json_is_refused(account: Account, content: bytes) -> None:
    answer = account.client.send(account.control_request("POST", CREDENTIALS, content=content))
    assert "the body is not JSON" in refusal(answer, 400)


def test_empty_lists_and_nulls_count_as_not_given(account: Account) -> None:
    account.done("POST", MODEL_SERVICES, bodies.model_service(modelInfoConfigs=[{"modelName": "m"}]))
    account.done("PUT", f"{MODEL_SERVICES}/model", {"modelInfoConfigs": [], "description": None})
    assert account.done("GET", f"{MODEL_SERVICES}/model")["modelInfoConfigs"] == [{"modelName": "m"}]


NAMES = ["a/b", "käse 中文 🎉", "100%", "%2F", "a+b", "a?b=c", "a#b", "a b", "a;b=c,d", "'\"\\", "~-_."]


@pytest.mark.parametrize("name", NAMES)
def test_names_with_any_letters(account: Account, name: str) -> None:
    account.done("POST", CREDENTIALS, bodies.credential(name))
    path = f"{CREDENTIALS}/{segment(name)}"
    assert account.done("GET", path)["credentialName"] == name
    assert account.done("PUT", path, {"description": "x"})["description"] == "x"
    assert [item["credentialName"] for item in account.done("GET", CREDENTIALS, credentialName=name)["items"]] == [name]
    account.done("DELETE", path)
    assert "does not exist" in account.refused(404, "GET", path)


@pytest.mark.parametrize("name", ["", " ", "x" * 129])
def test_names_that_are_none(account: Account, name: str) -> None:
    assert "credentialName must have 1 to 128" in account.refused(400, "POST", CREDENTIALS, bodies.credential(name))


def test_ten_megabytes_travel(account: Account) -> None:
    text = "é" * (5 * 2**20)
    account.done("POST", CREDENTIALS, bodies.credential(description=text))
    assert account.done("GET", f"{CREDENTIALS}/key")["description"] == text


@pytest.mark.asyncio
async def test_a_body_over_the_limit_is_refused() -> None:
    chunk = bytes(2**20)

    async def receive() -> Message:
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    with pytest.raises(ServiceError, match="larger than 256 MiB") as caught:
        await Request(dict(SCOPE), receive, send).body()
    assert caught.value.status == 413


@pytest.mark.asyncio
async def test_a_body_that_breaks_off_is_no_body() -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"{}", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    with pytest.raises(ConnectionAbortedError):
        await Request(dict(SCOPE), receive, send).body()


def test_a_caller_that_leaves_in_the_middle_is_noted(emulator: Emulator, account: Account) -> None:
    request = account.control_request("POST", CREDENTIALS, content=b"x" * 100)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection(("127.0.0.1", emulator.port)) as connection:
        connection.sendall(f"POST {CREDENTIALS} HTTP/1.1\r\n{head}\r\nxxx".encode())
    wait_until(lambda: 499 in [entry.status for entry in emulator.journal.entries(operation="CreateCredential")])


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "101", "²", "9" * 5000, " 1"])
def test_a_page_that_is_none_is_refused(account: Account, value: str) -> None:
    assert "pageSize must be a whole number from 1 to 100" in account.refused(400, "GET", CREDENTIALS, pageSize=value)


@pytest.mark.parametrize("value", ["x", "²", "-1", "9" * 30, "9" * 5000])
def test_a_token_that_is_none_is_refused(account: Account, value: str) -> None:
    assert "nextToken" in account.refused(400, "GET", f"{API}/sandboxes", nextToken=value)


def test_loose_notes_what_strict_refuses(loose: tuple[Emulator, Account]) -> None:
    emulator, account = loose
    account.done("POST", CREDENTIALS, bodies.credential(zzz=1), verbose="1")
    entry = emulator.journal.entries(operation="CreateCredential")[-1]
    assert entry.status == 200
    assert any("zzz is not a field" in remark for remark in entry.remarks)
    assert any("query parameter verbose is unknown" in remark for remark in entry.remarks)


@pytest.mark.parametrize(
    "body", [{}, [], 5, bodies.template(cpu="two"), bodies.template(networkConfiguration="x")], ids=str
)
def test_loose_still_refuses_what_cannot_be_done(loose: tuple[Emulator, Account], body: Any) -> None:
    message = loose[1].refused(400, "POST", TEMPLATES, body)
    assert "required" in message or "must be" in message


def test_the_envelope_has_one_request_id(account: Account) -> None:
    answer = account.call("GET", CREDENTIALS)
    body = json.loads(answer.content)
    assert body["code"] == "SUCCESS"
    assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", body["requestId"])
    assert answer.headers["x-acs-request-id"] == body["requestId"]
