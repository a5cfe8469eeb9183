"""An emulator that the command line finds too, and an account of its own, with its environment, for each page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from agentrun.emulator import Emulator
from agentrun.emulator.daemon import recorded


@pytest.fixture(scope="package")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A running emulator, recorded where only the commands of these tests look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        with Emulator() as running, recorded(running):
            yield running


@pytest.fixture
def folder(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, with an environment that leads to an empty account."""
    access_key_id = f"page-{uuid4().hex}"
    for name, value in emulator.environment(access_key_id).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    emulator.reset(access_key_id)
