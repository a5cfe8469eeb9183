"""Both signatures: every recorded request is recomputed, and every signed part counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from agentrun._core import signing

CAPTURES = Path(__file__).parent.parent / "data" / "captures"
# Test values, valid nowhere.
SECRETS = {"AKID-TEST": "SECRET-TEST", "STS.AK": "S", "AK": "S", "AKID": "SECRET", "a": "b"}


class Recorded(NamedTuple):
    """A request that the official client sent."""

    label: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    given: signing.Authorization


def recorded(algorithm: str) -> Iterator[Recorded]:
    for file in sorted(CAPTURES.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            entry: dict[str, Any] = json.loads(line)
            headers = {name.lower(): value for name, value in entry["headers"]}
            for name in ("authorization", "agentrun-authorization"):
                given = signing.parse_authorization(headers.get(name, ""))
                if given and given.algorithm == algorithm:
                    body = str(entry["body"] or "").encode()
                    yield Recorded(entry["label"], entry["method"], entry["path"], headers, body, given)


CONTROL = list(recorded(signing.CONTROL_ALGORITHM))
DATA = list(recorded(signing.DATA_ALGORITHM))


def control_signature(request: Recorded, **changes: Any) -> str:
    request = request._replace(**changes)
    url = urlsplit(request.path)
    return signing.sign_control(
        SECRETS[request.given.access_key_id],
        request.method,
        url.path,
        signing.decoded_query(url.query),
        request.headers,
        request.given.signed_headers,
        hashlib.sha256(request.body).hexdigest(),
    )


def data_signature(request: Recorded, **changes: Any) -> str:
    request = request._replace(**changes)
    url = urlsplit(request.path)
    date, region, *_ = request.given.scope.split("/")
    return signing.sign_data(
        SECRETS[request.given.access_key_id],
        date,
        region,
        request.method,
        url.path,
        url.query,
        request.headers,
        request.given.signed_headers,
    )


def test_all_recorded_requests_are_there() -> None:
    assert (len(CONTROL), len(DATA)) == (96, 43)


def test_every_recorded_control_signature_is_recomputed() -> None:
    wrong = [request.label for request in CONTROL if control_signature(request) != request.given.signature]
    assert wrong == []


def test_every_recorded_data_signature_is_recomputed() -> None:
    wrong = [request.label for request in DATA if data_signature(request) != request.given.signature]
    assert wrong == []


def test_authorization_headers_are_rebuilt_to_the_letter() -> None:
    for request in CONTROL:
        given = request.given
        built = signing.control_authorization(given.access_key_id, given.signed_headers, given.signature)
        assert built == request.headers["authorization"]
    for request in DATA:
        given = request.given
        built = signing.data_authorization(given.access_key_id, given.scope, given.signed_headers, given.signature)
        assert built == request.headers["agentrun-authorization"]


def tampered(request: Recorded) -> Iterator[tuple[str, Recorded]]:
    """The request with one signed part changed, once for each part."""
    yield "method", request._replace(method="TRACE")
    yield "path", request._replace(path=f"/x{request.path}")
    yield "query", request._replace(path=f"{request.path}{'&' if '?' in request.path else '?'}more=1")
    for name in request.given.signed_headers:
        yield name, request._replace(headers={**request.headers, name: f"{request.headers[name]}x"})


def test_a_change_in_any_signed_part_of_a_control_request_changes_the_signature() -> None:
    for request in CONTROL:
        for part, changed in [*tampered(request), ("body", request._replace(body=request.body + b" "))]:
            assert control_signature(changed) != request.given.signature, (request.label, part)


def test_a_change_in_any_signed_part_of_a_data_request_changes_the_signature() -> None:
    for request in DATA:
        for part, changed in tampered(request):
            assert data_signature(changed) != request.given.signature, (request.label, part)
        for scope in (
            "20200101/cn-hangzhou/agentrun/aliyun_v4_request",
            "20261120/cn-beijing/agentrun/aliyun_v4_request",
        ):
            moved = request._replace(given=request.given._replace(scope=scope))
            assert data_signature(moved) != request.given.signature


def test_the_body_is_not_part_of_a_data_signature() -> None:
    assert data_signature(DATA[0], body=b"another") == DATA[0].given.signature


def test_the_secret_and_the_set_of_signed_headers_count() -> None:
    request = CONTROL[0]
    fewer = request.given._replace(signed_headers=request.given.signed_headers[1:])
    assert control_signature(request, given=fewer) != request.given.signature
    assert control_signature(request, given=request.given._replace(access_key_id="a")) != request.given.signature


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        ("", []),
        ("a=1&b=2", [("a", "1"), ("b", "2")]),
        ("a=x%20y+z&a=", [("a", "x y z"), ("a", "")]),
        ("flag", [("flag", "")]),
        ("e=a%3Db%26c", [("e", "a=b&c")]),
    ],
)
def test_a_query_is_decoded_without_losing_anything(raw: str, pairs: list[tuple[str, str]]) -> None:
    assert signing.decoded_query(raw) == pairs


def test_canonical_queries_are_sorted_and_encoded() -> None:
    pairs = [("b", "ü / ~"), ("a", "x y"), ("a", "+")]
    assert signing.control_query(pairs) == "a=%2B&a=x%20y&b=%C3%BC%20%2F%20~"
    assert signing.data_query("b=%C3%BC+%2F+~&a=x%20y&a=%2B&c") == "a=%2B&a=x%20y&b=%C3%BC%20%2F%20~&c="


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer token",
        "ACS3-HMAC-SHA256",
        "ACS3-HMAC-SHA256 Credential=a,Signature=b",
        "AWS4-HMAC-SHA256 Credential=a",
    ],
)
def test_what_is_no_signature_is_none(value: str) -> None:
    assert signing.parse_authorization(value) is None


def test_parts_of_an_authorization_header() -> None:
    text = "AGENTRUN4-HMAC-SHA256 Credential=AK/20261120/r/agentrun/aliyun_v4_request, SignedHeaders=a;b, Signature=0f"
    found = signing.parse_authorization(text)
    assert found == (signing.DATA_ALGORITHM, "AK", "20261120/r/agentrun/aliyun_v4_request", ("a", "b"), "0f")


def test_a_moment_is_written_to_the_second() -> None:
    assert signing.timestamp(datetime(2026, 1, 2, 3, 4, 5, 999, tzinfo=timezone.utc)) == "2026-01-02T03:04:05Z"
