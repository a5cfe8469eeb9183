"""The languages a context can have: how each interpreter is started and spoken to."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrun.emulator.guest.errors import BadRequest

JAVASCRIPT_WORKER = Path(__file__).with_name("workers") / "javascript.js"
PYTHON_WORKER = "agentrun.emulator.guest.workers.python"
ALIASES = {"py": "python", "python3": "python", "sh": "bash", "shell": "bash", "js": "javascript", "node": "javascript"}


@dataclass(frozen=True)
class Failure:
    """An error of the executed code."""

    name: str
    value: str
    text: str


@dataclass(frozen=True)
class Reply:
    """What an interpreter answers: the text of the last value, or an error."""

    result: str | None = None
    error: Failure | None = None


@dataclass(frozen=True)
class Language:
    """One language; `encode` makes a request of code and `decode` a reply of a line."""

    name: str
    program: str
    arguments: Sequence[str]
    encode: Callable[[str], bytes]
    decode: Callable[[bytes], Reply]

    @property
    def installed(self) -> bool:
        """Whether this image has the interpreter."""
        return shutil.which(self.program) is not None

    @property
    def command(self) -> list[str]:
        return [self.program, *self.arguments]


def find(name: str) -> Language:
    """The language; BadRequest naming what is installed when there is none of that name."""
    language = LANGUAGES.get(ALIASES.get(name.lower(), name.lower()))
    if language is not None and language.installed:
        return language
    available = ", ".join(known.name for known in LANGUAGES.values() if known.installed)
    if language is not None:
        raise BadRequest(f"{language.name} needs {language.program}, which is not installed: available are {available}")
    raise BadRequest(f"unknown language {name!r}: available are {available}")


def _encode_json(code: str) -> bytes:
    return json.dumps({"code": code}).encode() + b"\n"


def _decode_json(line: bytes) -> Reply:
    answer: dict[str, Any] = json.loads(line)
    error: dict[str, str] | None = answer["error"]
    return Reply(answer["result"], Failure(**error) if error else None)


def _encode_bash(code: str) -> bytes:
    """Two commands, because an interrupt makes an interactive bash drop the one it is at and go on with the next.

    The socket is bash's stdin and takes the exit status; the code itself must not read it.
    """
    return f"eval {shlex.quote(code)} </dev/null\nprintf '%d\\n' $? >&0\n".encode()


def _decode_bash(line: bytes) -> Reply:
    status = int(line)
    if status == 0:
        return Reply()
    return Reply(error=Failure("ExitStatus", str(status), f"the last command ended with exit status {status}"))


LANGUAGES = {
    language.name: language
    for language in (
        Language(
            "python", sys.executable, ("-m", "agentrun.emulator.guest.workers.python"), _encode_json, _decode_json
        ),
        Language("bash", "bash", ("--noprofile", "--norc", "--noediting", "+H", "-i"), _encode_bash, _decode_bash),
        Language("javascript", "node", (str(JAVASCRIPT_WORKER),), _encode_json, _decode_json),
    )
}
