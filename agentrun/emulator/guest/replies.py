"""What an interpreter says while it runs code and when it is done, and the two ways in which it is asked."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

Bundle = dict[str, Any]  # data of one value by MIME type

MAX_LINE = 16 * 1024 * 1024
MAX_PYTHON_LINE = 4 * 1024 * 1024
MAX_STRUCTURE = 100_000
STRUCTURE_BYTES = 100  # what a list, an object or an element of them takes in memory, about


@dataclass(frozen=True)
class Failure:
    """An error of the executed code, or of its interpreter."""

    name: str
    value: str
    text: str


@dataclass(frozen=True)
class Reply:
    """The end of an execution: the value of the last expression, an error, or neither."""

    result: Bundle | None = None
    error: Failure | None = None


@dataclass(frozen=True)
class Display:
    """Something the running code shows, which may wait until that is noted."""

    data: Bundle
    waits: bool = False
    size: int = 0  # bytes of memory, about


@dataclass(frozen=True)
class Forked:
    """The answer to a request for a clone: its process, or why there is none."""

    pid: int | None
    error: str


Message = Reply | Display | Forked


@dataclass(frozen=True)
class Dialect:
    """How code is put to an interpreter, and how a line of it is read; `decode` raises when it is unreadable.

    A line has at most `most` bytes.
    """

    encode: Callable[[str], bytes]
    decode: Callable[[bytes], Message]
    most: int = MAX_LINE


def encode_json(message: Bundle) -> bytes:
    """One line."""
    return json.dumps(message).encode() + b"\n"


def _decode_json(line: bytes) -> Message:
    message: Bundle = json.loads(line, parse_constant=_nothing)
    if "display" in message:
        size = len(line) + STRUCTURE_BYTES * _structure(line)
        return Display(_bundle(message["display"]), bool(message.get("wait")), size)
    if "forked" in message:
        return Forked(message["forked"], str(message.get("error")))
    error, result = message["error"], message["result"]
    return Reply(None if result is None else _bundle(result), Failure(**error) if error else None)


def _decode_bounded(line: bytes) -> Message:
    """As a sandbox's code may have written it: what would take long to parse, or much memory, is not even begun."""
    if _structure(line) > MAX_STRUCTURE:
        raise ValueError("too many lists, objects and elements")
    return _decode_json(line)


def _structure(line: bytes) -> int:
    """How many lists, objects and elements there may be at most; what stands in strings is counted too."""
    return line.count(b"[") + line.count(b"{") + line.count(b",")


def _bundle(value: Any) -> Bundle:
    if not isinstance(value, dict):
        raise TypeError("a MIME bundle is an object")
    return cast("Bundle", value)


def _nothing(_name: str) -> None:
    """NaN and the infinities are no JSON; they travel as null."""


def _encode_bash(code: str) -> bytes:
    """Two commands, because an interrupt makes an interactive bash drop the one it is at and go on with the next.

    The socket is bash's stdin and takes the exit status; the code itself must not read it.
    """
    return f"eval {shlex.quote(code)} </dev/null\nprintf '%d\\n' $? >&0\n".encode()


def _decode_bash(line: bytes) -> Message:
    status = int(line)
    if status == 0:
        return Reply()
    return Reply(error=Failure("ExitStatus", str(status), f"the last command ended with exit status {status}"))


JSON_LINES = Dialect(lambda code: encode_json({"code": code}), _decode_json)
PYTHON_LINES = Dialect(JSON_LINES.encode, _decode_bounded, MAX_PYTHON_LINE)
BASH_COMMANDS = Dialect(_encode_bash, _decode_bash)
