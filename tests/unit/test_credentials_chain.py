"""The provider chain is the last resort: loaded only then, and used only then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Prints what was found and what it took; runs in a process of its own, because the chain reads its environment once.
ASK = """
import json, sys
from agentrun.config import Config
from agentrun.errors import AgentRunError
config = Config(**json.loads(sys.argv[1]))
try:
    found = config.find_credentials()
    error = None
except AgentRunError as problem:
    found, error = None, str(problem)
try:
    config.get_credentials()
except AgentRunError as problem:
    error = str(problem)
print(json.dumps({
    "key": found and [found.access_key_id, found.access_key_secret, found.security_token],
    "loaded": "alibabacloud_credentials" in sys.modules,
    "error": error,
}))
"""
PROFILE = """
[default]
enable = true
type = access_key
access_key_id = PROFILE-AK
access_key_secret = PROFILE-SK
"""


def ask(home: Path, environment: dict[str, str] | None = None, **config: Any) -> dict[str, Any]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTRUN_", "ALIBABA_"))}
    offline = {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true", "HOME": str(home)}
    finished = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(config)],
        env={**inherited, **offline, **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


@pytest.fixture
def profile(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "credentials.ini"
    file.write_text(PROFILE)
    return {"ALIBABA_CLOUD_CREDENTIALS_FILE": str(file)}


def test_a_profile_is_used_when_nothing_else_is_there(tmp_path: Path, profile: dict[str, str]) -> None:
    assert ask(tmp_path, profile) == {"key": ["PROFILE-AK", "PROFILE-SK", None], "loaded": True, "error": None}


def test_a_profile_in_the_home_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / ".alibabacloud").mkdir()
    (tmp_path / ".alibabacloud" / "credentials.ini").write_text(PROFILE)
    assert ask(tmp_path)["key"] == ["PROFILE-AK", "PROFILE-SK", None]


def test_an_explicit_key_loads_no_chain(tmp_path: Path, profile: dict[str, str]) -> None:
    found = ask(tmp_path, profile, access_key_id="A", access_key_secret="a")
    assert found == {"key": ["A", "a", None], "loaded": False, "error": None}


def test_a_key_in_the_environment_loads_no_chain(tmp_path: Path, profile: dict[str, str]) -> None:
    for family in ("AGENTRUN", "ALIBABA_CLOUD"):
        key = {f"{family}_ACCESS_KEY_ID": "E", f"{family}_ACCESS_KEY_SECRET": "e", f"{family}_SECURITY_TOKEN": "t"}
        assert ask(tmp_path, {**profile, **key}) == {"key": ["E", "e", "t"], "loaded": False, "error": None}


def test_a_caller_with_headers_or_a_token_needs_no_chain(tmp_path: Path, profile: dict[str, str]) -> None:
    for config in ({"headers": {"X-API-Key": "k"}}, {"token": "t"}):
        found = ask(tmp_path, profile, **config)
        assert (found["key"], found["loaded"]) == (None, False)


def test_half_a_key_does_not_fall_back_to_the_chain(tmp_path: Path, profile: dict[str, str]) -> None:
    found = ask(tmp_path, profile, access_key_id="A")
    assert (found["key"], found["loaded"]) == (None, False)
    assert "incomplete" in found["error"]


def test_nothing_found_says_what_to_do(tmp_path: Path) -> None:
    found = ask(tmp_path)
    assert (found["key"], found["loaded"]) == (None, True)
    assert "AGENTRUN_ACCESS_KEY_ID" in found["error"]
    assert "emulator" in found["error"]


def test_a_profile_that_is_none_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "broken.ini").write_text("[default\nnonsense")
    found = ask(tmp_path, {"ALIBABA_CLOUD_CREDENTIALS_FILE": str(tmp_path / "broken.ini")})
    assert found["key"] is None
    assert "no access key" in found["error"]
