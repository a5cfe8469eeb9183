"""A server that is a program: messages go to its stdin line by line and come from its stdout."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence

import anyio

from agentrun.emulator.bridge.http import LARGEST_MESSAGE
from agentrun.emulator.bridge.messages import Message, MessageError, read
from agentrun.emulator.bridge.session import Ended, Received

# How long a server may take to end by itself after its stdin was closed, and after SIGTERM.
_PATIENCE_SECONDS = 1.0
_LONGEST_SHOWN = 500


class ProcessPeer:
    """One running server."""

    def __init__(self, process: Process, received: Received, ended: Ended) -> None:
        self._process = process
        self._received = received
        self._ended = ended
        self._closing = False
        self._task = asyncio.ensure_future(self._listen())

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], received: Received, ended: Ended
    ) -> ProcessPeer:
        """Start a server. Raises OSError."""
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=environment, limit=LARGEST_MESSAGE, start_new_session=True
        )
        return cls(process, received, ended)

    async def send(self, message: Message) -> None:
        """Write a message, not faster than it is read; what goes to a server that has ended is passed over."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(message.line + b"\n")
            await self._process.stdin.drain()

    async def close(self) -> None:
        """End the server as MCP says: close its stdin, then SIGTERM, then SIGKILL, which all it started gets too."""
        self._closing = True
        assert self._process.stdin is not None
        self._process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with anyio.move_on_after(_PATIENCE_SECONDS):
                await self._process.wait()
                break
            self._signal(number)
        await self._process.wait()
        self._signal(signal.SIGKILL)
        await self._task

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._line(self._process.stdout):
            if line.strip():
                self._hear(line)
        code = await self._process.wait()
        if not self._closing:
            self._ended(_reason(code))

    async def _line(self, stdout: asyncio.StreamReader) -> bytes:
        try:
            return await stdout.readline()
        except ValueError:
            print(f"a line of the server is longer than {LARGEST_MESSAGE // 2**20} MiB", file=sys.stderr, flush=True)
            self._signal(signal.SIGKILL)
            return b""

    def _hear(self, line: bytes) -> None:
        """Hand on a message; what is none is something that the server printed, and belongs to its log."""
        try:
            message = read(line)
        except MessageError:
            print(line[:_LONGEST_SHOWN].decode(errors="replace").rstrip(), file=sys.stderr, flush=True)
            return
        self._received(message)


def _reason(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the server was ended by {signal.Signals(-code).name}"
    return f"the server ended with exit code {code}"
