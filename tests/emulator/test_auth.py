"""Who calls: both signatures, tampering, time, nonces, temporary keys, access tokens, tenants."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import httpx
import pytest

from agentrun._core import signing
from agentrun._core.local import account_id
from agentrun.emulator import Emulator, ManualClock
from tests.emulator import bodies
from tests.emulator.signed import API, CREDENTIALS, TEMPLATES, Account, account_of, client_of, refusal

SANDBOX_ID = "absent"
SANDBOX = f"/sandboxes/{SANDBOX_ID}"
MUST_SIGN_CONTROL = (
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-version",
)
MUST_SIGN_DATA = ("host", "x-acs-content-sha256", "x-acs-date")


@pytest.fixture(scope="module")
def keyed() -> Iterator[tuple[Emulator, httpx.Client]]:
    """An emulator that knows one pair of its own beside the default secret."""
    with Emulator(access_keys={"mine": "my-secret"}) as emulator, client_of(emulator) as client:
        yield emulator, client


@pytest.fixture(scope="module")
def open_house() -> Iterator[httpx.Client]:
    with Emulator(verify_signatures=False) as emulator, client_of(emulator) as client:
        yield client


@pytest.fixture
def still(clock: ManualClock) -> Iterator[tuple[Emulator, Account]]:
    """An emulator whose time stands, and an account that calls at that time."""
    with Emulator(clock=clock) as emulator, client_of(emulator) as client:
        yield emulator, account_of(emulator, client).at(clock.now())


def temporary(emulator: Emulator, account: Account, key: str, seconds: float = 3600) -> Account:
    minted = emulator.platform.auth.temporary_key(key, seconds)
    return replace(account, key=minted.access_key_id, secret=minted.access_key_secret, token=minted.security_token)


def changed(request: httpx.Request, **parts: Any) -> httpx.Request:
    """The request with some parts exchanged and its signature left as it was."""
    headers = {**dict(request.headers), **parts.get("headers", {})}
    url = request.url.copy_with(raw_path=parts["path"].encode()) if "path" in parts else request.url
    content = parts.get("content", request.content)
    headers["content-length"] = str(len(content))
    return httpx.Request(parts.get("method", request.method), url, headers=headers, content=content)


# Control plane


def test_a_signed_control_request_is_accepted(account: Account) -> None:
    assert account.call("GET", CREDENTIALS).status_code == 200


def test_no_signature_is_refused(client: httpx.Client) -> None:
    answer = client.get(CREDENTIALS)
    assert "no ACS3-HMAC-SHA256 signature" in refusal(answer, 401)
    assert answer.json()["code"] == "MissingAuthorization"


@pytest.mark.parametrize(
    "value", ["", "Basic eDp5", "ACS3-HMAC-SHA256", "ACS3-HMAC-SHA256 Credential=x", "ACS3-HMAC-SHA256 ,,,="]
)
def test_a_signature_that_is_none_is_refused(client: httpx.Client, value: str) -> None:
    refusal(client.get(CREDENTIALS, headers={"authorization": value}), 401)


@pytest.mark.parametrize("plane", ["control", "data"])
@pytest.mark.parametrize("signature", ["", "0" * 64, "\xe9\xe9", "x" * 10_000])
def test_a_made_up_signature_is_refused(account: Account, plane: str, signature: str) -> None:
    control = plane == "control"
    request = account.control_request("GET", CREDENTIALS) if control else account.data_request("GET", SANDBOX)
    name = "authorization" if control else signing.DATA_HEADER
    given = request.headers[name].partition("Signature=")[0] + f"Signature={signature}"
    raw = [(key, value) for key, value in request.headers.raw if key.decode().lower() != name.lower()]
    forged = httpx.Request("GET", request.url, headers=[*raw, (name.encode(), given.encode("latin-1"))])
    refusal(account.client.send(forged), 401)


def test_the_wrong_secret_is_refused(account: Account) -> None:
    answer = replace(account, secret="wrong").call("GET", CREDENTIALS)
    assert "does not match" in refusal(answer, 401)
    assert answer.json()["code"] == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "parts",
    [
        {"method": "POST"},
        {"method": "DELETE", "path": f"{CREDENTIALS}/key"},
        {"path": TEMPLATES},
        {"path": f"{CREDENTIALS}?pageSize=51"},
        {"path": CREDENTIALS},
        {"path": f"{CREDENTIALS}?pageSize=50&pageSize=50"},
        {"path": f"{CREDENTIALS}?pageSize=50&pageNumber=2"},
        {"content": b"{}"},
        {"headers": {"accept": "text/html"}},
        {"headers": {"host": "localhost"}},
        {"headers": {"x-acs-version": "2025-09-11"}},
        {"headers": {"x-acs-action": "CreateCredential"}},
        {"headers": {"x-acs-signature-nonce": "another"}},
        {"headers": {"x-acs-content-sha256": hashlib.sha256(b"{}").hexdigest()}},
        {"headers": {"x-acs-extra": "changed"}},
    ],
    ids=str,
)
def test_tampering_with_a_control_request_is_refused(account: Account, parts: dict[str, Any]) -> None:
    request = account.control_request("GET", CREDENTIALS, query=[("pageSize", "50")], headers={"x-acs-extra": "x"})
    refusal(account.client.send(changed(request, **parts)), 401)
    assert account.client.send(request).status_code == 200, "refused requests must not use up the nonce"


@pytest.mark.parametrize("plane", ["control", "data"])
def test_tampering_with_the_time_is_refused(account: Account, plane: str) -> None:
    build = account.control_request if plane == "control" else account.data_request
    request = build("GET", CREDENTIALS if plane == "control" else SANDBOX)
    earlier = signing.timestamp(datetime.fromtimestamp(time.time() - 5, timezone.utc))
    refusal(account.client.send(changed(request, headers={"x-acs-date": earlier})), 401)


def test_tampering_with_a_body_is_refused(account: Account) -> None:
    content = json.dumps(bodies.credential()).encode()
    request = account.control_request("POST", CREDENTIALS, content=content)
    other = content.replace(bodies.SECRET.encode(), b"sk-9")
    assert "hash of the body" in refusal(account.client.send(changed(request, content=other)), 401)
    digest = {"x-acs-content-sha256": hashlib.sha256(other).hexdigest()}
    refusal(account.client.send(changed(request, content=other, headers=digest)), 401)
    assert account.client.send(request).status_code == 200


@pytest.mark.parametrize("name", MUST_SIGN_CONTROL)
def test_a_control_signature_must_cover_what_matters(account: Account, name: str) -> None:
    request = account.control_request("GET", CREDENTIALS, unsigned=[name])
    assert f"must cover the header {name}" in refusal(account.client.send(request), 401)


@pytest.mark.parametrize("name", [name for name in MUST_SIGN_CONTROL if name != "host"])
def test_a_signed_header_must_be_there(account: Account, name: str) -> None:
    request = account.control_request("GET", CREDENTIALS)
    del request.headers[name]
    assert f"needs the header {name}" in refusal(account.client.send(request), 401)


def test_the_action_must_be_that_of_the_path(account: Account) -> None:
    request = account.control_request("GET", CREDENTIALS, headers={"x-acs-action": "ListTemplates"})
    assert "x-acs-action is ListTemplates" in refusal(account.client.send(request), 401)


def test_a_data_signature_opens_no_control_plane(account: Account) -> None:
    request = account.data_request("GET", CREDENTIALS)
    request.headers["authorization"] = request.headers.pop(signing.DATA_HEADER)
    refusal(account.client.send(request), 401)


def test_a_replayed_nonce_is_refused(account: Account) -> None:
    request = account.control_request("GET", CREDENTIALS)
    assert account.client.send(request).status_code == 200
    answer = account.client.send(request)
    assert "sent before" in refusal(answer, 401)
    assert answer.json()["code"] == "SignatureNonceUsed"


def test_a_nonce_belongs_to_its_key(account: Account) -> None:
    other = replace(account, key=f"{account.key}-other")
    for caller in (account, other):
        request = caller.control_request("GET", CREDENTIALS, headers={"x-acs-signature-nonce": account.key})
        assert account.client.send(request).status_code == 200


def test_nonces_are_remembered_as_long_as_they_could_be_replayed(
    still: tuple[Emulator, Account], clock: ManualClock
) -> None:
    account = still[1].at(clock.now() + 899)
    request = account.control_request("GET", CREDENTIALS)
    assert account.client.send(request).status_code == 200
    for _ in range(6):
        clock.advance(299)
        assert "sent before" in refusal(account.client.send(request), 401)
        account.at(clock.now()).done("GET", CREDENTIALS)
    clock.advance(10)
    assert "off; fifteen minutes are allowed" in refusal(account.client.send(request), 401)


@pytest.mark.parametrize("plane", ["control", "data"])
@pytest.mark.parametrize("skew", [-901, -900, -899, 0, 899, 900, 901])
def test_a_quarter_of_an_hour_is_allowed(
    still: tuple[Emulator, Account], clock: ManualClock, plane: str, skew: int
) -> None:
    account = still[1].at(clock.now() + skew)
    answer = account.call("GET", CREDENTIALS) if plane == "control" else account.data("GET", SANDBOX)
    if abs(skew) <= 900:
        assert answer.status_code in (200, 404), answer.text
    else:
        assert f"{skew:+d} s off" in refusal(answer, 401)


@pytest.mark.parametrize("date", ["", "yesterday", "2026-11-21", "2026-11-21T00:00:00+00:00"])
def test_a_date_that_is_none_is_refused(account: Account, date: str) -> None:
    request = account.control_request("GET", CREDENTIALS, headers={"x-acs-date": date})
    assert "is not a time in UTC" in refusal(account.client.send(request), 401)


# Data plane


def test_a_signed_data_request_is_accepted(account: Account) -> None:
    assert "does not exist" in refusal(account.data("GET", SANDBOX), 404)


@pytest.mark.parametrize("region", ["cn-hangzhou", "us-west-1"])
def test_the_region_is_part_of_the_data_key(account: Account, region: str) -> None:
    request = account.data_request("GET", SANDBOX, region=region)
    assert account.client.send(request).status_code == 404
    other = request.headers[signing.DATA_HEADER].replace(region, "eu-central-1")
    refusal(account.client.send(changed(request, headers={signing.DATA_HEADER: other})), 401)


@pytest.mark.parametrize(
    "parts",
    [
        {"method": "DELETE"},
        {"path": "/sandboxes/another?a=1"},
        {"path": SANDBOX},
        {"path": f"{SANDBOX}?a=2"},
        {"path": f"{SANDBOX}?a=1&b=1"},
        {"headers": {"host": "localhost"}},
        {"headers": {"x-acs-content-sha256": "x"}},
        {"headers": {"x-acs-extra": "changed"}},
    ],
    ids=str,
)
def test_tampering_with_a_data_request_is_refused(account: Account, parts: dict[str, Any]) -> None:
    request = account.data_request("GET", SANDBOX, query=[("a", "1")], headers={"x-acs-extra": "x"})
    refusal(account.client.send(changed(request, **parts)), 401)
    assert account.client.send(request).status_code == 404


@pytest.mark.parametrize("name", MUST_SIGN_DATA)
def test_a_data_signature_must_cover_what_matters(account: Account, name: str) -> None:
    request = account.data_request("GET", SANDBOX, unsigned=[name])
    assert f"must cover the header {name}" in refusal(account.client.send(request), 401)


def test_the_scope_must_be_of_the_day(account: Account) -> None:
    request = account.data_request("GET", SANDBOX)
    day = request.headers["x-acs-date"].replace("-", "")[:8]
    other = request.headers[signing.DATA_HEADER].replace(day, "20200101")
    answer = account.client.send(changed(request, headers={signing.DATA_HEADER: other}))
    assert "scope" in refusal(answer, 401)


def test_no_signature_is_refused_on_the_data_plane(client: httpx.Client) -> None:
    assert "no access token" in refusal(client.get(SANDBOX), 401)
    assert "no access token" in refusal(client.get("/agent-runtimes/x/endpoints/Default/invocations"), 401)


# Access tokens


def token_of(account: Account, **query: str) -> str:
    token: str = account.done("GET", f"{API}/agents/accessToken", **query)["accessToken"]
    return token


def with_token(client: httpx.Client, token: str) -> httpx.Response:
    headers = [(b"authorization", f"Bearer {token}".encode("latin-1"))]
    return client.get(SANDBOX, headers=headers)


def test_an_access_token_opens_the_data_plane(account: Account) -> None:
    token = token_of(account, resourceType="sandbox", resourceId=SANDBOX_ID)
    assert with_token(account.client, token).status_code == 404
    assert with_token(account.client, f"{token}0").status_code == 401


def test_an_access_token_opens_only_what_it_names(account: Account) -> None:
    runtime = token_of(account, resourceType="runtime", resourceName="agent")
    assert "opens runtime agent" in refusal(with_token(account.client, runtime), 403)
    sandbox = {"authorization": f"Bearer {token_of(account, resourceType='sandbox', resourceId=SANDBOX_ID)}"}
    assert f"opens sandbox {SANDBOX_ID}" in refusal(account.client.get(f"{SANDBOX}x", headers=sandbox), 403)
    refusal(account.client.post("/sandboxes", json={"templateName": "t"}, headers=sandbox), 403)
    missing = {"resourceType": "runtime", "resourceId": "absent"}
    assert "does not exist" in account.refused(404, "GET", f"{API}/agents/accessToken", **missing)


def test_an_access_token_opens_no_control_plane(account: Account) -> None:
    token = token_of(account, resourceType="sandbox", resourceId="x")
    refusal(account.client.get(CREDENTIALS, headers={"authorization": f"Bearer {token}"}), 401)


def test_an_access_token_ends_after_an_hour(still: tuple[Emulator, Account], clock: ManualClock) -> None:
    account = still[1]
    token = token_of(account, resourceType="sandbox", resourceId=SANDBOX_ID)
    clock.advance(3599)
    assert with_token(account.client, token).status_code == 404
    clock.advance(2)
    assert "its time is over" in refusal(with_token(account.client, token), 401)


def test_a_forged_access_token_is_refused(account: Account) -> None:
    token = token_of(account, resourceType="sandbox", resourceId=SANDBOX_ID)
    body, _, mac = token.rpartition(".")
    other_mac = mac[:-1] + ("0" if mac[-1] != "0" else "1")
    forged = [f"{body}.{other_mac}", f"{body}.", f"{body}.\xe9", f"{body}0.{mac}", "at.", "at.a.b.c.d"]
    for each in forged:
        assert "not ours" in refusal(with_token(account.client, each), 401)


def test_a_security_token_is_no_access_token(emulator: Emulator, account: Account) -> None:
    token = emulator.platform.auth.temporary_key(account.key).security_token or ""
    refusal(with_token(account.client, token), 401)
    refusal(with_token(account.client, "at" + token.removeprefix("sts")), 401)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"resourceType": "spaceship", "resourceName": "x"}, "resourceType must be one of runtime"),
        ({"resourceName": "x"}, "not empty"),
        ({"resourceType": "runtime"}, "resourceName or resourceId is required"),
    ],
)
def test_an_access_token_for_nothing_is_refused(account: Account, query: dict[str, str], message: str) -> None:
    assert message in account.refused(400, "GET", f"{API}/agents/accessToken", **query)


# Temporary keys


def test_a_temporary_key_is_its_owner(emulator: Emulator, account: Account) -> None:
    account.done("POST", CREDENTIALS, bodies.credential())
    caller = temporary(emulator, account, account.key)
    assert caller.key.startswith("STS.")
    assert caller.done("GET", f"{CREDENTIALS}/key")["credentialSecret"] == bodies.SECRET
    assert caller.data("GET", SANDBOX).status_code == 404


@pytest.mark.parametrize("plane", ["control", "data"])
def test_a_temporary_key_needs_its_token(emulator: Emulator, account: Account, plane: str) -> None:
    def send(caller: Account, **more: Any) -> httpx.Response:
        build = caller.control_request if plane == "control" else caller.data_request
        return caller.client.send(build("GET", CREDENTIALS if plane == "control" else SANDBOX, **more))

    caller = temporary(emulator, account, account.key)
    assert "needs a signed security token" in refusal(send(replace(caller, token=None)), 401)
    assert "needs a signed security token" in refusal(send(caller, unsigned=["x-acs-security-token"]), 401)
    foreign = temporary(emulator, account, "somebody-else")
    assert "not valid" in refusal(send(replace(caller, token=foreign.token)), 401)
    assert "not valid" in refusal(send(replace(caller, token="sts.x")), 401)
    assert "does not match" in refusal(send(replace(caller, secret=account.secret)), 401)


def test_a_temporary_key_ends(still: tuple[Emulator, Account], clock: ManualClock) -> None:
    emulator, account = still
    caller = temporary(emulator, account, account.key, seconds=100)
    caller.at(clock.now()).done("GET", CREDENTIALS)
    clock.advance(101)
    answer = caller.at(clock.now()).call("GET", CREDENTIALS)
    assert "not valid any more" in refusal(answer, 401)
    assert answer.json()["code"] == "InvalidSecurityToken.Expired"


# Explicit pairs, no authentication, tenants


def test_an_explicit_pair_is_the_only_one_for_its_id(keyed: tuple[Emulator, httpx.Client]) -> None:
    emulator, client = keyed
    assert Account(client, "mine", "my-secret").call("GET", CREDENTIALS).status_code == 200
    refusal(Account(client, "mine", emulator.settings.secret).call("GET", CREDENTIALS), 401)
    assert Account(client, "other", emulator.settings.secret).call("GET", CREDENTIALS).status_code == 200
    refusal(Account(client, "other", "my-secret").call("GET", CREDENTIALS), 401)


def test_secrets_are_in_no_settings_text(keyed: tuple[Emulator, httpx.Client]) -> None:
    text = repr(keyed[0].settings)
    assert "my-secret" not in text
    assert keyed[0].settings.secret not in text


def test_without_verification_everybody_may(open_house: httpx.Client) -> None:
    assert open_house.get(CREDENTIALS).status_code == 200
    assert open_house.get(SANDBOX).status_code == 404
    open_house.post(CREDENTIALS, json=bodies.credential()).raise_for_status()
    assert Account(open_house, "local", "wrong").done("GET", f"{CREDENTIALS}/key")
    assert Account(open_house, "other", "wrong").done("GET", CREDENTIALS)["total"] == 0


def test_two_tenants_do_not_see_each_other(account: Account) -> None:
    other = replace(account, key=f"{account.key}-other")
    for caller in (account, other):
        caller.done("POST", CREDENTIALS, bodies.credential(credentialSecret=f"of {caller.key}"))
        assert caller.done("GET", CREDENTIALS)["total"] == 1
    assert account.done("GET", f"{CREDENTIALS}/key")["credentialSecret"] == f"of {account.key}"
    account.done("DELETE", f"{CREDENTIALS}/key")
    assert other.done("GET", f"{CREDENTIALS}/key")["credentialSecret"] == f"of {other.key}"


def test_accounts_have_sixteen_digits_of_their_own() -> None:
    accounts = {account_id(f"key-{number}") for number in range(1000)}
    assert len(accounts) == 1000
    assert all(len(account) == 16 and account.isdigit() for account in accounts)
