"""Paths as requests name them: absolute, relative to the home folder, with `~`, or as a `file://` URI.

The kernel decides what the sandbox's user may reach, so a path is not restricted here. Names on Linux are bytes; one
that is not UTF-8 cannot travel in JSON, so it is shown as a `file://` URI, which is accepted wherever a path is.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from agentrun.emulator.guest.errors import BadRequest

CUSTOMARY_HOME = "/home/user"
URI = "file:///"
MAX_BYTES = 4095


def home() -> Path:
    """The home folder of the sandbox's user."""
    return Path(os.environ.get("HOME", CUSTOMARY_HOME))


def check_folder(folder: Path) -> None:
    """BadRequest when a folder to work in does not exist."""
    if not os.path.isdir(folder):
        raise BadRequest(f"the folder {shown(folder)} (cwd) does not exist: make it with POST /filesystem/mkdir")


def resolve(text: str) -> Path:
    """The path; /home/user means the home folder also where there are no walls and it lies elsewhere.

    BadRequest when there cannot be such a path.
    """
    name = _from_uri(text) if text.startswith(URI) else text
    _check(name)
    path = home() / _below_home(name)
    if len(os.fsencode(path)) > MAX_BYTES:
        raise BadRequest(f"the path is too long: a path may have {MAX_BYTES} bytes")
    return path


def shown(path: Path | str) -> str:
    """The path as it travels: itself, or a `file://` URI when its bytes are not UTF-8."""
    text = str(path)
    if _is_text(text):
        return text
    return "file://" + quote_from_bytes(os.fsencode(os.path.abspath(text)))


def shown_name(name: str) -> str:
    """A file's name for reading; bytes that are not UTF-8 are replaced."""
    return name if _is_text(name) else os.fsencode(name).decode("utf-8", "replace")


def _below_home(name: str) -> str:
    for prefix in (CUSTOMARY_HOME, "~"):
        if name == prefix or name.startswith(prefix + "/"):
            return name[len(prefix) :].lstrip("/")
    return name


def _from_uri(text: str) -> str:
    return os.fsdecode(unquote_to_bytes(text[len(URI) - 1 :]))


def _check(name: str) -> None:
    if not name or "\0" in name:
        raise BadRequest("the path is empty" if not name else "the path has a NUL byte")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise BadRequest("the path is not valid Unicode: send other bytes as file:///... with %XX") from None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
