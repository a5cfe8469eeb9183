"""The examples run against the emulator as their first lines say, and leave nothing behind.

`make demo` and the tests of the command line run the quickstart.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentrun import Template
from tests.docs.pages import ROOT

SHOWN = (
    "python: 42",
    "bash: 3",
    "written and read: 5000000 5000000",
    "found: ['a.txt', 'b.txt']",
    "the server says: hello from inside",
    "its shell exited with 3",
    "after the rollback: ([3, 2], False)",
    "one way: [3, 2, 9]",
    "off: example.com:80 is refused",
    'the rule {"domain": "example.com", "ports": [80]}',
    "woken by a call: 42",
)


@pytest.fixture(scope="module")
def tour_script() -> Path:
    return ROOT / "examples" / "sandbox_tour.py"


def test_the_tour_of_a_sandbox_shows_what_it_says(folder: Path, tour_script: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(tour_script)], cwd=folder, env=os.environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [text for text in SHOWN if text not in done.stdout] == []
    assert list(Template.list_all()) == []


def test_the_tour_fails_where_no_platform_answers(
    folder: Path, tour_script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTRUN_CONTROL_ENDPOINT", "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, str(tour_script)], cwd=folder, env=os.environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "127.0.0.1:9" in done.stderr
