"""The pytest plugin, in a run of pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE = 60.0

TESTS = """
import os, pytest, openai
from agentrun import Config, Credential, CredentialConfig
from agentrun.emulator import Rule, Script

def create(config=None):
    secret = CredentialConfig.outbound_llm_api_key("sk-1", "openai")
    Credential.create(credential_name="key", credential_config=secret, config=config)

def names(config=None):
    return [found.credential_name for found in Credential.list_all(config=config)]

accounts = []

@pytest.mark.parametrize("time", [1, 2])
def test_every_test_has_an_empty_account(agentrun_config, time):
    assert names(agentrun_config) == []
    create(agentrun_config)
    assert names(agentrun_config) == ["key"]
    accounts.append(agentrun_config)

def test_the_accounts_from_before_are_forgotten():
    assert [names(config) for config in accounts] == [[], []]

def test_the_environment_leads_to_the_same_account(agentrun_config, agentrun_environment):
    create()
    assert names() == names(agentrun_config) == ["key"]
    assert agentrun_environment.items() <= os.environ.items()

def test_the_environment_is_back():
    assert "AGENTRUN_DATA_ENDPOINT" not in os.environ

def ask():
    with openai.OpenAI() as client:
        message = {"role": "user", "content": "hello"}
        return client.chat.completions.create(model="any", messages=[message]).choices[0].message.content

@pytest.mark.usefixtures("agentrun_environment")
def test_a_script_answers(agentrun_script):
    agentrun_script(Script([Rule("hello", "scripted")]))
    assert ask() == "scripted"

@pytest.mark.usefixtures("agentrun_environment")
def test_the_script_from_before_is_back():
    assert ask() == "hello"
"""

SETTINGS = """
import pytest

@pytest.fixture(scope="session")
def agentrun_emulator_settings():
    return {"profile": "realistic"}
"""

UNUSED = """
import sys

def test_nothing_was_loaded():
    heavy = {"httpx", "pydantic", "uvicorn", "starlette", "agentrun.emulator.server", "agentrun.config"}
    assert "agentrun.testing.plugin" in sys.modules
    assert not heavy & set(sys.modules)
"""


def run_pytest(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTRUN_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize(
    "arguments", [[], ["-W", "error", "-p", "no:asyncio"]], ids=["as it is", "warnings are errors"]
)
def test_the_fixtures_do_what_they_say(tmp_path: Path, arguments: list[str]) -> None:
    done = run_pytest(tmp_path, TESTS, *arguments)
    assert "7 passed" in done.stdout, done.stdout


def test_settings_can_be_overridden(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(SETTINGS)
    test = "def test_it(agentrun_emulator):\n    assert agentrun_emulator.settings.profile == 'realistic'\n"
    done = run_pytest(tmp_path, test)
    assert "1 passed" in done.stdout, done.stdout


def test_it_costs_nothing_when_unused(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, UNUSED, "-p", "no:asyncio", "-p", "no:anyio", "-p", "no:respx", "-p", "no:xdist")
    assert "1 passed" in done.stdout, done.stdout


def test_it_can_be_named_where_plugins_are_not_loaded_by_themselves(tmp_path: Path) -> None:
    test = "def test_it(agentrun_config):\n    assert agentrun_config.get_account_id()\n"
    done = run_pytest(tmp_path, test, "--disable-plugin-autoload", "-p", "agentrun.testing.plugin")
    assert "1 passed" in done.stdout, done.stdout


def test_fixtures_are_listed_with_their_first_sentence(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, UNUSED, "--fixtures")
    for name in ("agentrun_emulator", "agentrun_config", "agentrun_environment", "agentrun_script"):
        assert f"{name}" in done.stdout
