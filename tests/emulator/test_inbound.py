"""Inbound credentials in front of agents: who is let in, who is not and why, and what the agent sees of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest

from agentrun.emulator import Emulator
from agentrun.emulator.control.addresses import check_from_inside
from agentrun.emulator.wire.envelope import ServiceError
from tests.emulator import bodies
from tests.emulator.agents import deployed
from tests.emulator.signed import CREDENTIALS, RUNTIMES, Account, account_of, refusal
from tests.token_server import SigningKey, TokenServer, token_server
from tests.unit.servers import after, answer

CALL = "/agent-runtimes/agent/endpoints/Default/invocations"


@dataclass
class Door:
    """A running agent whose callers are asked for the credential `guard`."""

    account: Account
    path: str

    def guard(self, kind: str, secret: str = "", **public: Any) -> None:
        """Let the agent's callers be asked for another credential."""
        self.account.call("DELETE", f"{CREDENTIALS}/guard")
        self.account.done("POST", CREDENTIALS, bodies.credential("guard", **content(kind, secret, **public)))

    def change(self, **changes: Any) -> None:
        self.account.done("PUT", f"{CREDENTIALS}/guard", changes)

    def call(self, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        """Call the agent without a signature, in this account."""
        sent = {"x-acs-parent-id": self.account_id, **(headers or {})}
        return self.account.client.post(f"{CALL}/x", content=b"hi", headers=sent, **options)

    def bearer(self, token: str) -> httpx.Response:
        return self.call({"authorization": f"Bearer {token}"})

    @property
    def account_id(self) -> str:
        found: str = self.account.done("GET", self.path)["agentRuntimeArn"].split(":")[3]
        return found


def content(kind: str, secret: str = "", **public: Any) -> dict[str, Any]:
    return {"credentialAuthType": kind, "credentialSecret": secret, "credentialPublicConfig": public}


@pytest.fixture(scope="module")
def door(emulator: Emulator, client: httpx.Client) -> Iterator[Door]:
    account = account_of(emulator, client)
    account.done("POST", CREDENTIALS, bodies.credential("guard", **content("api_key", "first")))
    path = deployed(account, credentialName="guard")
    yield Door(account, path)
    account.done("DELETE", path)


@pytest.fixture
def keys() -> Iterator[TokenServer]:
    with token_server() as server:
        yield server


def seen(answered: httpx.Response) -> dict[str, str]:
    """The headers that the agent saw."""
    assert answered.status_code == 201, answered.text
    return {name.lower(): value for name, value in answered.json()["headers"].items()}


def refused(answered: httpx.Response, status: int = 401) -> str:
    message = refusal(answered, status)
    assert ("www-authenticate" in answered.headers) is (status == 401)
    return message


# API keys


@pytest.mark.parametrize("value", ["sk-1", "Bearer sk-1", "bearer sk-1", "Bearer  sk-1"])
def test_a_key_in_authorization(door: Door, value: str) -> None:
    door.guard("api_key", "sk-1")
    assert "authorization" not in seen(door.call({"authorization": value})), "the agent must not see it"


@pytest.mark.parametrize("value", ["", "Bearer", None])
def test_no_key(door: Door, value: str | None) -> None:
    door.guard("api_key", "sk-1")
    answered = door.call({} if value is None else {"authorization": value})
    assert "send an API key in the header 'Authorization: Bearer KEY'" in refused(answered)
    assert answered.headers["www-authenticate"] == 'Bearer realm="agentrun"'
    assert answered.json()["code"] == "ERR_CREDENTIAL_REQUIRED"


@pytest.mark.parametrize("value", ["sk-2", "Bearer sk-", "Basic sk-1", "Bearersk-1", "sk-1 sk-1", "sk-é"])
def test_a_wrong_key(door: Door, value: str) -> None:
    door.guard("api_key", "sk-1")
    answered = door.call({"authorization": value.encode("latin-1")})  # type: ignore[dict-item]
    assert "is wrong" in refused(answered)
    assert answered.json()["code"] == "ERR_CREDENTIAL_INVALID"


def test_a_key_in_a_header_of_its_own(door: Door) -> None:
    door.guard("api_key", "sk-1", headerKey="X-My-Key")
    headers = seen(door.call({"x-my-key": "sk-1", "authorization": "the agent's business"}))
    assert "x-my-key" not in headers
    assert headers["authorization"] == "the agent's business"
    answered = door.call({"authorization": "Bearer sk-1"})
    assert "'x-my-key: KEY'" in refused(answered)
    assert answered.headers["www-authenticate"] == 'ApiKey realm="agentrun", header="x-my-key"'


def test_a_key_with_a_prefix_of_its_own(door: Door) -> None:
    door.guard("api_key", "sk-1", prefix="Token token=")
    assert seen(door.call({"authorization": "Token token=sk-1"}))
    assert seen(door.call({"authorization": "Bearer sk-1"}))
    assert refused(door.call({"authorization": "Token token=sk-2"}))


def test_an_empty_secret_lets_nobody_in(door: Door) -> None:
    door.guard("api_key", "")
    assert refused(door.call({"authorization": "Bearer x"}))
    assert refused(door.call())


# Users


def basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def test_users(door: Door) -> None:
    door.guard("basic", users=[{"username": "ann", "password": "a:é"}, {"username": "bob", "password": "b"}])
    for pair in (("ann", "a:é"), ("bob", "b")):
        assert "authorization" not in seen(door.call({"authorization": basic(*pair)}))
    for pair in (("ann", "b"), ("bob", ""), ("", "")):
        assert "name or password is wrong" in refused(door.call({"authorization": basic(*pair)}))
    answered = door.call({"authorization": "Bearer x"})
    assert refused(answered)
    assert answered.headers["www-authenticate"].startswith("Basic realm=")
    assert refused(door.call({"authorization": "Basic %%%"}))


# Tokens


@pytest.mark.parametrize("make", [SigningKey.rsa, SigningKey.ec])
def test_a_token_by_keys_given(door: Door, make: Any) -> None:
    key, other = make(), make("two")
    door.guard("jwt", authType="static", jwks=json.dumps({"keys": [key.public, other.public]}))
    for token in (key.token(), other.token(), key.token(kid=None), key.token(exp=None)):
        assert "authorization" not in seen(door.bearer(token))
    answered = door.call()
    assert "signed token" in refused(answered)
    assert answered.headers["www-authenticate"] == 'Bearer realm="agentrun"'


def test_tokens_that_are_refused(door: Door) -> None:
    key, stranger, curve = SigningKey.rsa(), SigningKey.rsa(), SigningKey.ec()
    door.guard("jwt", authType="static", jwks=json.dumps({"keys": [key.public]}))
    now = int(time.time())
    head, body, signature = key.token().split(".")
    forged = base64.urlsafe_b64encode(json.dumps({"sub": "root"}).encode()).decode().rstrip("=")
    confused = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "one"}).encode()).decode().rstrip("=")
    tokens = {
        "time is over": key.token(exp=now - 1),
        "time has not come": key.token(nbf=now + 60),
        "signature is wrong": stranger.token(),
        "no key of the set": key.token(kid="unknown"),
        "algorithm is not one": curve.token(),
        "not a signed token": "abc",
    }
    for reason, token in tokens.items():
        message = refused(door.bearer(token))
        assert reason in message, message
    for token in (
        f"{head}.{forged}.{signature}",
        jwt.encode({"sub": "x"}, "", algorithm="none", headers={"kid": "one"}),
        f"{confused}.{body}.{hs256(f'{confused}.{body}', key.pem)}",
        f"{head}.{body}.",
        f"{head}..{signature}",
        "a" * 20_000,
    ):
        answered = door.bearer(token)
        assert "the token is refused" in refused(answered)
        assert 'error="invalid_token"' in answered.headers["www-authenticate"]


