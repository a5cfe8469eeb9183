"""What many tests share: one emulator for the session, and an account of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from agentrun.config import Config
from agentrun.emulator import Emulator


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """A running emulator on a free port; tests share it, so none may reset it as a whole."""
    with Emulator() as running:
        yield running


@pytest.fixture
def config(emulator: Emulator) -> Iterator[Config]:
    """Settings that lead to the shared emulator, in an account that nobody else uses."""
    with emulator.config(f"test-{uuid4().hex}") as fresh:
        yield fresh
