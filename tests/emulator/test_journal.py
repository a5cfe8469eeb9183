"""What was asked: the journal, and the emulator's own interface over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest

from agentrun._core.local import account_id
from agentrun.emulator import Emulator, ManualClock, Settings, build_app
from agentrun.emulator.journal import KEPT, Entry, Journal
from tests.emulator import bodies
from tests.emulator.signed import CREDENTIALS, TEMPLATES, Account, account_of, client_of, refusal

ADMIN = "/_emulator"


@pytest.fixture
def own() -> Iterator[tuple[Emulator, httpx.Client]]:
    """An emulator that a test may reset."""
    with Emulator() as emulator, client_of(emulator) as client:
        yield emulator, client


def add(journal: Journal, operation: str = "GetTemplate", account: str = "1") -> None:
    journal.add(1.0, "control", operation, "GET", "/x", 200, "R", 0.5, account, ["note"])


def test_every_request_is_noted(emulator: Emulator, account: Account) -> None:
    began = time.time()
    answers = [
        account.call("POST", CREDENTIALS, bodies.credential()),
        account.call("GET", f"{CREDENTIALS}/absent"),
        account.data("GET", "/sandboxes/absent", private="x"),
    ]
    entries = emulator.journal.entries(account=account_id(account.key))
    assert [(entry.plane, entry.operation, entry.method, entry.status) for entry in entries] == [
        ("control", "CreateCredential", "POST", 200),
        ("control", "GetCredential", "GET", 404),
        ("data", "sandboxes", "GET", 404),
    ]
    assert [entry.request_id for entry in entries] == [answer.headers["x-acs-request-id"] for answer in answers]
    assert [entry.path for entry in entries] == [CREDENTIALS, f"{CREDENTIALS}/absent", "/sandboxes/absent"]
    assert all(began <= entry.time <= time.time() and 0 < entry.duration_ms < 1000 for entry in entries)
    assert [entry.number for entry in entries] == sorted(entry.number for entry in entries)


def test_refused_requests_are_noted_too(own: tuple[Emulator, httpx.Client]) -> None:
    emulator, client = own
    client.get(CREDENTIALS)
    client.get(CREDENTIALS, headers={"host": "evil.example"})
    client.get("/nowhere")
    assert [(entry.operation, entry.status, entry.account) for entry in emulator.journal.entries()] == [
        ("ListCredentials", 401, ""),
        ("", 403, ""),
        ("", 404, ""),
    ]


def test_the_journal_over_http(own: tuple[Emulator, httpx.Client]) -> None:
    emulator, client = own
    one, two = account_of(emulator, client), account_of(emulator, client)
    for account in (one, two):
        account.call("GET", CREDENTIALS)
        account.call("GET", TEMPLATES)

    def operations(**query: str) -> list[str]:
        entries = client.get(f"{ADMIN}/journal", params=query).json()["entries"]
        return [entry["operation"] for entry in entries if entry["plane"] == "control"]

    assert operations() == ["ListCredentials", "ListTemplates"] * 2
    assert operations(operation="ListTemplates") == ["ListTemplates"] * 2
    assert operations(account=account_id(two.key)) == ["ListCredentials", "ListTemplates"]
    assert operations(after="2", operation="ListCredentials") == ["ListCredentials"]
    assert operations(after="1000000") == []
    assert "after" in refusal(client.get(f"{ADMIN}/journal", params={"after": "x"}), 400)


def test_only_so_many_are_kept_and_numbers_go_on() -> None:
    journal = Journal()
    for _ in range(KEPT + 5):
        add(journal)
    assert len(journal.entries()) == KEPT
    assert journal.entries()[0].number == 6
    journal.clear()
    add(journal)
    assert [entry.number for entry in journal.entries()] == [KEPT + 6]


def test_listeners_hear_until_they_stop() -> None:
    journal = Journal()
    heard: list[Entry] = []
    stop = journal.listen(heard.append)
    add(journal)
    stop()
    add(journal)
    assert [entry.number for entry in heard] == [1]


def test_filters_of_entries() -> None:
    journal = Journal()
    add(journal, "A", "1")
    add(journal, "B", "1")
    add(journal, "A", "2")
    assert [entry.number for entry in journal.entries(operation="A")] == [1, 3]
    assert [entry.number for entry in journal.entries(account="1")] == [1, 2]
    assert [entry.number for entry in journal.entries(1, operation="A", account="2")] == [3]
    assert journal.entries()[0].to_json()["remarks"] == ("note",)


def test_health_and_status(own: tuple[Emulator, httpx.Client]) -> None:
    client = own[1]
    assert client.get(f"{ADMIN}/health").json() == {"status": "ok"}
    status = client.get(f"{ADMIN}/status").json()
    assert status["backend"] == "process"
    assert (status["problem"], status["sandboxes"], status["agents"]) == (None, 0, 0)
    assert (status["state"], status["profile"]) == ("in memory", "instant")


def test_a_backend_that_is_none_is_a_problem_that_status_tells() -> None:
    with Emulator(backend="magic") as emulator, client_of(emulator) as client:
        assert "there is no backend 'magic'" in client.get(f"{ADMIN}/status").json()["problem"]
        account = account_of(emulator, client)
        account.done("POST", TEMPLATES, bodies.template())
        account.done("GET", TEMPLATES)
        assert "there is no backend" in account.refused(
            503, "POST", "/2025-09-10/sandboxes", {"templateName": "python"}
        )


@pytest.mark.parametrize(("method", "name"), [("GET", "nothing"), ("GET", "reset"), ("POST", "health"), ("GET", "")])
def test_an_unknown_route_names_the_known_ones(client: httpx.Client, method: str, name: str) -> None:
    message = refusal(client.request(method, f"{ADMIN}/{name}"), 404)
    assert "there are GET /_emulator/health" in message


def test_a_reset_of_one_account_spares_the_others(own: tuple[Emulator, httpx.Client]) -> None:
    emulator, client = own
    one, two = account_of(emulator, client), account_of(emulator, client)
    for account in (one, two):
        account.done("POST", CREDENTIALS, bodies.credential())
    client.post(f"{ADMIN}/reset", params={"account": account_id(one.key)}).raise_for_status()
    assert one.done("GET", CREDENTIALS)["total"] == 0
    assert two.done("GET", CREDENTIALS)["total"] == 1
    emulator.reset(two.key)
    assert two.done("GET", CREDENTIALS)["total"] == 0
    assert emulator.journal.entries(operation="CreateCredential")


def test_a_reset_forgets_everything(own: tuple[Emulator, httpx.Client]) -> None:
    emulator, client = own
    account = account_of(emulator, client)
    account.done("POST", CREDENTIALS, bodies.credential())
    client.post(f"{ADMIN}/reset").raise_for_status()
    assert [entry.operation for entry in emulator.journal.entries()] == ["reset"]
    assert account.done("GET", CREDENTIALS)["total"] == 0
    account.done("POST", CREDENTIALS, bodies.credential())


# Other ways to reach it


def test_without_a_port_the_transport_leads_there() -> None:
    with Emulator(port=None) as emulator:
        config = emulator.config("mine")
        assert isinstance(config.transport, httpx.BaseTransport)
        with httpx.Client(base_url=emulator.url, transport=config.transport) as client:
            account = Account(client, "mine")
            account.done("POST", CREDENTIALS, bodies.credential())
            assert account.done("GET", f"{CREDENTIALS}/key")["credentialSecret"] == bodies.SECRET
            assert account.data("GET", "/sandboxes/absent").status_code == 404


@pytest.mark.asyncio
async def test_as_an_asgi_application() -> None:
    clock = ManualClock(1_800_000_000.0)
    app = build_app(Settings(profile="realistic"), clock=clock)
    transport = httpx.ASGITransport(app)
    await app.platform.start()
    try:
        async with httpx.AsyncClient(base_url="http://127.0.0.1:4590", transport=transport) as client:
            with httpx.Client(base_url="http://127.0.0.1:4590") as signer:
                account = Account(signer, "mine").at(clock.now())
                answer = await client.send(account.control_request("GET", CREDENTIALS))
                assert answer.json()["data"]["total"] == 0
                answers = await asyncio.gather(
                    *(client.send(account.control_request("GET", CREDENTIALS)) for _ in range(20))
                )
                assert {answer.status_code for answer in answers} == {200}
    finally:
        await app.platform.close()


def test_an_emulator_can_be_started_again() -> None:
    emulator = Emulator()
    for _ in range(2):
        with emulator, client_of(emulator) as client:
            assert client.get(f"{ADMIN}/health").status_code == 200
    emulator.stop()
    with pytest.raises(Exception, match="does not run"):
        Emulator().reset()