def hs256(text: str, secret: bytes) -> str:
    return base64.urlsafe_b64encode(hmac.digest(secret, text.encode(), hashlib.sha256)).decode().rstrip("=")


def test_audience_and_issuer(door: Door) -> None:
    key = SigningKey.ec()
    parts = {"audience": "mine", "issuer": "them"}
    door.guard("jwt", authType="static", jwks=json.dumps({"keys": [key.public]}), authConfig=parts)
    assert seen(door.bearer(key.token(aud="mine", iss="them")))
    assert seen(door.bearer(key.token(aud=["x", "mine"], iss="them")))
    for claims in ({"aud": "other", "iss": "them"}, {"aud": "mine", "iss": "the"}, {"aud": "mine"}, {"iss": "them"}):
        assert refused(door.bearer(key.token(**claims)))


def test_keys_at_a_url_are_kept_and_turned_over(door: Door, keys: TokenServer) -> None:
    key, following = SigningKey.rsa(), SigningKey.rsa("two")
    keys.keys = [key.public]
    remote = {"uri": f"{keys.url}/jwks", "timeout": 5000, "ttl": 60_000}
    door.guard("jwt", authType="remote", remoteConfig=remote)
    for _ in range(5):
        assert seen(door.bearer(key.token()))
    assert keys.keys_asked == 1
    keys.keys = [following.public]
    time.sleep(1.1)
    assert seen(door.bearer(following.token())), "a key that is not known yet is looked for at once"
    assert "no key of the set" in refused(door.bearer(key.token())), "and who is gone counts no more"
    asked = keys.keys_asked
    for _ in range(5):
        assert refused(door.bearer(key.token(kid="unknown")))
    assert keys.keys_asked <= asked + 2, "strangers do not make us ask for each of their tokens"


