"""Accounts in running emulators for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from agentrun.emulator import Emulator, ManualClock
from tests.emulator.scripted import Served, serving
from tests.emulator.signed import Account, account_of, client_of


@pytest.fixture(scope="session")
def client(emulator: Emulator) -> Iterator[httpx.Client]:
    """A plain HTTP client for the shared emulator."""
    with client_of(emulator) as client:
        yield client


@pytest.fixture
def account(emulator: Emulator, client: httpx.Client) -> Account:
    """A fresh account in the shared emulator."""
    return account_of(emulator, client)


@pytest.fixture
def clock() -> ManualClock:
    """The time of `timed`, which stands still until it is moved."""
    return ManualClock(1_800_000_000.0)


@pytest.fixture
def timed(clock: ManualClock) -> Iterator[Account]:
    """An account in an emulator of its own that waits as the service does, by `clock`."""
    with Emulator(profile="realistic", clock=clock) as emulator, client_of(emulator) as client:
        yield account_of(emulator, client)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """The scripted model on a port, whose script each test replaces."""
    with serving() as running:
        yield running
