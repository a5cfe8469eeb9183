"""Tools that stand for something elsewhere: remote MCP servers and HTTP APIs, whose secrets callers never see."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from agentrun.emulator import Emulator
from tests.emulator import bodies
from tests.emulator.agents import agent
from tests.emulator.echoing import echoing
from tests.emulator.mcp_clients import connected, text_of, unsigned
from tests.emulator.mcp_servers import PLAIN, TOOLS, made, packaged, remote, settled
from tests.emulator.signed import CREDENTIALS, Account, account_of, refusal

SECRET = "sk-of-the-tool"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    with echoing() as url:
        yield url


@pytest.fixture(scope="module")
def plain(emulator: Emulator, client: httpx.Client) -> Iterator[Account]:
    """An account with a real MCP server, which is elsewhere for the other accounts."""
    account = account_of(emulator, client)
    made(account, packaged(PLAIN, name="plain"))
    yield account
    account.done("DELETE", f"{TOOLS}/plain")


def api(url: str, scheme: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An OpenAPI document of a server."""
    described: dict[str, Any] = (
        {"components": {"securitySchemes": {"s": scheme}}, "security": [{"s": []}]} if scheme else {}
    )
    servers = [{"url": url}]
    return {"openapi": "3.0.3", "info": {}, "servers": servers, "paths": {"/items": {"get": {}}}, **described, **more}


def function(document: Any, **changes: Any) -> dict[str, Any]:
    tool = {"toolName": "tool", "toolType": "FUNCTIONCALL", "createMethod": "OPENAPI_IMPORT"}
    text = document if isinstance(document, str) else json.dumps(document)
    return {**tool, "protocolSpec": text, **changes}


def mcp_remote(spec: str, **changes: Any) -> dict[str, Any]:
    tool = {"toolName": "tool", "toolType": "MCP", "createMethod": "MCP_REMOTE", "protocolSpec": spec}
    return {**tool, "mcpConfig": {"proxyEnabled": True, **changes.pop("mcpConfig", {})}, **changes}


# Remote MCP servers


@pytest.mark.asyncio
@pytest.mark.parametrize(("transport", "kind"), [("mcp", "streamableHttp"), ("sse", "sse")])
async def test_a_remote_server_is_used_through_the_emulator(
    plain: Account, account: Account, transport: str, kind: str
) -> None:
    url = f"{plain.client.base_url}/tools/plain/{transport}"
    made(account, mcp_remote(remote(url, headers=unsigned(plain), transportType=kind)))
    async with connected(account, f"/tools/tool/{transport}") as session:
        assert "count" in {tool.name for tool in (await session.list_tools()).tools}
        counted = [text_of(await session.call_tool("count", {})) for _ in range(3)]
    assert counted == ["1", "2", "3"]


def test_headers_and_credential_are_added_on_the_way(account: Account, elsewhere: str) -> None:
    account.done("POST", CREDENTIALS, bodies.credential(credentialSecret=SECRET))
    spec = remote(f"{elsewhere}/some/mcp?a=1", headers={"X-Fixed": "f", "Authorization": "mine"})
    made(account, mcp_remote(spec, credentialName="key"))
    seen = account.data("POST", "/tools/tool/mcp", b"{}", b="2").json()
    assert (seen["path"], seen["body"]) == ("/some/mcp?a=1&b=2", "{}")
    assert seen["headers"]["x-fixed"] == "f"
    assert seen["headers"]["authorization"] == f"Bearer {SECRET}"
    assert seen["headers"]["host"] == elsewhere.partition("//")[2]
    assert not [name for name in seen["headers"] if name.startswith(("x-acs", "agentrun-auth"))]


def test_the_address_for_messages_is_the_emulators_own(account: Account, elsewhere: str) -> None:
    made(account, mcp_remote(remote(f"{elsewhere}/events?to=/post?id=7", type="sse")))
    answer = account.data("GET", "/tools/tool/sse")
    lines = answer.text.splitlines()
    assert lines[:3] == [": hello", "", "event: endpoint"]
    assert lines[3].startswith("data: messages?sessionId=")
    assert "id=7" not in answer.text
    closed = account.data("POST", f"/tools/tool/{lines[3].removeprefix('data: ').partition('?')[0]}", sessionId="none")
    assert "there is no such session" in refusal(closed, 404)