def test_keys_at_a_url_end(door: Door, keys: TokenServer) -> None:
    key = SigningKey.ec()
    keys.keys = [key.public]
    door.guard("jwt", authType="remote", remoteConfig={"uri": f"{keys.url}/jwks", "timeout": 5000, "ttl": 1000})
    assert seen(door.bearer(key.token()))
    keys.broken = answer(b"no", 500)
    time.sleep(1.1)
    assert "key set cannot be read" in refusal(door.bearer(key.token()), 503), "nobody is let in by keys that are over"
    keys.broken = None
    time.sleep(1.1)
    assert seen(door.bearer(key.token()))


BROKEN = {
    "answered with status 404": answer(b"", 404),
    "it is not JSON": answer(b"<html>"),
    'an object with a list "keys"': answer(b"[]"),
    "a shared secret": answer({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}),
    "larger than": answer(b"x" * 2**21),
    "within 0.3 s": after(20, answer(b"")),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_keys_at_a_url_that_are_none(door: Door, keys: TokenServer, reason: str) -> None:
    keys.broken = BROKEN[reason]
    door.guard("jwt", authType="remote", remoteConfig={"uri": f"{keys.url}/jwks", "timeout": 300, "ttl": 30000})
    assert reason in refusal(door.bearer(SigningKey.ec().token()), 503)


@pytest.mark.parametrize(
    ("public", "reason"),
    [
        ({"jwks": "{"}, "not JSON"),
        ({"jwks": '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'}, "shared secret"),
        ({"jwks": '{"keys": [{"kty": "RSA", "d": "c2VjcmV0"}]}'}, "private key"),
        ({"remoteConfig": {"uri": "file:///etc/passwd"}}, "http or https URL"),
    ],
)
def test_keys_that_are_refused_when_given(account: Account, public: dict[str, Any], reason: str) -> None:
    message = account.refused(400, "POST", CREDENTIALS, bodies.credential("k", **content("jwt", **public)))
    assert reason in message
    assert "c2VjcmV0" not in message


@pytest.mark.parametrize(
    "public", [{"remoteConfig": {"uri": "http://10.0.0.1/"}}, {"authConfig": {"tokenUrl": "http://x/"}}]
)
def test_code_inside_names_no_address_that_we_would_ask(public: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="create this resource from outside") as caught:
        check_from_inside(bodies.credential(credentialPublicConfig=public), "http://127.0.0.1:1")
    assert caught.value.status == 403


# Enabled, changed, gone


def test_disabled_and_enabled_again(door: Door) -> None:
    door.guard("api_key", "sk-1")
    door.change(enabled=False)
    assert "guard of agent is disabled" in refused(door.bearer("sk-1"), 403)
    door.change(enabled=True)
    assert seen(door.bearer("sk-1"))


def test_a_new_secret_counts_at_once(door: Door) -> None:
    door.guard("api_key", "sk-1")
    assert seen(door.bearer("sk-1"))
    door.change(credentialSecret="sk-2")
    assert seen(door.bearer("sk-2"))
    assert refused(door.bearer("sk-1"))


def test_what_was_before_counts_for_as_long_as_asked(door: Door) -> None:
    door.guard("api_key", "sk-1")
    grace = {"authConfig": {"previousValidSeconds": "2"}}
    door.change(credentialSecret="sk-2", credentialPublicConfig=grace)
    assert seen(door.bearer("sk-1"))
    assert seen(door.bearer("sk-2"))
    shown = door.account.done("GET", f"{CREDENTIALS}/guard")
    assert "sk-1" not in json.dumps(shown)
    assert "previous" not in json.dumps(shown)
    time.sleep(2.1)
    assert refused(door.bearer("sk-1"))
    assert seen(door.bearer("sk-2"))


def test_users_before_count_for_as_long_as_asked(door: Door) -> None:
    door.guard("basic", users=[{"username": "ann", "password": "a"}])
    users = [{"username": "bob", "password": "b"}]
    door.change(credentialPublicConfig={"users": users, "authConfig": {"previousValidSeconds": "60"}})
    assert seen(door.call({"authorization": basic("ann", "a")}))
    door.change(credentialPublicConfig={"users": users})
    assert refused(door.call({"authorization": basic("ann", "a")})), "another change ends it"
    assert seen(door.call({"authorization": basic("bob", "b")}))


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "99999999999999", "1.5"])
def test_a_grace_that_is_none(door: Door, seconds: str) -> None:
    door.guard("api_key", "sk-1")
    parts = {"authConfig": {"previousValidSeconds": seconds}}
    assert "previousValidSeconds must be" in door.account.refused(
        400, "PUT", f"{CREDENTIALS}/guard", {"credentialSecret": "sk-2", "credentialPublicConfig": parts}
    )
    assert seen(door.bearer("sk-1"))


