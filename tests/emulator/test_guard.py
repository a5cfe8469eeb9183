"""No web page may reach the emulator: foreign hosts, origins and cross-site marks are refused on every path."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from agentrun._core.local import account_id
from agentrun.emulator import Emulator, Settings
from tests.emulator.signed import CREDENTIALS, Account, account_of, client_of, refusal

HEALTH = "/_emulator/health"
PATHS = (HEALTH, "/_emulator/journal", CREDENTIALS, "/sandboxes", "/scripted/v1/models", "/")


@pytest.fixture(scope="module")
def allowing() -> Iterator[tuple[Emulator, httpx.Client]]:
    settings = Settings(port=0, allowed_hosts=("box.example",), allowed_origins=("https://app.example",))
    with Emulator(settings=settings) as emulator, client_of(emulator) as client:
        yield emulator, client


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:4590", "http://evil.example", "localhost.", "", "[::2]"],
)
def test_a_foreign_host_is_refused(client: httpx.Client, path: str, host: str) -> None:
    answer = client.get(path, headers={"host": host})
    assert "--allow-host" in refusal(answer, 403)
    assert answer.json()["code"] == "ERR_HOST_REFUSED"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:4590", "localhost", "LocalHost:1", "[::1]", "[::1]:4590", "http://127.0.0.1:4590"]
)
def test_loopback_in_every_form_is_accepted(client: httpx.Client, host: str) -> None:
    assert client.get(HEALTH, headers={"host": host}).json() == {"status": "ok"}


def test_a_signed_request_with_a_url_as_its_host_is_accepted(emulator: Emulator, account: Account) -> None:
    request = account.control_request("GET", CREDENTIALS, headers={"host": f"http://127.0.0.1:{emulator.port}"})
    assert account.client.send(request).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1:4590"])
def test_an_origin_is_refused(client: httpx.Client, path: str, origin: str) -> None:
    answer = client.get(path, headers={"origin": origin})
    assert "web pages are refused" in refusal(answer, 403)
    assert answer.json()["code"] == "ERR_ORIGIN_REFUSED"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_from_another_site_is_refused(client: httpx.Client, site: str) -> None:
    assert "Sec-Fetch-Site" in refusal(client.get(HEALTH, headers={"sec-fetch-site": site}), 403)


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_what_a_person_opens_is_accepted(client: httpx.Client, site: str) -> None:
    assert client.get(HEALTH, headers={"sec-fetch-site": site}).status_code == 200


def test_nothing_of_a_refused_request_is_done(emulator: Emulator, account: Account) -> None:
    request = account.control_request("GET", CREDENTIALS, headers={"host": "evil.example"})
    refusal(account.client.send(request), 403)
    assert not emulator.journal.entries(account=account_id(account.key))
    # Not even its nonce was used.
    request = account.control_request("GET", CREDENTIALS)
    refusal(account.client.send(httpx.Request("GET", request.url, headers={**request.headers, "origin": "null"})), 403)
    assert account.client.send(request).status_code == 200


def test_refusals_allow_no_origin(client: httpx.Client) -> None:
    answer = client.options(CREDENTIALS, headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_allowed_names_are_accepted_and_no_others(allowing: tuple[Emulator, httpx.Client]) -> None:
    client = allowing[1]
    assert client.get(HEALTH, headers={"host": "box.example:4590"}).status_code == 200
    assert client.get(HEALTH, headers={"host": "127.0.0.1"}).status_code == 200
    refusal(client.get(HEALTH, headers={"host": "other.example"}), 403)
    page = {"origin": "https://app.example", "sec-fetch-site": "cross-site"}
    assert client.get(HEALTH, headers=page).status_code == 200
    refusal(client.get(HEALTH, headers={"origin": "https://app.example:8443"}), 403)


def test_any_host_can_be_allowed() -> None:
    with Emulator(allowed_hosts=("*",)) as emulator, client_of(emulator) as client:
        assert client.get(HEALTH, headers={"host": "anything.example"}).status_code == 200
        refusal(client.get(HEALTH, headers={"origin": "https://evil.example"}), 403)
        assert account_of(emulator, client).call("GET", CREDENTIALS).status_code == 200


def test_only_loopback_listens_by_default(emulator: Emulator) -> None:
    assert emulator.settings.host == "127.0.0.1"