def test_messages_are_not_sent_to_another_server(account: Account, elsewhere: str) -> None:
    made(account, mcp_remote(remote(f"{elsewhere}/events?to=https://example.com/post", type="sse")))
    with pytest.raises(httpx.RemoteProtocolError):
        account.data("GET", "/tools/tool/sse")


def test_who_is_not_proxied_calls_the_server(account: Account, elsewhere: str) -> None:
    made(account, mcp_remote(remote(f"{elsewhere}/mcp?key=sk-1"), mcpConfig={"proxyEnabled": False}))
    message = refusal(account.data("POST", "/tools/tool/mcp"), 409)
    assert f"call {elsewhere}/mcp yourself" in message
    assert "sk-1" not in message


def test_a_transport_that_the_server_does_not_speak(account: Account, elsewhere: str) -> None:
    made(account, mcp_remote(remote(f"{elsewhere}/sse"), mcpConfig={"sessionAffinity": "MCP_SSE"}))
    assert "is called at /tools/tool/sse" in refusal(account.data("POST", "/tools/tool/mcp"), 409)


def test_a_server_that_is_not_there(account: Account) -> None:
    made(account, mcp_remote(remote("http://127.0.0.1:1/mcp")))
    assert "tool tool does not answer" in refusal(account.data("POST", "/tools/tool/mcp"), 502)


# HTTP APIs


@pytest.mark.parametrize(
    ("scheme", "name", "value"),
    [
        (None, "authorization", f"Bearer {SECRET}"),
        ({"type": "http", "scheme": "bearer"}, "authorization", f"Bearer {SECRET}"),
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, "x-key", SECRET),
        ({"type": "apiKey", "in": "cookie", "name": "key"}, "cookie", f"other=1; key={SECRET}"),
    ],
    ids=["none", "bearer", "header", "cookie"],
)
def test_a_key_goes_where_the_scheme_says(
    account: Account, elsewhere: str, scheme: dict[str, Any] | None, name: str, value: str
) -> None:
    account.done("POST", CREDENTIALS, bodies.credential(credentialSecret=SECRET))
    made(account, function(api(f"{elsewhere}/v1", scheme), credentialName="key"))
    request = account.data_request("POST", "/tools/tool/items/a%2Fb", content=b"x", query=[("q", "ä b")])
    request.headers["cookie"] = "key=of-the-caller; other=1"
    seen = account.client.send(request).json()
    assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/v1/items/a%2Fb?q=%C3%A4+b", "x")
    assert seen["headers"][name] == value


def test_a_key_in_the_query_replaces_the_callers(account: Account, elsewhere: str) -> None:
    account.done("POST", CREDENTIALS, bodies.credential(credentialSecret=SECRET))
    scheme = {"type": "apiKey", "in": "query", "name": "key"}
    made(account, function(api(elsewhere, scheme), credentialName="key"))
    assert account.data("GET", "/tools/tool/items", key="mine", a="1").json()["path"] == f"/items?a=1&key={SECRET}"


@pytest.mark.parametrize(
    "credential",
    [
        {"credentialSecret": "u:p"},
        {"credentialAuthType": "basic", "credentialPublicConfig": {"users": [{"username": "u", "password": "p"}]}},
    ],
    ids=["secret", "user"],
)
def test_basic_takes_a_user(account: Account, elsewhere: str, credential: dict[str, Any]) -> None:
    account.done("POST", CREDENTIALS, bodies.credential(**credential))
    made(account, function(api(elsewhere, {"type": "http", "scheme": "basic"}), credentialName="key"))
    seen = account.data("GET", "/tools/tool/items").json()
    assert seen["headers"]["authorization"] == f"Basic {base64.b64encode(b'u:p').decode()}"


def test_a_credential_with_headers_of_its_own(account: Account, elsewhere: str) -> None:
    public = {"authConfig": {"X-One": "1", "X-Two": "2"}}
    kind = "custom_header"
    account.done("POST", CREDENTIALS, bodies.credential(credentialAuthType=kind, credentialPublicConfig=public))
    made(account, function(api(elsewhere), credentialName="key"))
    seen = account.data("GET", "/tools/tool/items").json()["headers"]
    assert (seen["x-one"], seen["x-two"]) == ("1", "2")


