"""Credentials of tools, tool sets and what else uses them: shown as they are at each request, counted, and named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from agentrun.emulator import Emulator
from tests.emulator import bodies
from tests.emulator.agents import deployed
from tests.emulator.echoing import echoing
from tests.emulator.mcp_clients import begun, unsigned
from tests.emulator.mcp_servers import LISTENING, PLAIN, TOOLS, local, made, packaged, remote, settled
from tests.emulator.signed import CREDENTIALS, RUNTIMES, TEMPLATES, Account, account_of, refusal
from tests.emulator.test_tools_proxied import api, function, mcp_remote
from tests.emulator.test_toolsets import SETS, done, toolset
from tests.token_server import token_server

DISABLED = "credential 'key' cannot be used: it is disabled. Enable it, or name another one"
HOSTS = {"allowedHosts": ["api.example.com"]}


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


def credential(account: Account, secret: str = "first", name: str = "key", **changes: Any) -> None:
    given = {"credentialSourceType": "external_tool", "credentialSecret": secret, **changes}
    account.done("POST", CREDENTIALS, bodies.credential(name, **given))


def change(account: Account, name: str = "key", **changes: Any) -> None:
    account.done("PUT", f"{CREDENTIALS}/{name}", changes)


def uses(account: Account, name: str = "key") -> dict[tuple[str, str], int]:
    """How often each resource has used a credential."""
    users = account.done("GET", f"{CREDENTIALS}/{name}")["usage"]["users"]
    return {(user["resourceType"], user["resourceName"]): user["calls"] for user in users}


def related(account: Account, name: str = "key") -> set[tuple[str, str]]:
    found = account.done("GET", f"{CREDENTIALS}/{name}")["relatedResources"]
    listed = account.done("GET", CREDENTIALS, credentialName=name)["items"][0]
    assert listed["relatedResourceCount"] == len(found)
    return {(each["resourceType"], each["resourceName"]) for each in found}


# Tools


@pytest.mark.parametrize("kind", ["function", "mcp"])
def test_the_next_call_has_what_the_credential_is_by_then(account: Account, elsewhere: str, kind: str) -> None:
    credential(account)
    tool = function(api(elsewhere)) if kind == "function" else mcp_remote(remote(f"{elsewhere}/mcp"))
    made(account, {**tool, "credentialName": "key"})
    path = "/tools/tool/items" if kind == "function" else "/tools/tool/mcp"

    def shown() -> str:
        text: str = account.data("POST", path).json()["headers"]["authorization"]
        return text

    assert shown() == "Bearer first"
    change(account, credentialSecret="second")
    assert shown() == "Bearer second"
    change(account, enabled=False)
    assert refusal(account.data("POST", path), 409) == f"tool tool: {DISABLED}"
    change(account, enabled=True)
    assert shown() == "Bearer second"
    assert uses(account) == {("tool", "tool"): 3}


def test_a_tool_shows_tokens_that_are_fetched(account: Account) -> None:
    with token_server() as server:
        parts = {"grantType": "client_credentials", "tokenUrl": server.token_url, "clientId": "client"}
        public = {"authType": "oauth2", "authConfig": parts}
        credential(account, "secret", credentialAuthType="jwt", credentialPublicConfig=public)
        scheme: dict[str, Any] = {"type": "oauth2", "flows": {}}
        made(account, function(api(server.url, scheme), credentialName="key"))
        for _ in range(2):
            assert account.data("POST", "/tools/tool/resource", b"body").status_code == 200
        assert len(server.given) == 1
        server.valid.clear()
        answer = account.data("POST", "/tools/tool/resource", b"body")
        assert (answer.status_code, len(server.given)) == (200, 2), "a token that was refused is fetched anew, once"
        assert [request.body for request in server.seen] == [b"body"] * 4
        assert server.given[1] not in answer.headers.get("authorization", "")
    assert uses(account) == {("tool", "tool"): 3}


def test_a_refusal_that_no_other_token_helps_is_passed_on(account: Account) -> None:
    with token_server() as server:
        credential(account, "of no token of that server", credentialAuthType="jwt", credentialPublicConfig={})
        made(account, function(api(server.url), credentialName="key"))
        answer = account.data("GET", "/tools/tool/resource")
        assert (answer.status_code, answer.content) == (401, b"{}")
        assert server.seen[0].headers["authorization"] == "Bearer of no token of that server"


def test_a_tool_signs_with_an_access_key(account: Account, elsewhere: str) -> None:
    public = {"provider": "aliyun", "authConfig": {"accessKey": "AK-1"}}
    credential(account, "of-the-key", credentialAuthType="ak_sk", credentialPublicConfig=public)
    made(account, function(api(elsewhere), credentialName="key"))
    request = account.data_request("POST", "/tools/tool/items", content=b"{}", query=[("a", "1")])
    request.headers["x-acs-action"] = "DoIt"
    seen = account.client.send(request).json()
    authorization = seen["headers"]["authorization"]
    assert authorization.startswith("ACS3-HMAC-SHA256 Credential=AK-1,SignedHeaders=host;x-acs-action;")
    assert (seen["body"], seen["path"]) == ("{}", "/items?a=1")
    assert "of-the-key" not in json.dumps(seen)


# Sessions that are open


def test_messages_of_an_open_stream_have_what_the_credential_is_by_then(plain: Account, account: Account) -> None:
    """The credential is the account whose server it is, so that with another one there is no such server."""
    whose = unsigned(plain)["X-Acs-Parent-Id"]
    credential(account, whose, credentialPublicConfig={"headerKey": "X-Acs-Parent-Id"})
    made(account, mcp_remote(remote(f"{plain.client.base_url}/tools/plain/sse", type="sse"), credentialName="key"))
    request = account.data_request("GET", "/tools/tool/sse", headers={"accept": "text/event-stream"})
    stream = account.client.send(request, stream=True)
    try:
        lines = stream.iter_lines()
        address = next(line for line in lines if line.startswith("data:")).removeprefix("data:").strip()
        path, session = address.split("?sessionId=")

        def said() -> httpx.Response:
            ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            query = [("sessionId", session)]
            headers = {"content-type": "application/json"}
            content = json.dumps(ping).encode()
            sent = account.data_request("POST", f"/tools/tool/{path}", query=query, content=content, headers=headers)
            return account.client.send(sent)

        assert said().status_code == 202
        change(account, enabled=False)
        assert refusal(said(), 409) == f"tool tool: {DISABLED}"
        change(account, enabled=True, credentialSecret="1234567890123456")
        assert "plain does not exist" in refusal(said(), 404)
        change(account, credentialSecret=whose)
        assert said().status_code == 202
    finally:
        stream.close()


def test_a_session_that_is_open_is_refused_and_goes_on(plain: Account, account: Account) -> None:
    whose = unsigned(plain)["X-Acs-Parent-Id"]
    credential(account, whose, credentialPublicConfig={"headerKey": "X-Acs-Parent-Id"})
    url = f"{plain.client.base_url}/tools/plain/mcp"
    made(account, mcp_remote(remote(url), credentialName="key"))
    session = begun(account, "/tools/tool/mcp")
    assert session.call("count") == 1
    change(account, enabled=False)
    refused = session.send(session.request("tools/call", name="count", arguments={}))
    assert DISABLED in refusal(refused, 409)
    change(account, enabled=True)
    assert session.call("count") == 2


# Tool sets


def test_a_tool_set_refers_to_credentials_in_its_headers(account: Account, elsewhere: str) -> None:
    credential(account)
    detail = remote(f"{elsewhere}/mcp", headers={"X-Key": "key ${credential:key}", "X-Other": "${HOME}"})
    uid = done(account, "POST", SETS, toolset(detail=detail, kind="MCP"))["uid"]

    def shown() -> dict[str, str]:
        headers: dict[str, str] = account.data("POST", f"/toolsets/{uid}/mcp").json()["headers"]
        return headers

    assert (shown()["x-key"], shown()["x-other"]) == ("key first", "${HOME}")
    change(account, credentialSecret="second")
    assert shown()["x-key"] == "key second"
    assert related(account) == {("toolset", "set")}
    assert uses(account) == {("toolset", "set"): 3}
    change(account, enabled=False)
    assert refusal(account.data("POST", f"/toolsets/{uid}/mcp"), 409) == f"tool set set: {DISABLED}"


def test_an_open_session_of_a_tool_set(plain: Account, account: Account) -> None:
    whose = unsigned(plain)["X-Acs-Parent-Id"]
    credential(account, whose)
    headers = {"X-Acs-Parent-Id": "${credential:key}"}
    detail = remote(f"{plain.client.base_url}/tools/plain/mcp", headers=headers)
    uid = done(account, "POST", SETS, toolset(detail=detail, kind="MCP"))["uid"]
    session = begun(account, f"/toolsets/{uid}/mcp")
    assert session.call("count") == 1
    change(account, enabled=False)
    assert DISABLED in refusal(session.send(session.request("ping")), 409)
    change(account, enabled=True)
    assert session.call("count") == 2


# Tools that run here


def test_a_hosted_tool_refers_to_credentials_in_its_environment(account: Account) -> None:
    credential(account, credentialPublicConfig=HOSTS)
    variables = {"VALUE": "${credential:key}", "LINE": "Bearer ${placeholder:key}", "OTHER": "${HOME}"}
    made(account, packaged(PLAIN, environmentVariables=variables))
    inside = begun(account, "/tools/tool/mcp").call("environment")
    assert (inside["VALUE"], inside["OTHER"]) == ("first", "${HOME}")
    assert inside["LINE"].startswith("Bearer agentrun-placeholder-")
    assert inside["SSL_CERT_FILE"] == "/run/agentrun/egress/certificates.pem"
    shown = account.done("GET", f"{TOOLS}/tool")
    assert shown["environmentVariables"] == variables
    assert related(account) == {("tool", "tool")}
    assert uses(account) == {("tool", "tool"): 1}, "a process that has the secret is one use"
    change(account, credentialSecret="second")
    account.done("PUT", f"{TOOLS}/tool", {"environmentVariables": variables})
    settled(account, "tool")
    assert begun(account, "/tools/tool/mcp").call("environment")["VALUE"] == "second"


def test_a_hosted_tool_set_refers_to_credentials_in_its_environment(account: Account) -> None:
    credential(account)
    source = PLAIN.replace("the server has started", "up")
    detail = local("python3", "-c", source, VALUE="${credential:key}")
    uid = done(account, "POST", SETS, toolset(detail=detail, kind="MCP"))["uid"]
    assert begun(account, f"/toolsets/{uid}/mcp").call("environment")["VALUE"] == "first"
    assert related(account) == {("toolset", "set")}
    assert uses(account) == {("toolset", "set"): 1}
    done(account, "DELETE", f"{SETS}/set")
    assert related(account) == set()


def test_a_hosted_server_with_a_port(account: Account) -> None:
    credential(account)
    source = LISTENING % "streamable-http"
    made(account, packaged(source, port=8000, environmentVariables={"VALUE": "${credential:key}"}))
    assert uses(account) == {("tool", "tool"): 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${credential:missing}", "credential 'missing' cannot be used: it does not exist"),
        ("${placeholder:key}", "names no hosts"),
        ("${credential:key:password}", "has the parts secret; not password"),
        ("${credential:off}", "credential 'off' cannot be used: it is disabled"),
    ],
)
def test_what_cannot_be_given_is_told_by_the_tool(account: Account, text: str, why: str) -> None:
    credential(account)
    credential(account, "hidden", "off", enabled=False)
    account.done("POST", TOOLS, packaged(PLAIN, environmentVariables={"KEY": text}))
    shown = settled(account, "tool")
    assert shown["status"] == "CREATE_FAILED"
    assert why in shown["statusReason"]
    assert "hidden" not in shown["statusReason"]


# Who uses it


def test_everything_that_uses_a_credential_is_named(account: Account) -> None:
    credential(account, credentialPublicConfig=HOSTS)
    path = deployed(account, environmentVariables={"A": "${placeholder:key}", "B": "${credential:key}"})
    account.done("POST", TEMPLATES, bodies.template("by-name", credentialConfiguration={"credentialName": "key"}))
    account.done("POST", TEMPLATES, bodies.template("by-text", environmentVariables={"A": "${placeholder:key}"}))
    account.done("POST", TEMPLATES, bodies.template("plain"))
    expected = {("runtime", "agent"), ("template", "by-name"), ("template", "by-text")}
    assert related(account) == expected
    assert uses(account) == {("runtime", "agent"): 1}
    asked = {"templateName": "plain", "credentials": [{"credentialName": "key"}]}
    answered = account.data("POST", "/sandboxes", json.dumps(asked).encode())
    assert answered.status_code == 200, answered.text
    sandbox = answered.json()["data"]["sandboxId"]
    assert related(account) == {*expected, ("sandbox", sandbox)}
    account.data("POST", f"/sandboxes/{sandbox}/stop")
    assert related(account) == expected, "a sandbox that has ended uses nothing"
    account.done("PUT", path, {"cpu": 2.0, "memory": 4096, "port": 9000, "environmentVariables": {"A": "no more"}})
    assert related(account) == expected - {("runtime", "agent")}
    account.done("DELETE", path)
    assert account.done("GET", RUNTIMES)["items"] == []


def test_an_update_keeps_the_hosts_that_it_does_not_mention(account: Account) -> None:
    credential(account, credentialPublicConfig={**HOSTS, "headerKey": "X-Key"})
    change(account, credentialSecret="second", credentialPublicConfig={"headerKey": "X-Other"})
    shown = account.done("GET", f"{CREDENTIALS}/key")["credentialPublicConfig"]
    assert shown == {**HOSTS, "headerKey": "X-Other", "users": []}
    change(account, credentialPublicConfig={"allowedHosts": ["other.example.com"]})
    shown = account.done("GET", f"{CREDENTIALS}/key")["credentialPublicConfig"]
    assert shown == {"allowedHosts": ["other.example.com"], "users": []}


def test_an_inbound_credential_of_a_template_is_not_for_its_sandboxes(account: Account) -> None:
    account.done("POST", CREDENTIALS, bodies.credential())
    account.done("POST", TEMPLATES, bodies.template("guarded", credentialConfiguration={"credentialName": "key"}))
    answered = account.data("POST", "/sandboxes", json.dumps({"templateName": "guarded"}).encode())
    assert answered.status_code == 200, answered.text
    assert "credentials" not in answered.json()["data"]
    account.data("DELETE", f"/sandboxes/{answered.json()['data']['sandboxId']}")
