"""What each kind of credential adds to a request, and that nothing of it shows."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from agentrun._core import signing
from agentrun._core.outbound import Outbound, Outgoing, Place, Proof, proof
from agentrun.errors import CredentialError, Executed

GET = Outgoing("GET", "https://api.example.com/v1/things?a=1")


def credential(kind: str, secret: str = "", **public: Any) -> Outbound:
    return Outbound("one", kind, public, secret)


@pytest.mark.parametrize(
    ("found", "headers"),
    [
        (credential("api_key", "k"), {"Authorization": "Bearer k"}),
        (credential("api_key", "k", prefix=""), {"Authorization": "k"}),
        (credential("api_key", "k", prefix="Token"), {"Authorization": "Tokenk"}),
        (credential("api_key", "k", prefix="Token "), {"Authorization": "Token k"}),
        (credential("basic", "ann:a"), {"Authorization": "Basic YW5uOmE="}),
        (credential("api_key", "k", prefix="Token token="), {"Authorization": "Token token=k"}),
        (credential("api_key", "k", headerKey="X-Key"), {"X-Key": "k"}),
        (credential("api_key", "k", headerKey="X-Key", prefix="Key "), {"X-Key": "Key k"}),
        (credential("basic", users=[{"username": "ü", "password": "p:q"}]), {"Authorization": "Basic w7w6cDpx"}),
        (credential("jwt", "a.b.c", authType="static"), {"Authorization": "Bearer a.b.c"}),
        (credential("custom_header", authConfig={"X-A": "1", "X-B": "2"}), {"X-A": "1", "X-B": "2"}),
    ],
)
def test_headers(found: Outbound, headers: dict[str, str]) -> None:
    assert proof(found, GET) == Proof(headers)


def test_a_key_goes_where_the_scheme_says() -> None:
    key = credential("api_key", "k &", headerKey="X-Key")
    assert proof(key, GET, Place("header", "X-Other")).headers == {"X-Other": "k &"}
    shown = proof(key, GET, Place("query", "a key"))
    assert (shown.headers, shown.url("http://x/?a=1#f")) == ({}, "http://x/?a=1&a%20key=k%20%26#f")
    assert shown.url("http://x/") == "http://x/?a%20key=k%20%26"
    assert shown.url("http://x/?a%20key=theirs&a+key=too&b=2") == "http://x/?b=2&a%20key=k%20%26", "ours alone counts"
    shown = proof(key, GET, Place("cookie", "sid"))
    assert shown.all_headers("sid=theirs;a=b") == {"Cookie": "a=b; sid=k &"}
    assert shown.all_headers() == {"Cookie": "sid=k &"}
    assert shown.all_headers("a=b") == {"Cookie": "a=b; sid=k &"}


def test_a_key_goes_where_it_says_itself() -> None:
    key = credential("api_key", "k", authConfig={"in": "query", "name": "key"})
    assert proof(key, GET).query == {"key": "k"}
    assert proof(key, GET, Place("header", "X-Key")).headers == {"X-Key": "k"}, "the scheme knows better"


def test_an_access_key_signs_as_the_cloud_does() -> None:
    found = credential("ak_sk", "SK", provider="aliyun", authConfig={"accessKey": "AK", "accountId": "1"})
    request = Outgoing(
        "POST",
        "https://ecs.example.com/a%20b?Action=X&b=%C3%BC",
        {"X-Acs-Action": "DoIt", "x-acs-version": "2020-01-01", "Content-Type": "application/json", "X-Mine": "1"},
        b'{"a": 1}',
    )
    headers = proof(found, request).headers
    given = signing.parse_authorization(headers["Authorization"])
    assert given
    assert given.access_key_id == "AK"
    assert {"host", "x-acs-action", "x-acs-version", "x-acs-content-sha256", "content-type"} <= {*given.signed_headers}
    assert headers["x-acs-content-sha256"] == hashlib.sha256(request.body).hexdigest()
    sent = {"host": "ecs.example.com", **{name.lower(): value for name, value in request.headers.items()}, **headers}
    expected = signing.sign_control(
        "SK",
        "POST",
        "/a%20b",
        [("Action", "X"), ("b", "ü")],
        sent,
        given.signed_headers,
        headers["x-acs-content-sha256"],
    )
    assert given.signature == expected
    assert proof(found, request).headers["x-acs-signature-nonce"] != headers["x-acs-signature-nonce"]


def test_a_temporary_access_key_signs_its_token() -> None:
    parts = {"accessKey": "STS.1", "securityToken": "T"}
    headers = proof(credential("ak_sk", "SK", provider="alibaba_cloud", authConfig=parts), GET).headers
    assert (headers["x-acs-security-token"], headers["x-acs-accesskey-id"]) == ("T", "STS.1")
    assert "x-acs-security-token" in headers["Authorization"]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (credential("api_key"), "no key"),
        (credential("api_key", "hidden", authConfig={"in": "body", "name": "k"}), "a header, the query or a cookie"),
        (credential("api_key", "hidden", authConfig={"in": "query"}), "authConfig.name"),
        (credential("api_key", "hidden\r\nX-Evil: 1"), "characters that no header can carry"),
        (credential("custom_header", authConfig={"X": "hidden\n"}), "characters that no header can carry"),
        (credential("custom_header"), "no headers"),
        (credential("basic", users=[]), "it has 0"),
        (credential("basic", users=[{"username": "a", "password": "hidden"}] * 2), "it has 2"),
        (credential("jwt"), "no token"),
        (credential("ak_sk", "hidden", provider="custom", authConfig={"id": "hidden"}), "Sign with its parts yourself"),
        (credential("ak_sk", "hidden", provider="aliyun"), "no access key id"),
        (credential("ak_sk", "", provider="aliyun", authConfig={"accessKey": "a"}), "no access key secret"),
        (credential("jwt", "hidden", authType="oauth2"), "fetched first"),
        (credential("magic", "hidden"), "nothing is known of the kind magic"),
        (Outbound("one", "api_key", {}, "hidden", enabled=False), "it is disabled"),
    ],
)
def test_what_cannot_be_shown_is_told_without_the_secret(found: Outbound, reason: str) -> None:
    with pytest.raises(CredentialError, match=reason) as caught:
        proof(found, GET)
    assert (caught.value.credential_name, caught.value.executed) == ("one", Executed.NO)
    assert "hidden" not in f"{caught.value!r} {caught.value} {vars(caught.value)}"


def test_a_credential_is_read_as_it_travels() -> None:
    document = {
        "credentialName": "one",
        "credentialAuthType": "api_key",
        "credentialPublicConfig": {"headerKey": "X"},
        "credentialSecret": "k",
        "enabled": False,
    }
    assert Outbound.of(document) == Outbound("one", "api_key", {"headerKey": "X"}, "k", enabled=False)
    assert Outbound.of({"credentialName": "one"}).enabled


def test_nothing_shows_in_a_repr() -> None:
    found = credential("api_key", "hidden", authConfig={"a": "hidden"}, users=[{"password": "hidden"}])
    shown = Proof({"A": "hidden"}, {"q": "hidden"}, {"c": "hidden"})
    assert "hidden" not in f"{found!r} {shown!r} {Outgoing('GET', 'u', {'A': 'hidden'}, b'hidden')!r}"
