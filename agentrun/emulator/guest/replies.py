"""What an interpreter says while it runs code and when it is done, and the two ways in which it is asked."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

Bundle = dict[str, Any]  # data of one value by MIME type


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


@dataclass(frozen=True)
class Forked:
    """The answer to a request for a clone: its process, or why there is none."""

    pid: int | None
    error: str


Message = Reply | Display | Forked


@dataclass(frozen=True)
class Dialect:
    """How code is put to an interpreter, and how a line of it is read; `decode` raises when it is unreadable."""

    encode: Callable[[str], bytes]
    decode: Callable[[bytes], Message]


def encode_json(message: Bundle) -> bytes:
    """One line."""
    return json.dumps(message).encode() + b"\n"


def _decode_json(line: bytes) -> Message:
    message: Bundle = json.loads(line, parse_constant=_nothing)
    if "display" in message:
        return Display(_bundle(message["display"]), bool(message.get("wait")))
    if "forked" in message:
        return Forked(message["forked"], str(message.get("error")))
    error, result = message["error"], message["result"]
    return Reply(None if result is None else _bundle(result), Failure(**error) if error else None)


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
BASH_COMMANDS = Dialect(_encode_bash, _decode_bash)
