"""The fixtures. Loading this file imports nothing but pytest; the emulator loads when a test first asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import pytest

import agentrun.emulator

if TYPE_CHECKING:
    from agentrun.config import Config
    from agentrun.emulator import Emulator, RecordTo, Script


class SetScript(Protocol):
    """What `agentrun_script` gives."""

    def __call__(self, script: Script) -> None:
        """Let the scripted model answer by this script until the test ends."""


class UseRecording(Protocol):
    """What `agentrun_recording` gives."""

    def __call__(self, file: Path | str, *, speed: str = "at-once", repeat: bool = True) -> None:
        """Answer model calls from this file until the test ends; `speed` is `at-once` or `original`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that records instead of replaying."""
    text = "record the files of agentrun_recording anew, at the provider that OPENAI_BASE_URL and OPENAI_API_KEY name"
    parser.getgroup("agentrun").addoption("--agentrun-record", action="store_true", help=text)


@pytest.fixture(scope="session")
def agentrun_emulator_settings() -> dict[str, Any]:
    """The settings of `agentrun_emulator`; override this fixture in a conftest.py to change them.

    Example:
        @pytest.fixture(scope="session")
        def agentrun_emulator_settings():
            return {"profile": "realistic"}
    """
    return {}


@pytest.fixture(scope="session")
def agentrun_emulator(agentrun_emulator_settings: dict[str, Any]) -> Iterator[Emulator]:
    """The platform for all tests of this process, on a free port; it ends with them.

    Tests share it, so take an account of your own with `agentrun_config` instead of resetting it.
    """
    with agentrun.emulator.Emulator(**agentrun_emulator_settings) as emulator:
        yield emulator


@pytest.fixture
def agentrun_config(agentrun_emulator: Emulator) -> Iterator[Config]:
    """A Config that leads to an account which is empty before the test and forgotten after it.

    Example:
        def test_mine(agentrun_config):
            Credential.create(credential_name="key", ..., config=agentrun_config)
    """
    access_key_id = f"test-{uuid4().hex}"
    with agentrun_emulator.config(access_key_id) as config:
        yield config
    agentrun_emulator.reset(access_key_id)


@pytest.fixture
def agentrun_environment(
    agentrun_emulator: Emulator, agentrun_config: Config, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Every variable that an SDK reads, set for one test; the account is that of `agentrun_config`.

    For code that reads the environment itself, and for the programs it starts. The value is what was set.

    Example:
        @pytest.mark.usefixtures("agentrun_environment")
        def test_mine():
            Credential.create(credential_name="key", ...)
    """
    variables = agentrun_emulator.environment(agentrun_config.get_access_key_id())
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def agentrun_script(agentrun_emulator: Emulator) -> Iterator[SetScript]:
    """A function that sets what the scripted model answers; the script from before is back after the test.

    Example:
        def test_mine(agentrun_script):
            agentrun_script(Script([Rule("weather", "It rains.")], strict=True))
    """
    before = agentrun_emulator.script

    def set_script(script: Script) -> None:
        agentrun_emulator.script = script

    yield set_script
    agentrun_emulator.script = before


@pytest.fixture(scope="session")
def agentrun_provider() -> Mapping[str, str]:
    """Where `pytest --agentrun-record` records: the environment as it is before any test changes it."""
    return {name: value for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY") if (value := os.environ.get(name))}


@pytest.fixture
def agentrun_recording(
    agentrun_provider: Mapping[str, str],
    agentrun_emulator: Emulator,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[UseRecording]:
    """A function that answers model calls from a recording during one test, or records it with `--agentrun-record`.

    The file is looked for in the folder of the test. OPENAI_BASE_URL and OPENAI_API_KEY lead to it from then on, and
    `agentrun_emulator.receipt` says what the test has called.

    Example:
        def test_mine(agentrun_recording, agentrun_emulator):
            agentrun_recording("weather.jsonl")
            ...
            assert agentrun_emulator.receipt.isolated
    """
    if agentrun_emulator.recording is not None:
        raise pytest.UsageError("agentrun_emulator_settings name a recording for all tests: use either, not both")

    def use(file: Path | str, *, speed: str = "at-once", repeat: bool = True) -> None:
        found = request.path.parent / file
        if request.config.getoption("--agentrun-record"):
            agentrun_emulator.recording = _recorded(found, agentrun_provider)
        else:
            agentrun_emulator.recording = agentrun.emulator.ReplayFrom(found, speed, repeat=repeat)
        variables = agentrun_emulator.environment()
        for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
            monkeypatch.setenv(name, variables[name])

    yield use
    agentrun_emulator.recording = None


def _recorded(file: Path, provider: Mapping[str, str]) -> RecordTo:
    if "OPENAI_BASE_URL" not in provider:
        raise pytest.UsageError("--agentrun-record needs OPENAI_BASE_URL and OPENAI_API_KEY of a provider")
    url, key = provider["OPENAI_BASE_URL"], provider.get("OPENAI_API_KEY")
    return agentrun.emulator.RecordTo(file, url, key, overwrite=True)
