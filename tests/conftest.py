"""What many tests share: one emulator for the session, and an account of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from agentrun.config import Config
from agentrun.emulator import Emulator
from agentrun.emulator.store import FILE as STATE
from tests.canary import files_below, holds


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """A running emulator on a free port; tests share it, so none may reset it as a whole."""
    with Emulator() as running:
        yield running
        assert files_below(running.platform.directory) == [], "a secret of a test was written down"
        assert [entry for entry in running.journal.entries() if holds(str(entry))] == []


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end no state of an emulator that a test of this worker kept holds a secret of a test."""
    yield
    states = {path.parent for path in tmp_path_factory.getbasetemp().rglob(STATE)}
    assert [path for state in sorted(states) for path in files_below(state)] == []


@pytest.fixture
def config(emulator: Emulator) -> Iterator[Config]:
    """Settings that lead to the shared emulator, in an account that nobody else uses."""
    with emulator.config(f"test-{uuid4().hex}") as fresh:
        yield fresh
