"""URLs that open one file: they need no other signature, allow one thing only, and only for a while."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from agentrun.emulator import Emulator, ManualClock
from agentrun.emulator.data.signed_urls import Grant, SignedURLs, derived_key, sign, verify
from agentrun.emulator.store import Scope
from agentrun.emulator.wire.envelope import ServiceError
from tests.emulator.inside import Inside, new_sandbox, sandbox_of
from tests.emulator.signed import account_of, refusal

SIGNED = "filesystem/signed-url"
NAME = "data é&?.bin"
CONTENT = bytes(range(256)) * 40
GRANT = Grant("1" * 16, "cn-hangzhou", "sandbox", "/home/user/x", "download", 2_000_000_000)


@pytest.fixture(scope="module")
def inside(emulator: Emulator, client: httpx.Client) -> Iterator[Inside]:
    with sandbox_of(account_of(emulator, client)) as inside:
        assert inside.account.client.put(url_of(inside, "upload"), content=CONTENT).status_code == 200
        yield inside


def url_of(inside: Inside, operation: str, path: str = NAME, **more: Any) -> str:
    answer = inside.call("POST", SIGNED, {"path": path, "operation": operation, **more})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"url", "expiresAt"}
    url: str = answer.json()["url"]
    return url


def changed(url: str, **parts: str) -> str:
    split = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(split.query).items()}
    return split._replace(query=urlencode({**query, **parts})).geturl()


# Pure functions


def test_a_grant_is_verified_until_it_expires() -> None:
    signature = sign(b"key", GRANT)
    verify(b"key", GRANT, signature, GRANT.expires)
    with pytest.raises(ServiceError, match=r"expired at 2033-05-18T03:33:20.* ask for another with POST") as caught:
        verify(b"key", GRANT, signature, GRANT.expires + 1)
    assert (caught.value.status, caught.value.code) == (403, "ERR_SIGNED_URL_EXPIRED")


@pytest.mark.parametrize("name", ["account", "region", "sandbox_id", "path", "operation"])
def test_every_part_of_a_grant_is_covered(name: str) -> None:
    changes: dict[str, Any] = {name: "another"}
    other = replace(GRANT, **changes)
    with pytest.raises(ServiceError, match="was changed or is not ours"):
        verify(b"key", other, sign(b"key", GRANT), 0)


def test_parts_do_not_run_together() -> None:
    one = Grant("a", "b", "c", "d", "download", 1)
    other = Grant("ab", "", "c", "d", "download", 1)
    assert sign(b"key", one) != sign(b"key", other)


@pytest.mark.parametrize("signature", ["", "0" * 64, "é", sign(b"other", GRANT)])
def test_a_made_up_signature_is_refused(signature: str) -> None:
    with pytest.raises(ServiceError, match="was changed or is not ours"):
        verify(b"key", GRANT, signature, 0)


def test_the_key_is_one_of_its_own() -> None:
    assert derived_key(b"key") not in (b"key", derived_key(b"other"))


def test_a_url_reads_back_as_what_was_asked() -> None:
    urls = SignedURLs(b"key", ManualClock(1000.0))
    asked = {"path": "a b/ü", "operation": "download", "expiresInSeconds": 5}
    made = urls.make("http://host", Scope("1", "region"), "s/1", asked)
    assert made["url"].startswith("http://host/sandboxes/s%2F1/filesystem/signed-url?")
    query = {name: values[0] for name, values in parse_qs(urlsplit(made["url"]).query).items()}
    assert urls.read("GET", "region", "s/1", query) == Grant("1", "region", "s/1", "a b/ü", "download", 1005)
    with pytest.raises(ServiceError, match="was changed"):
        urls.read("GET", "elsewhere", "s/1", query)


# Through the emulator


def test_a_download_needs_no_signature(inside: Inside) -> None:
    answer = httpx.get(url_of(inside, "download"), trust_env=False)
    assert answer.status_code == 200
    assert answer.content == CONTENT


def test_ranges_and_head_pass_through(inside: Inside) -> None:
    url = url_of(inside, "download")
    part = httpx.get(url, headers={"range": "bytes=10-19"}, trust_env=False)
    assert (part.status_code, part.content) == (206, CONTENT[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(CONTENT)}"
    beyond = httpx.get(url, headers={"range": "bytes=999999-"}, trust_env=False)
    assert beyond.status_code == 416
    head = httpx.head(url, trust_env=False)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(CONTENT)), b"")


def test_an_upload_needs_no_signature(inside: Inside) -> None:
    pieces = (b"x" * 2**16 for _ in range(32))
    answer = httpx.put(url_of(inside, "upload", "up.bin"), content=pieces, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert answer.json()["size"] == 2**21
    assert inside.run("stat -c %s up.bin").strip() == str(2**21)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_a_download_url_is_for_downloads(inside: Inside, method: str) -> None:
    answer = httpx.request(method, url_of(inside, "download"), trust_env=False)
    assert "is for download" in refusal(answer, 405)


def test_an_upload_url_is_for_uploads(inside: Inside) -> None:
    assert "is for upload" in refusal(httpx.get(url_of(inside, "upload"), trust_env=False), 405)


@pytest.mark.parametrize(
    "parts",
    [
        {"path": "/etc/passwd"},
        {"account": "1"},
        {"expires": "9999999999"},
        {"expires": "²"},
        {"operation": "upload"},
        {"operation": "delete"},
        {"signature": "0" * 64},
    ],
    ids=str,
)
def test_a_changed_url_is_refused(inside: Inside, parts: dict[str, str]) -> None:
    answer = httpx.get(changed(url_of(inside, "download"), **parts), trust_env=False)
    assert "ask for another" in refusal(answer, 403)
    assert answer.json()["code"] == "ERR_SIGNED_URL_INVALID"


def test_a_url_of_one_sandbox_opens_no_other(inside: Inside) -> None:
    url = url_of(inside, "download").replace(inside.id, "another")
    refusal(httpx.get(url, trust_env=False), 403)


def test_a_url_without_its_query_is_refused(inside: Inside) -> None:
    refusal(inside.account.client.get(f"{inside.path}/{SIGNED}"), 403)


@pytest.mark.parametrize("before", ["/agent-runtimes/x/endpoints/y/invocations", "/sandboxes/x/ports/80", "/sandboxes"])
def test_a_path_that_only_looks_like_one_needs_a_signature(client: httpx.Client, before: str) -> None:
    refusal(client.get(f"{before}/{SIGNED}"), 401)


def test_web_pages_use_no_url(inside: Inside) -> None:
    answer = httpx.get(url_of(inside, "download"), headers={"origin": "https://evil.example"}, trust_env=False)
    assert answer.json()["code"] == "ERR_ORIGIN_REFUSED"


def test_making_a_url_needs_a_signature(inside: Inside) -> None:
    refusal(inside.account.client.post(f"{inside.path}/{SIGNED}", json={"path": "x", "operation": "download"}), 401)


def test_the_end_of_the_sandbox_is_told(inside: Inside) -> None:
    with sandbox_of(inside.account) as other:
        url = url_of(other, "download", "x")
        other.account.data("POST", f"{other.path}/stop")
        answer = httpx.get(url, trust_env=False)
        assert answer.json()["code"] == "ERR_SANDBOX_TERMINATED"
        refusal(other.call("POST", SIGNED, {"path": "x", "operation": "download"}), 410)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"operation": "download"}, "path is required"),
        ({"path": "", "operation": "download"}, "path is required"),
        ({"path": "x"}, "operation must be 'download' or 'upload'"),
        ({"path": "x", "operation": "delete"}, "operation must be"),
        ({"path": "x", "operation": []}, "operation must be"),
        ({"path": "x", "operation": "download", "expiresInSeconds": 0}, "a whole number from 1 to 86400"),
        ({"path": "x", "operation": "download", "expiresInSeconds": 86401}, "a whole number from 1 to 86400"),
        ({"path": "x", "operation": "download", "expiresInSeconds": True}, "a whole number from 1 to 86400"),
        ({"path": "x", "operation": "download", "seconds": 1}, "seconds is not a field"),
        ([], "must be an object"),
        (None, "must be an object"),
    ],
    ids=str,
)
def test_what_cannot_be_signed(inside: Inside, body: Any, message: str) -> None:
    assert message in refusal(inside.call("POST", SIGNED, body), 400)


def test_a_url_ends_with_its_time() -> None:
    clock = ManualClock()
    with Emulator(clock=clock) as emulator, httpx.Client(base_url=emulator.url, trust_env=False) as client:
        inside = new_sandbox(account_of(emulator, client))
        inside.call("POST", "files", {"path": NAME, "content": "x"})
        url = url_of(inside, "download", expiresInSeconds=60)
        clock.advance(60)
        assert client.get(url).content == b"x"
        clock.advance(1)
        assert client.get(url).json()["code"] == "ERR_SIGNED_URL_EXPIRED"
