"""Credentials shown to others and asked of callers, in both modes: against real servers over TCP."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from agentrun._core import signing
from agentrun.agent_runtime import (
    AgentRuntime,
    AgentRuntimeClient,
    AgentRuntimeCode,
    AgentRuntimeDataAPI,
    AgentRuntimeLanguage,
)
from agentrun.config import Config
from agentrun.credential import Credential, CredentialBasicAuth, CredentialConfig
from agentrun.emulator import Emulator
from agentrun.errors import (
    AuthenticationError,
    CredentialError,
    InvalidInputError,
    PermissionDeniedError,
    UnsupportedError,
)
from tests.emulator import bodies
from tests.emulator.agents import agent
from tests.resources.modes import Mode
from tests.token_server import token_server
from tests.unit.servers import answer, serving

ANYWHERE = "https://api.example.com/"
CLOUD = Config(
    access_key_id="AK", access_key_secret="hidden", account_id="1", control_endpoint="https://agentrun.example.com"
)


def made(config: Config, given: CredentialConfig, name: str = "one") -> Credential:
    return Credential.create(config=config, credential_name=name, credential_config=given)


def get(call: Mode, url: str, auth: httpx.Auth, **options: Any) -> httpx.Response:
    """Ask a URL by a client of the mode."""
    if call.name == "sync":
        with httpx.Client(auth=auth, trust_env=False) as client:
            return client.request("GET", url, **options)
    return call(_Asynchronous(auth), "get", url, **options)  # type: ignore[no-any-return]


class _Asynchronous:
    def __init__(self, auth: httpx.Auth) -> None:
        self._auth = auth

    async def get_async(self, url: str, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(auth=self._auth, trust_env=False) as client:
            return await client.request("GET", url, **options)


KINDS = {
    "a key": (CredentialConfig.outbound_tool_api_key("k"), {"Authorization": "Bearer k"}),
    "a key in a header": (CredentialConfig.outbound_tool_api_key("k", "X-Key"), {"X-Key": "k"}),
    "a key with a prefix": (CredentialConfig.outbound_tool_api_key("k", prefix="Key "), {"Authorization": "Key k"}),
    "a key in a cookie": (CredentialConfig.outbound_tool_api_key("k", cookie_key="sid"), {"Cookie": "sid=k"}),
    "a model's key": (CredentialConfig.outbound_llm_api_key("k", "openai"), {"Authorization": "Bearer k"}),
    "a user": (CredentialConfig.outbound_tool_basic("ann", "a"), {"Authorization": "Basic YW5uOmE="}),
    "a token": (CredentialConfig.outbound_tool_jwt("a.b.c"), {"Authorization": "Bearer a.b.c"}),
    "headers": (CredentialConfig.outbound_tool_custom_header({"X-A": "1"}), {"X-A": "1"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_headers(call: Mode, config: Config, kind: str) -> None:
    given, headers = KINDS[kind]
    made(config, given)
    credential = call(Credential, "get_by_name", "one", config)
    assert call(credential, "headers") == headers
    with serving(answer({})) as server:
        assert get(call, server.url, credential.auth()).status_code == 200
        received = server.requests[0].headers
        assert {name: received[name.lower()] for name in headers} == headers


def test_a_key_in_the_query(call: Mode, config: Config) -> None:
    credential = made(config, CredentialConfig.outbound_tool_api_key("k&", query_key="key"))
    with pytest.raises(CredentialError, match=r"query.*auth\(\)"):
        call(credential, "headers")
    with serving(answer({})) as server:
        get(call, f"{server.url}/a?b=1", credential.auth())
        assert server.requests[0].path == "/a?b=1&key=k%26"


def test_an_access_key_signs(call: Mode, config: Config) -> None:
    credential = made(config, CredentialConfig.outbound_tool_ak_sk("aliyun", "AK", "SK", "1"))
    sent = {"x-acs-action": "List", "x-acs-version": "2020-01-01", "content-type": "application/json"}
    with serving(answer({})) as server:
        get(call, f"{server.url}/a?b=1", credential.auth(), headers=sent, content=b"{}")
        received = server.requests[0]
    given = signing.parse_authorization(received.headers["authorization"])
    assert given
    digest = received.headers["x-acs-content-sha256"]
    headers = received.headers
    assert given.signature == signing.sign_control(
        "SK", "GET", "/a", [("b", "1")], headers, given.signed_headers, digest
    )
    custom = made(config, CredentialConfig.outbound_tool_ak_sk_custom({"id": "hidden"}), "two")
    with pytest.raises(CredentialError, match="Sign with its parts yourself") as caught:
        call(custom, "headers", url=ANYWHERE)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("client_auth", ["basic", "body"])
def test_client_credentials(call: Mode, config: Config, client_auth: str) -> None:
    with token_server(client_secret="hidden") as server:
        given = CredentialConfig.outbound_oauth2_client_credentials(
            server.token_url, "client", "hidden", ["read", "write"], audience="them", client_auth=client_auth
        )
        credential = made(config, given)
        assert "hidden" not in f"{given!r} {credential!r}"
        auth = credential.auth()
        assert [get(call, f"{server.url}/resource", auth).status_code for _ in range(3)] == [200] * 3
        assert (len(server.given), server.asked[0]["scope"]) == (1, "read write")
        server.valid.clear()
        assert get(call, f"{server.url}/resource", auth).status_code == 200, "a refused token is asked for anew"
        assert call(credential, "headers") == {"Authorization": f"Bearer {server.given[-1]}"}
        server.client_secret = "changed"
        server.valid.clear()
        with pytest.raises(CredentialError, match="invalid_client") as caught:
            get(call, f"{server.url}/resource", auth)
        assert "hidden" not in f"{caught.value!r}"


def test_a_refresh_token_that_changes_is_kept_by_the_platform(call: Mode, config: Config) -> None:
    with token_server(refresh_tokens={"first"}, rotates=True) as server:
        given = CredentialConfig.outbound_oauth2_refresh_token(server.token_url, "client", "secret", "first")
        credential = made(config, given)
        assert get(call, f"{server.url}/resource", credential.auth()).status_code == 200
        kept = Credential.get_by_name("one", config)
        assert kept.credential_public_config
        assert kept.credential_public_config["authConfig"]["refreshToken"] in server.refresh_tokens
        assert get(call, f"{server.url}/resource", kept.auth()).status_code == 200, "so another process goes on"
        assert len(server.given) == 2


def test_disabled_elsewhere(call: Mode, config: Config) -> None:
    credential = made(config, CredentialConfig.outbound_tool_api_key("k"))
    assert call(credential, "headers")
    Credential.update_by_name("one", enabled=False, config=config)
    time.sleep(1.1)
    with pytest.raises(CredentialError, match="disabled"):
        call(credential, "headers")
    credential.update(enabled=True, credential_config=CredentialConfig.outbound_tool_api_key("new"))
    assert call(credential, "headers") == {"Authorization": "Bearer new"}, "what was changed here counts at once"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: CredentialConfig.outbound_oauth2_client_credentials("nowhere", "c", "hidden"), "tokenUrl"),
        (lambda: CredentialConfig.outbound_oauth2_client_credentials("http://x", "", "hidden"), "clientId"),
        (lambda: CredentialConfig.outbound_oauth2_client_credentials("http://x", "c", "hidden", "read"), r"\['read'\]"),
        (lambda: CredentialConfig.outbound_oauth2_refresh_token("http://x", "c", "hidden", ""), "refreshToken"),
        (lambda: CredentialConfig.outbound_tool_api_key("hidden", query_key="a", cookie_key="b"), "one place"),
    ],
)
def test_what_cannot_be_made(make: Any, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason) as caught:
        make()
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        CredentialConfig.outbound_oauth2_client_credentials("https://x/token", "c", "s"),
        CredentialConfig.outbound_tool_api_key("k", query_key="key"),
        CredentialConfig.inbound_static_jwt('{"keys": []}', audience="me"),
        CredentialConfig.inbound_remote_jwt("https://x/jwks", issuer="them"),
    ],
)
def test_extensions_are_not_sent_to_the_cloud(call: Mode, given: CredentialConfig) -> None:
    with pytest.raises(UnsupportedError, match="extension of the local platform"):
        call(Credential, "create", config=CLOUD, credential_name="one", credential_config=given)
    with pytest.raises(UnsupportedError, match="previous_valid_seconds"):
        call(Credential, "update_by_name", "one", config=CLOUD, previous_valid_seconds=5)


def test_usage_of_the_cloud(call: Mode) -> None:
    wire = {"code": "SUCCESS", "data": {"credentialName": "one"}}
    with serving(answer(wire)) as server:
        config = CLOUD.replace(control_endpoint=server.url)
        with pytest.raises(UnsupportedError, match="related_resources"):
            call(Credential(credential_name="one").set_config(config), "usage")


# Asked of callers


@dataclass
class Guarded:
    """A running agent behind the credential `key`, and the account that both belong to."""

    config: Config
    key: Credential
    runtime: AgentRuntime

    def caller(self, **headers: str) -> AgentRuntimeDataAPI:
        """Somebody who has no access key, but may show something."""
        account = self.config.get_account_id()
        sent = {"X-Acs-Parent-Id": account, **headers}
        config = Config(data_endpoint=self.config.get_data_endpoint(), account_id=account, headers=sent)
        return AgentRuntimeDataAPI("guarded", config=config)


@pytest.fixture(scope="module")
def guarded(emulator: Emulator) -> Iterator[Guarded]:
    config = emulator.config("key-of-guarded")
    key = made(config, CredentialConfig.inbound_api_key("first", "X-Door"), "door")
    code = AgentRuntimeCode(
        zip_file=base64.b64encode(agent()).decode(),
        language=AgentRuntimeLanguage.PYTHON312,
        command=["python3", "main.py"],
    )
    runtime = AgentRuntime.create(
        config=config, agent_runtime_name="guarded", credential_name="door", code_configuration=code
    )
    yield Guarded(config, key, runtime.wait_until_ready(interval_seconds=0.1))
    runtime.delete()
    config.close()


@pytest.fixture(autouse=True)
def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGENTRUN_ACCESS_KEY_ID", "AGENTRUN_ACCESS_KEY_SECRET"):
        monkeypatch.delenv(name, raising=False)


def test_a_caller_shows_the_credential(call: Mode, guarded: Guarded) -> None:
    guarded.key.update(enabled=True, credential_config=CredentialConfig.inbound_api_key("first", "X-Door"))
    seen = call(guarded.caller(**{"X-Door": "first"}), "invoke", "/x", json={})["headers"]
    assert "x-door" not in {name.lower() for name in seen}
    with pytest.raises(AuthenticationError, match="'x-door: KEY'"):
        call(guarded.caller(), "invoke", "/x", json={})
    with pytest.raises(AuthenticationError, match="wrong"):
        call(guarded.caller(**{"X-Door": "second"}), "invoke", "/x", json={})
    call(guarded.key, "update", enabled=False)
    with pytest.raises(PermissionDeniedError, match="door of guarded is disabled"):
        call(guarded.caller(**{"X-Door": "first"}), "invoke", "/x", json={})


def test_a_key_changes_without_a_gap(call: Mode, guarded: Guarded) -> None:
    guarded.key.update(enabled=True, credential_config=CredentialConfig.inbound_api_key("first", "X-Door"))
    new = CredentialConfig.inbound_api_key("second", "X-Door")
    changed = call(guarded.key, "update", credential_config=new, previous_valid_seconds=3)
    assert "authConfig" not in changed.credential_public_config
    for key in ("first", "second"):
        assert call(guarded.caller(**{"X-Door": key}), "invoke", "/x", json={})
    time.sleep(3.1)
    with pytest.raises(AuthenticationError):
        call(guarded.caller(**{"X-Door": "first"}), "invoke", "/x", json={})


def test_users_of_a_runtime(call: Mode, guarded: Guarded) -> None:
    users = [CredentialBasicAuth(username="ann", password="a")]
    credential = made(guarded.config, CredentialConfig.inbound_basic(users), f"users-{call.name}")
    guarded.runtime.update(credential_name=credential.credential_name)
    guarded.runtime.wait_until_ready(interval_seconds=0.1)
    given = {"Authorization": f"Basic {base64.b64encode(b'ann:a').decode()}"}
    assert call(guarded.caller(**given), "invoke", "/x", json={})
    usage = call(credential, "usage")
    assert [(user.resource_type, user.resource_name, user.calls) for user in usage.users] == [("runtime", "guarded", 1)]
    assert usage.last_used_at == usage.users[0].last_used_at
    assert [each.resource_name for each in call(credential, "get").related_resources] == ["guarded"]
    guarded.runtime.update(credential_name="door")
    guarded.runtime.wait_until_ready(interval_seconds=0.1)


CHAT = """
import http.server, json