def test_a_call_under_way_goes_on(door: Door) -> None:
    door.guard("api_key", "sk-1")
    headers = {"authorization": "Bearer sk-1", "x-acs-parent-id": door.account_id}
    with door.account.client.stream("GET", f"{CALL}/stream", headers=headers) as answered:
        lines = answered.iter_lines()
        assert next(lines).startswith("data: 0")
        door.change(credentialSecret="sk-2", enabled=False)
        assert refused(door.bearer("sk-1"), 403)
        now = time.time()
        assert any(float(line.split()[2]) > now for line in lines if line), "what was sent after the change arrives"


def test_tokens_are_refused_at_once_though_their_keys_are_kept(door: Door, keys: TokenServer) -> None:
    key = SigningKey.ec()
    keys.keys = [key.public]
    door.guard("jwt", authType="remote", remoteConfig={"uri": f"{keys.url}/jwks", "timeout": 5000, "ttl": 60_000})
    assert seen(door.bearer(key.token()))
    door.change(enabled=False)
    assert refused(door.bearer(key.token()), 403)


def test_a_deleted_credential_lets_nobody_in(door: Door) -> None:
    door.guard("api_key", "sk-1")
    door.account.done("DELETE", f"{CREDENTIALS}/guard")
    assert "which is gone" in refused(door.bearer("sk-1"), 403)


# Who needs none


def test_the_account_itself_needs_no_credential(door: Door) -> None:
    door.guard("api_key", "sk-1")
    request = door.account.data_request("POST", f"{CALL}/x", content=b"hi")
    request.headers["authorization"] = "Bearer sk-1"
    assert "authorization" not in seen(door.account.client.send(request))
    door.change(enabled=False)
    assert seen(door.account.data("POST", f"{CALL}/x", b"hi"))


def test_another_account_is_not_let_in_by_its_signature(door: Door, emulator: Emulator, client: httpx.Client) -> None:
    door.guard("api_key", "sk-1")
    stranger = account_of(emulator, client)
    assert refusal(stranger.data("POST", f"{CALL}/x", b"hi"), 404)