def test_what_became_of_a_credential_is_told(account: Account, elsewhere: str) -> None:
    account.done("POST", CREDENTIALS, bodies.credential())
    made(account, function(api(elsewhere), credentialName="key"))
    related = account.done("GET", f"{CREDENTIALS}/key")["relatedResources"]
    assert [(each["resourceName"], each["resourceType"]) for each in related] == [("tool", "tool")]
    account.done("PUT", f"{CREDENTIALS}/key", {"enabled": False})
    assert "credential 'key' cannot be used: it is disabled" in refusal(account.data("GET", "/tools/tool/items"), 409)
    account.done("DELETE", f"{CREDENTIALS}/key")
    assert "credential 'key' cannot be used: it does not exist" in refusal(
        account.data("GET", "/tools/tool/items"), 409
    )


def test_a_scheme_that_nobody_can_serve(account: Account, elsewhere: str) -> None:
    account.done("POST", CREDENTIALS, bodies.credential())
    made(account, function(api(elsewhere, {"type": "http", "scheme": "digest"}), credentialName="key"))
    assert "security schemes apiKey, http with basic or bearer, oauth2 and openIdConnect, not http digest" in refusal(
        account.data("GET", "/tools/tool/items"), 501
    )


def test_a_document_in_yaml_with_variables(account: Account, elsewhere: str) -> None:
    host = elsewhere.partition("//")[2]
    text = f"""
openapi: 3.1.0
servers:
  - url: http://{{host}}/{{version}}/
    variables: {{host: {{default: "{host}"}}, version: {{default: v2}}}}
paths:
  /items: {{get: {{}}}}
"""
    made(account, function(text))
    assert account.data("GET", "/tools/tool/items").json()["path"] == "/v2/items"


@pytest.mark.parametrize("path", ["%2e%2e/admin", "a/..%2f../admin"])
def test_no_path_leads_out_of_the_api(account: Account, elsewhere: str, path: str) -> None:
    made(account, function(api(f"{elsewhere}/v1")))
    url = account.client.base_url.copy_with(raw_path=f"/tools/tool/{path}".encode())
    answer = account.client.send(httpx.Request("GET", url, headers=unsigned(account)))
    assert "has no .." in refusal(answer, 400)


def test_functions_from_a_package_run_here(account: Account) -> None:
    code = bodies.code(agent(), command=["python3", "main.py"])
    made(account, function("", protocolSpec=None, createMethod="CODE_PACKAGE", codeConfiguration=code, port=9000))
    answer = account.data("GET", "/tools/tool/some/path", a="1")
    assert answer.json()["path"] == "/some/path?a=1"
    assert account.data("GET", "/tool-logs/tool").json()["lines"] == ["serving 1"]


# Skills


def test_a_skill_is_downloaded(account: Account) -> None:
    files = {"SKILL.md": "---\nname: tool\n---\nDo it well.", "scripts/run.py": "print(1)"}
    code = {"zipFile": bodies.code(bodies.zipped(files))["zipFile"]}
    skill = {"toolName": "tool", "toolType": "SKILL", "createMethod": "CODE_PACKAGE", "codeConfiguration": code}
    made(account, skill)
    answer = account.data("GET", "/tools/tool/download")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == files
    refusal(account.data("POST", "/tools/tool/download"), 405)
    refusal(account.data("GET", "/tools/tool/mcp"), 404)


# Secrets


def test_no_answer_holds_the_secret_of_a_credential(account: Account, elsewhere: str) -> None:
    account.done("POST", CREDENTIALS, bodies.credential(credentialSecret=SECRET))
    made(account, mcp_remote(remote(f"{elsewhere}/mcp"), credentialName="key"))
    for path in (TOOLS, f"{TOOLS}/tool"):
        assert SECRET not in account.call("GET", path).text
    account.done("PUT", f"{TOOLS}/tool", {"protocolSpec": remote("http://127.0.0.1:1/mcp")})
    settled(account, "tool")
    assert SECRET not in account.data("POST", "/tools/tool/mcp").text