class Agent(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        message = {"role": "assistant", "content": "door: " + str(self.headers.get("x-door"))}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Agent).serve_forever()
"""


def test_a_chat_with_a_guarded_agent(call: Mode, config: Config) -> None:
    made(config, CredentialConfig.inbound_api_key("open", "X-Door"))
    code = AgentRuntimeCode(
        zip_file=base64.b64encode(bodies.zipped({"main.py": CHAT})).decode(),
        language=AgentRuntimeLanguage.PYTHON312,
        command=["python3", "main.py"],
    )
    runtime = AgentRuntime.create(
        config=config, agent_runtime_name="chat", credential_name="one", code_configuration=code
    ).wait_until_ready(interval_seconds=0.1)
    asked: dict[str, Any] = {"agent_runtime_name": "chat", "messages": [{"role": "user", "content": "hi"}]}
    account = {"X-Acs-Parent-Id": config.get_account_id()}
    caller = Config(data_endpoint=config.get_data_endpoint(), account_id=config.get_account_id(), headers=account)
    shown = {"X-Door": "open"}
    for settings, more in ((caller.replace(headers={**account, **shown}), {}), (caller, {"extra_headers": shown})):
        answered = call(AgentRuntimeClient(settings), "invoke_openai", **asked, **more)
        assert answered.choices[0].message.content == "door: None"
    with pytest.raises(AuthenticationError, match="'x-door: KEY'"):
        call(AgentRuntimeClient(caller), "invoke_openai", **asked)
    runtime.delete()