def test_a_credential_opens_nothing_else(door: Door) -> None:
    door.guard("api_key", "sk-1")
    headers = {"authorization": "Bearer sk-1", "x-acs-parent-id": door.account_id}
    logs = door.account.client.get("/agent-runtimes/agent/endpoints/Default/logs", headers=headers)
    assert refusal(logs, 401)
    assert refusal(door.account.client.get("/sandboxes", headers=headers), 401)
    assert door.account.client.get(RUNTIMES, headers=headers).status_code == 401


def test_the_endpoint_that_is_shown_is_enough(door: Door, client: httpx.Client) -> None:
    """Without an account: by the runtime's id, and by a name whose credential fits."""
    door.guard("api_key", f"sk-{door.account.key}")
    headers = {"authorization": f"Bearer sk-{door.account.key}"}
    runtime = door.path.rsplit("/", 1)[1]
    by_id = CALL.replace("agent/", f"{runtime}/", 1)
    assert seen(client.post(f"{by_id}/x", content=b"hi", headers=headers))
    assert seen(client.post(f"{CALL}/x", content=b"hi", headers=headers))
    assert client.post(f"{by_id}/x", content=b"hi").status_code == 401


def test_a_runtime_that_asks_for_nothing_stays_closed(emulator: Emulator, client: httpx.Client) -> None:
    account = account_of(emulator, client)
    path = deployed(account, "open")
    answered = client.post(CALL.replace("agent/", "open/", 1), content=b"hi")
    assert "no Agentrun-Authorization signature" in refusal(answered, 401)
    account.done("DELETE", path)


def test_an_outbound_credential_guards_nothing(door: Door) -> None:
    door.account.call("DELETE", f"{CREDENTIALS}/guard")
    body = bodies.credential("guard", **content("api_key", "sk-1"))
    door.account.done("POST", CREDENTIALS, {**body, "credentialSourceType": "external_tool"})
    assert "no Agentrun-Authorization signature" in refusal(door.bearer("sk-1"), 401)


# What may be named


def test_what_no_caller_can_show_is_refused(account: Account) -> None:
    for kind in ("ak_sk", "custom_header"):
        account.done("POST", CREDENTIALS, bodies.credential(kind, **content(kind)))
        assert "no caller can show" in account.refused(400, "POST", RUNTIMES, bodies.runtime(credentialName=kind))
    assert "create it first" in account.refused(400, "POST", RUNTIMES, bodies.runtime(credentialName="none"))
    assert "create it first" in account.refused(400, "POST", RUNTIMES, bodies.runtime(credentialId="none"))


def test_a_credential_is_named_by_its_id(account: Account) -> None:
    made = account.done("POST", CREDENTIALS, bodies.credential("one", **content("api_key", "sk-1")))
    account.done("POST", CREDENTIALS, bodies.credential("two", **content("api_key", "sk-1")))
    both = bodies.runtime(credentialId=made["credentialId"], credentialName="two")
    assert "two credentials" in account.refused(400, "POST", RUNTIMES, both)
    runtime = account.done("POST", RUNTIMES, bodies.runtime(credentialId=made["credentialId"]))
    assert runtime["credentialName"] == "one"
    related = account.done("GET", f"{CREDENTIALS}/one")["relatedResources"]
    assert [(each["resourceType"], each["resourceId"]) for each in related] == [("runtime", runtime["agentRuntimeId"])]
    account.done("DELETE", f"{RUNTIMES}/{runtime['agentRuntimeId']}")


# Who has used it


def test_who_has_used_it_is_known(door: Door) -> None:
    door.guard("api_key", "sk-1")
    assert door.account.done("GET", f"{CREDENTIALS}/guard")["usage"] == {"users": []}
    for _ in range(3):
        seen(door.bearer("sk-1"))
    refused(door.bearer("wrong"))
    usage = door.account.done("GET", f"{CREDENTIALS}/guard")["usage"]
    runtime = door.path.rsplit("/", 1)[1]
    (user,) = usage["users"]
    assert (user["resourceType"], user["resourceId"], user["resourceName"], user["calls"]) == (
        "runtime",
        runtime,
        "agent",
        3,
    )
    assert usage["lastUsedAt"] == user["lastUsedAt"]
