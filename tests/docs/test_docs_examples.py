"""The walk through a sandbox runs, shows what it says and leaves nothing; `make demo` runs the other example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from agentrun import ModelProxy, Template
from tests.docs.pages import ROOT

TOUR = ROOT / "examples" / "sandbox_tour.py"
FAILOVER = ROOT / "examples" / "model_failover.py"
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


def test_the_tour_of_a_sandbox_shows_what_it_says(folder: Path) -> None:
    command = [sys.executable, str(TOUR)]
    done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [text for text in SHOWN if text not in done.stdout] == []
    assert list(Template.list_all()) == []


def test_the_failover_of_models_is_exact_and_loses_no_call(folder: Path) -> None:
    command = [sys.executable, str(FAILOVER)]
    done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answered = re.findall(r"127\.0\.0\.1:\d+ +│ (\d+)", done.stdout)
    assert answered == ["70", "30", "100", "0", "70", "30"]
    assert done.stdout.count("calls that failed: 0") == 3
    assert list(ModelProxy.list_all()) == []
