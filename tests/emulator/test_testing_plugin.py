"""The pytest plugin, in a run of pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentrun.emulator import Emulator, Rule, Script, When
from agentrun.gateway.recording.file import RecordingFile

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

RECORDED = """
import openai, pytest
from agentrun.emulator import EmulatorError

def ask(text):
    with openai.OpenAI(max_retries=0) as client:
        message = {"role": "user", "content": text}
        return client.chat.completions.create(model="m", messages=[message]).choices[0].message.content

@pytest.mark.usefixtures("agentrun_environment")
def test_a_recording_answers(agentrun_recording, agentrun_emulator, pytestconfig):
    agentrun_recording("recordings/hello.jsonl")
    assert ask("hello") == "said by the provider"
    assert agentrun_emulator.receipt.total == 1
    assert agentrun_emulator.receipt.isolated is not pytestconfig.getoption("--agentrun-record")

@pytest.mark.usefixtures("agentrun_environment")
def test_the_script_answers_after_it():
    assert ask("hello") == "hello"

def test_a_file_for_each_test(agentrun_recording):
    agentrun_recording("recordings/bye.jsonl")
    assert ask("bye") == "said by the provider"

def test_a_file_that_is_not_there(agentrun_recording, pytestconfig):
    if not pytestconfig.getoption("--agentrun-record"):
        with pytest.raises(EmulatorError, match="none.jsonl cannot be read"):
            agentrun_recording("none.jsonl")
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


def run_pytest(folder: Path, text: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text)
    outside = ("AGENTRUN_", "PYTEST_", "OPENAI_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outside)} | variables
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize(
    "arguments", [[], ["-W", "error", "-p", "no:asyncio"]], ids=["as it is", "warnings are errors"]
)
def test_the_fixtures_do_what_they_say(tmp_path: Path, arguments: list[str]) -> None:
    done = run_pytest(tmp_path, TESTS, *arguments)
    assert "7 passed" in done.stdout, done.stdout


def test_recordings_are_made_with_an_option_and_replayed_without(tmp_path: Path) -> None:
    with Emulator(script=Script([Rule(When(), "said by the provider")])) as provider:
        url = f"{provider.url}/scripted/v1"
        done = run_pytest(
            tmp_path,
            RECORDED,
            "--agentrun-record",
            OPENAI_BASE_URL=url,
            OPENAI_API_KEY="key-of-the-provider",
        )
    assert "4 passed" in done.stdout, done.stdout
    written = [(tmp_path / "recordings" / name).read_text() for name in ("hello.jsonl", "bye.jsonl")]
    assert all("said by the provider" in text and "key-of-the-provider" not in text for text in written)
    done = run_pytest(tmp_path, RECORDED)
    assert "4 passed" in done.stdout, done.stdout


def test_recording_needs_a_provider(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, RECORDED, "--agentrun-record", "-k", "for_each_test")
    assert "--agentrun-record needs OPENAI_BASE_URL and OPENAI_API_KEY of a provider" in done.stdout


def test_a_recording_for_all_tests_and_one_for_each_exclude_each_other(tmp_path: Path) -> None:
    RecordingFile(tmp_path / "all.jsonl").close()
    (tmp_path / "conftest.py").write_text(
        "import pytest\nfrom agentrun.emulator import ReplayFrom\n\n"
        "@pytest.fixture(scope='session')\ndef agentrun_emulator_settings():\n"
        f"    return {{'recording': ReplayFrom({str(tmp_path / 'all.jsonl')!r})}}\n"
    )
    done = run_pytest(tmp_path, RECORDED, "-k", "for_each_test")
    assert "use either, not both" in done.stdout


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
    for name in (
        "agentrun_emulator",
        "agentrun_config",
        "agentrun_environment",
        "agentrun_script",
        "agentrun_recording",
    ):
        assert f"{name}" in done.stdout
