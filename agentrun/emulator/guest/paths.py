"""Paths as requests name them: absolute, relative to the home folder, or with `~`."""

from __future__ import annotations

import os
from pathlib import Path

from agentrun.emulator.guest.errors import BadRequest

CUSTOMARY_HOME = "/home/user"


def home() -> Path:
    """The home folder of the sandbox's user."""
    return Path(os.environ.get("HOME", CUSTOMARY_HOME))


def check_folder(folder: Path) -> None:
    """BadRequest when a folder to work in does not exist."""
    if not folder.is_dir():
        raise BadRequest(f"the folder {folder} (cwd) does not exist: make it with POST /filesystem/mkdir")


def resolve(text: str) -> Path:
    """The path; /home/user means the home folder also where there are no walls and it lies elsewhere."""
    if not text or "\0" in text:
        raise BadRequest("the path is empty" if not text else "the path has a NUL byte")
    for prefix in (CUSTOMARY_HOME, "~"):
        if text == prefix or text.startswith(prefix + "/"):
            return home() / text[len(prefix) + 1 :]
    return home() / text
