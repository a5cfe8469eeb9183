"""States and times: what an answer shows, what the next look shows, and that only the clock moves it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from agentrun.emulator import Emulator, ManualClock
from agentrun.emulator.clock import iso
from agentrun.emulator.lifecycle import CREATE, DELETE, UPDATE, Lifecycle
from agentrun.emulator.store import Record, Scope, Store
from tests.emulator import bodies
from tests.emulator.signed import CREDENTIALS, MODEL_SERVICES, TEMPLATES, Account, account_of, client_of

PYTHON = f"{TEMPLATES}/python"


def moment(text: str) -> datetime:
    """A time of the service: with fractions and a zone."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


def test_instant_shows_the_state_between_once(account: Account) -> None:
    assert account.done("POST", TEMPLATES, bodies.template())["status"] == "CREATING"
    assert account.done("GET", PYTHON)["status"] == "READY"
    assert account.done("PUT", PYTHON, {"memory": 2048})["status"] == "UPDATING"
    assert account.done("GET", PYTHON)["status"] == "READY"
    assert account.done("DELETE", PYTHON)["status"] == "DELETING"
    assert "does not exist" in account.refused(404, "GET", PYTHON)
    assert "does not exist" in account.refused(404, "DELETE", PYTHON)


@pytest.mark.parametrize(("path", "make"), [(CREDENTIALS, bodies.credential), (MODEL_SERVICES, bodies.model_service)])
def test_some_kinds_have_no_state_between(account: Account, path: str, make: Callable[[], dict[str, Any]]) -> None:
    made = account.done("POST", path, make())
    assert made.get("status") in (None, "READY")
    name = made.get("credentialName") or made["modelServiceName"]
    account.done("DELETE", f"{path}/{name}")
    assert "does not exist" in account.refused(404, "GET", f"{path}/{name}")


def at(timed: Account, clock: ManualClock) -> Account:
    return timed.at(clock.now())


def test_realistic_waits_as_the_service_does(timed: Account, clock: ManualClock) -> None:
    def status() -> str:
        text: str = at(timed, clock).done("GET", PYTHON)["status"]
        return text

    at(timed, clock).done("POST", TEMPLATES, bodies.template())
    clock.advance(4.9)
    assert status() == "CREATING"
    assert "is CREATING; wait until it is READY" in at(timed, clock).refused(409, "PUT", PYTHON, {"memory": 2048})
    clock.advance(0.2)
    assert status() == "READY"
    at(timed, clock).done("PUT", PYTHON, {"memory": 2048})
    assert status() == "UPDATING"
    clock.advance(3.1)
    assert status() == "READY"
    at(timed, clock).done("DELETE", PYTHON)
    assert status() == "DELETING"
    assert "already exists" in at(timed, clock).refused(409, "POST", TEMPLATES, bodies.template())
    assert "is being deleted" in at(timed, clock).refused(409, "DELETE", PYTHON)
    assert "is being deleted" in at(timed, clock).refused(409, "PUT", PYTHON, {"memory": 4096})
    clock.advance(3.1)
    assert "does not exist" in at(timed, clock).refused(404, "GET", PYTHON)
    at(timed, clock).done("POST", TEMPLATES, bodies.template())


def test_a_deletion_overtakes_a_creation(timed: Account, clock: ManualClock) -> None:
    at(timed, clock).done("POST", TEMPLATES, bodies.template())
    assert at(timed, clock).done("DELETE", PYTHON)["status"] == "DELETING"
    clock.advance(4)
    at(timed, clock).refused(404, "GET", PYTHON)
    clock.advance(4)
    at(timed, clock).refused(404, "GET", PYTHON)


def test_what_is_due_happens_across_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    def status() -> str:
        with (
            Emulator(state=tmp_path, profile="realistic", clock=clock) as emulator,
            client_of(emulator) as client,
        ):
            account = account_of(emulator, client, "mine").at(clock.now())
            if account.done("GET", TEMPLATES)["total"] == 0:
                account.done("POST", TEMPLATES, bodies.template())
            text: str = account.done("GET", PYTHON)["status"]
            return text

    assert status() == "CREATING"
    clock.advance(3)
    assert status() == "CREATING"
    clock.advance(3)
    assert status() == "READY"


def test_times_are_as_the_service_writes_them(account: Account) -> None:
    before = datetime.now(timezone.utc)
    made = account.done("POST", TEMPLATES, bodies.template())
    ready = account.done("GET", PYTHON)
    after = datetime.now(timezone.utc)
    assert before <= moment(made["createdAt"]) <= after
    assert ready["createdAt"] == made["createdAt"]
    assert moment(ready["lastUpdatedAt"]) > moment(ready["createdAt"])
    account.done("PUT", PYTHON, {"memory": 2048})
    updated = account.done("GET", PYTHON)
    assert updated["createdAt"] == made["createdAt"]
    assert moment(updated["lastUpdatedAt"]) > moment(ready["lastUpdatedAt"])


def test_a_credential_is_as_new_as_its_last_change(account: Account) -> None:
    made = account.done("POST", CREDENTIALS, bodies.credential())
    assert made["updatedAt"] == made["createdAt"]
    shown = account.done("GET", f"{CREDENTIALS}/key")
    assert shown["updatedAt"] == shown["createdAt"] == made["createdAt"]
    changed = account.done("PUT", f"{CREDENTIALS}/key", {"description": "x"})
    assert changed["createdAt"] == made["createdAt"]
    assert moment(changed["updatedAt"]) > moment(changed["createdAt"])


def test_ready_is_later_than_created_at_any_time() -> None:
    """A time of today is a float of quarter microseconds, whose rounding must not swallow the step."""
    store = Store()
    for number in range(2000):
        clock = ManualClock(1_795_000_000.1234 + number * 2**-22)
        now = iso(clock.now())
        lifecycle = Lifecycle(store, clock)
        record = Record(Scope("1", "r"), "Template", "t", "t", "", {"createdAt": now, "lastUpdatedAt": now})
        arrived = lifecycle.arrived(lifecycle.begin(record, CREATE))
        assert arrived.document["lastUpdatedAt"] > arrived.document["createdAt"]
        assert arrived.status == "READY"
    store.close()


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="'slow' is not one of instant, realistic"):
        Emulator(profile="slow").start()


def test_profiles_have_their_durations(timed: Account, emulator: Emulator) -> None:
    instant = emulator.platform.lifecycle
    assert [instant.duration("Template", verb) for verb in (CREATE, UPDATE, DELETE)] == [0, 0, 0]
