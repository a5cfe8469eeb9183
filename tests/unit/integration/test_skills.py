"""Skills in a folder: listed, read, never beyond their folder; commands only where they are allowed."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest

from agentrun.errors import InvalidInputError, ToolError
from agentrun.integration.builtin import skill_tools
from agentrun.integration.utils.skill_loader import SkillDetail, SkillInfo, SkillLoader
from tests.unit.modes import both_modes, drive

SKILL = """---
name: reports
description: Makes reports of numbers
version: 1.2
---

# Reports

Run `scripts/report.sh`.
"""


@pytest.fixture
def skills(tmp_path: Path) -> Path:
    root = tmp_path / "skills"
    (root / "reports" / "scripts").mkdir(parents=True)
    (root / "reports" / "SKILL.md").write_text(SKILL)
    (root / "reports" / "scripts" / "report.sh").write_text("echo report of $1\n")
    (root / "plain").mkdir()
    (root / "plain" / "SKILL.md").write_text("Just do it.")
    (root / "no skill").mkdir()
    (tmp_path / "secret.txt").write_text("hunter2")
    (root / "reports" / "leak.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "SKILL.md").write_text("hunter2")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    return root


def always(command: str, folder: str) -> bool:
    return True


def call(mode: str, skills: Path, tool: str, arguments: dict[str, Any] | None = None, **options: Any) -> Any:
    found = {each.name: each for each in skill_tools(skills_dir=str(skills), **options).tools()}
    assert list(found) == ["load_skills", "read_skill_file", "execute_command"]
    return drive(mode, found[tool].outcome_async(arguments or {}))


@both_modes
def test_skills_are_listed_loaded_and_read(mode: str, skills: Path) -> None:
    listed = call(mode, skills, "load_skills").value
    assert listed == [
        {"name": "plain", "description": "", "version": ""},
        {"name": "reports", "description": "Makes reports of numbers", "version": "1.2"},
    ]
    loaded = call(mode, skills, "load_skills", {"name": "reports"}).value
    assert loaded["instruction"] == "# Reports\n\nRun `scripts/report.sh`.\n"
    assert loaded["files"] == ["scripts/report.sh"]
    read = call(mode, skills, "read_skill_file", {"skill_name": "reports", "file_path": "scripts/report.sh"})
    assert read.value == "echo report of $1\n"


@pytest.mark.parametrize("path", ["../plain/SKILL.md", "leak.txt", "/etc/passwd", "scripts/../../../secret.txt"])
def test_nothing_leads_out_of_a_skill(skills: Path, path: str) -> None:
    outcome = call("sync", skills, "read_skill_file", {"skill_name": "reports", "file_path": path})
    assert isinstance(outcome.error, InvalidInputError)
    assert "hunter2" not in outcome.text


@pytest.mark.parametrize("name", ["..", "linked", "no skill", "../elsewhere", "report"])
def test_only_skills_are_read(skills: Path, name: str) -> None:
    asked = {"load_skills": {"name": name}, "read_skill_file": {"skill_name": name, "file_path": "a"}}
    for tool, arguments in asked.items():
        outcome = call("sync", skills, tool, arguments)
        assert isinstance(outcome.error, InvalidInputError)
        assert "There are: plain, reports" in outcome.text


def test_a_skill_that_is_broken_hides_no_other(skills: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder, text in (("a", "---\nname: [\n---\n"), ("b", "---\nname: x\n"), ("c", "---\n- 1\n---\nText")):
        (skills / folder).mkdir()
        (skills / folder / "SKILL.md").write_text(text)
    (skills / "d").mkdir()
    (skills / "d" / "SKILL.md").write_bytes(b"\xff")
    with caplog.at_level(logging.WARNING, "agentrun"):
        names = [info.name for info in SkillLoader(str(skills)).scan_skills()]
    assert names == ["a", "b", "c", "d", "plain", "reports"]
    assert "the skill in a cannot be described" in caplog.text
    assert "no YAML" in call("sync", skills, "load_skills", {"name": "a"}).text


@both_modes
def test_the_loader_has_the_official_names(mode: str, skills: Path) -> None:
    loader = SkillLoader(skills_dir=str(skills))
    scanned = drive(mode, loader.scan_skills_async())
    assert scanned[1] == SkillInfo("reports", "Makes reports of numbers", "1.2", str(skills / "reports"))
    loaded = drive(mode, loader.load_skill_async("reports"))
    assert isinstance(loaded, SkillDetail)
    assert loaded.files == ["scripts/report.sh"]
    assert drive(mode, loader.load_skill_async("nope")) is None
    assert SkillLoader(str(skills / "nowhere")).scan_skills() == []


# Commands


@both_modes
def test_without_a_sandbox_or_an_approval_no_command_runs(mode: str, skills: Path) -> None:
    outcome = call(mode, skills, "execute_command", {"command": "touch ran"})
    assert isinstance(outcome.error, ToolError)
    assert outcome.error.executed == "no"
    assert "sandbox=" in outcome.text
    assert not (skills / "ran").exists()


@both_modes
def test_an_approved_command_runs_here_in_the_folder_of_its_skill(mode: str, skills: Path) -> None:
    asked: list[tuple[str, str]] = []

    def approve(command: str, folder: str) -> bool:
        asked.append((command, folder))
        return "report" in command

    command = {"command": "sh scripts/report.sh sales; exit 3", "skill_name": "reports"}
    assert call(mode, skills, "execute_command", command, command_approval=approve).value == {
        "stdout": "report of sales\n",
        "stderr": "",
        "exit_code": 3,
        "status": "completed",
    }
    refused = call(mode, skills, "execute_command", {"command": "touch ran"}, command_approval=approve)
    assert "not approved" in refused.text
    assert asked == [(command["command"], str(skills / "reports")), ("touch ran", str(skills))]
    assert not (skills / "ran").exists()


def test_only_true_approves(skills: Path) -> None:
    async def later(command: str, folder: str) -> str:
        return "yes"

    outcome = call("sync", skills, "execute_command", {"command": "true"}, command_approval=later)
    assert "not approved" in outcome.text


def test_a_command_is_told_no_secret_of_this_process(skills: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTRUN_ACCESS_KEY_SECRET", "canary-1")
    outcome = call("sync", skills, "execute_command", {"command": "env"}, command_approval=always)
    assert "PATH=" in outcome.value["stdout"]
    assert "canary-1" not in outcome.value["stdout"]


def test_a_command_that_takes_too_long_is_killed_with_all_that_it_started(skills: Path) -> None:
    command = "sleep 300 & echo $!; wait"
    options: dict[str, Any] = {"command_approval": always, "command_timeout": 1}
    outcome = call("sync", skills, "execute_command", {"command": command}, **options)
    assert outcome.value["status"] == "timeout"
    started = int(outcome.value["stdout"])
    for _ in range(500):
        if not is_alive(started):
            break
        time.sleep(0.02)
    assert not is_alive(started)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_is_the_sandbox_or_this_machine(skills: Path) -> None:
    with pytest.raises(InvalidInputError, match="one of the two"):
        skill_tools(skills_dir=str(skills), sandbox="python", command_approval=always)
    assert os.path.isdir(skills)
