"""The fixtures. Loading this file imports nothing but pytest; the emulator loads when a test first asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import pytest

import agentrun.emulator

if TYPE_CHECKING:
    from agentrun.config import Config
    from agentrun.emulator import Emulator, Script


class SetScript(Protocol):
    """What `agentrun_script` gives."""

    def __call__(self, script: Script) -> None:
        """Let the scripted model answer by this script until the test ends."""


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
