"""Terminals: a program that thinks it has a screen and a keyboard, over a websocket."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import errno
import fcntl
import json
import os
import signal
import struct
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from starlette.websockets import WebSocket, WebSocketDisconnect

from agentrun.emulator.guest import signals
from agentrun.emulator.guest.errors import BadRequest, GuestError, Unavailable
from agentrun.emulator.guest.fields import Fields
from agentrun.emulator.guest.streams import Writing, readable

CHUNK = 65536
HANGUP_GRACE = 2.0
MAX_SIDE = 4096
ENVIRONMENT = {"TERM": "xterm-256color"}


@dataclass(frozen=True)
class Size:
    """How large a screen is, in characters."""

    columns: int = 80
    rows: int = 24

    def packed(self) -> bytes:
        """As the kernel takes it."""
        return struct.pack("HHHH", self.rows, self.columns, 0, 0)


class Terminal:
    """A program on a pseudo-terminal of its own, which it controls as the leader of a session."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self._process = process
        self._master = master
        self._keyboard = Writing(master)
        self._ended = asyncio.ensure_future(process.wait())

    @classmethod
    async def start(cls, argv: Sequence[str], cwd: Path, size: Size) -> Terminal:
        """Start one. Raises BadRequest when there is no such program, Unavailable when there are no terminals."""
        try:
            master, slave = os.openpty()
        except OSError as error:
            raise Unavailable(f"this sandbox has no terminals: /dev/ptmx: {error.strerror}") from None
        try:
            fcntl.ioctl(master, termios.TIOCSWINSZ, size.packed())
            return cls(await _spawn(argv, cwd, slave), master)
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)

    async def read(self) -> bytes:
        """What it shows next; nothing at the end of the program, whatever it left in the background."""
        while True:
            try:
                return os.read(self._master, CHUNK)
            except BlockingIOError:
                if self._ended.done():
                    return b""
                await self._output_or_end()
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return b""

    async def type(self, data: bytes) -> None:
        """Press keys; nobody is told when the program is gone."""
        with contextlib.suppress(OSError):
            await self._keyboard.write(data)

    def resize(self, size: Size) -> None:
        """Change the size of the screen; the program gets SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size.packed())

    def signal(self, number: signal.Signals) -> None:
        """Signal what runs in the foreground."""
        with contextlib.suppress(OSError):
            os.killpg(os.tcgetpgrp(self._master), number)

    async def wait(self) -> int:
        """Its exit code."""
        return signals.exit_code(await asyncio.shield(self._ended))

    async def close(self) -> None:
        """Hang up; what does not end by that is killed a little later."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
        if self._ended.done():
            return
        signals.kill_session(self._process.pid, signal.SIGHUP)
        await asyncio.wait([self._ended], timeout=HANGUP_GRACE)
        if not self._ended.done():
            signals.kill_session(self._process.pid)
            await self._ended

    async def _output_or_end(self) -> None:
        output = asyncio.ensure_future(readable(self._master))
        try:
            await asyncio.wait([output, self._ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            output.cancel()
            await asyncio.wait([output])


async def _spawn(argv: Sequence[str], cwd: Path, slave: int) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
    except BlockingIOError:
        raise  # the limit of processes, which the app explains
    except (OSError, ValueError) as error:
        raise BadRequest(f"{argv[0]!r} cannot be started: {error}") from None


def _take_terminal() -> None:
    """Between fork and exec: the leader of a new session makes its stdin the terminal that controls it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class TextProtocol:
    """Frames in are keys, frames out are bytes, and nothing else."""

    def __init__(self, terminal: Terminal, socket: WebSocket) -> None:
        self._terminal = terminal
        self._socket = socket

    async def show(self, data: bytes) -> None:
        """Send what the program shows."""
        if data:
            await self._socket.send_bytes(data)

    async def ended(self, exit_code: int) -> None:
        """There is no way to tell."""

    async def take(self, frame: bytes) -> None:
        """Do what a frame asks for."""
        await self._terminal.type(frame)


class JsonProtocol:
    """Each frame is an object with a `type`: input, resize, signal; output, exit, and error for one not understood."""

    def __init__(self, terminal: Terminal, socket: WebSocket) -> None:
        self._terminal = terminal
        self._socket = socket
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def show(self, data: bytes) -> None:
        """Send what the program shows; half a character waits for its other half."""
        text = self._decoder.decode(data, final=not data)
        if text:
            await self._send({"type": "output", "data": text})

    async def ended(self, exit_code: int) -> None:
        """Send the exit code."""
        await self._send({"type": "exit", "exitCode": exit_code})

    async def take(self, frame: bytes) -> None:
        """Do what a frame asks for."""
        try:
            await self._obey(_parse(frame))
        except GuestError as error:
            await self._send({"type": "error", "code": error.code, "message": str(error)})

    async def _obey(self, message: Fields) -> None:
        kind = message.required("type", str)
        if kind == "input":
            await self._terminal.type(message.required("data", str).encode("utf-8", "replace"))
        elif kind == "resize":
            self._terminal.resize(size(message.required("columns", int), message.required("rows", int)))
        elif kind == "signal":
            self._terminal.signal(signals.parse(message.required("signal", str)))
        else:
            raise BadRequest(f"unknown type {kind!r}: use input, resize or signal")

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self._socket.send_text(json.dumps(message))


PROTOCOLS: dict[str, type[JsonProtocol | TextProtocol]] = {"json": JsonProtocol, "text": TextProtocol}


async def converse(terminal: Terminal, socket: WebSocket, protocol: JsonProtocol | TextProtocol) -> None:
    """Connect both until the program ends, which closes the socket with 1000, or the caller goes, which hangs up."""
    showing = asyncio.ensure_future(_show(terminal, protocol))
    taking = asyncio.ensure_future(_take(socket, protocol))
    try:
        await asyncio.wait([showing, taking], return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            if showing.done() and showing.exception() is None:
                await socket.close(1000)
    finally:
        for task in (showing, taking):
            task.cancel()
        await asyncio.wait([showing, taking])
        await terminal.close()


def size(columns: int, rows: int) -> Size:
    """A size that a screen can have."""
    if not (1 <= columns <= MAX_SIDE and 1 <= rows <= MAX_SIDE):
        raise BadRequest(f"columns and rows must be from 1 to {MAX_SIDE}, not {columns} and {rows}")
    return Size(columns, rows)


async def _show(terminal: Terminal, protocol: JsonProtocol | TextProtocol) -> None:
    """Not faster than the caller takes it: while a frame waits the terminal is not read, and its program waits."""
    while data := await terminal.read():
        await protocol.show(data)
    await protocol.show(b"")
    await protocol.ended(await terminal.wait())


async def _take(socket: WebSocket, protocol: JsonProtocol | TextProtocol) -> None:
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        data = message.get("bytes")
        await protocol.take(message.get("text", "").encode() if data is None else data)


def _parse(frame: bytes) -> Fields:
    try:
        values: Any = json.loads(frame)
    except ValueError as error:
        raise BadRequest(f"the frame is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise BadRequest("the frame must be a JSON object")
    return Fields(cast("dict[str, Any]", values))
