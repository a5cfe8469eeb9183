"""Environment variables as text that a shell, or a program that reads `.env` files, understands."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from enum import Enum

_PLAIN = re.compile(r"[\w./:@,+-]*", re.ASCII)


class Shell(str, Enum):
    """Who shall read the variables."""

    SH = "sh"
    FISH = "fish"
    DOTENV = "dotenv"
    JSON = "json"


def render(variables: Mapping[str, str], shell: Shell) -> str:
    """All variables, one line each, or one JSON object; values come out as they are, whatever is in them."""
    if shell is Shell.JSON:
        return json.dumps(variables, indent=2)
    line = _LINES[shell]
    return "\n".join(line(name, value) for name, value in variables.items())


def _sh(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str) -> str:
    return f"set -gx {name} {_single_quoted(value)}"


def _dotenv(name: str, value: str) -> str:
    return f"{name}={value if _PLAIN.fullmatch(value) else _single_quoted(value)}"


def _single_quoted(value: str) -> str:
    """In single quotes, where only the quote and the backslash need a backslash."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


_LINES: Mapping[Shell, Callable[[str, str], str]] = {Shell.SH: _sh, Shell.FISH: _fish, Shell.DOTENV: _dotenv}
