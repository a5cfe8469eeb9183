"""A process that runs in the background of a sandbox."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from agentrun._core.api import segment
from agentrun._core.blocking import run
from agentrun._core.session import ByteStream
from agentrun._core.streams import Stream
from agentrun.errors import WaitTimeoutError
from agentrun.sandbox.calls import SILENCE_SECONDS, SandboxCalls, wait_of
from agentrun.sandbox.events import ProcessEvent, is_exit, process_event
from agentrun.sandbox.extensions import SIGNAL, START
from agentrun.sandbox.result import ProcessResult

# How long one request waits for the end; longer waits are made of several.
WAIT_SECONDS = 60.0
KILL = "SIGKILL"


class ProcessHandle:
    """A process in a sandbox, by its id; it goes on whether or not anybody holds this.

    Extension of the local platform; elsewhere it raises UnsupportedError.
    """

    def __init__(self, calls: SandboxCalls, pid: str) -> None:
        self._calls = calls
        self.pid = pid

    def __repr__(self) -> str:
        return f"ProcessHandle(pid={self.pid!r})"

    def _path(self, below: str = "") -> str:
        return f"/processes/{segment(self.pid)}{below}"

    async def info_async(self) -> dict[str, Any]:
        """What is known of the process: `status`, `command`, and `exitCode` once it has ended."""
        return await self._calls.ask("GET", self._path())

    def info(self) -> dict[str, Any]:
        """What is known of the process: `status`, `command`, and `exitCode` once it has ended."""
        return run(self.info_async())

    async def status_async(self) -> str:
        """How the process is: `running` or what the kernel calls it, and at the end `completed` or `timeout`."""
        return str((await self.info_async()).get("status") or "")

    def status(self) -> str:
        """How the process is: `running` or what the kernel calls it, and at the end `completed` or `timeout`."""
        return run(self.status_async())

    async def write_async(self, data: str | bytes) -> None:
        """Write to the process, which must have been started with `stdin=True`."""
        await self._input({**_encoded(data), "close": False})

    def write(self, data: str | bytes) -> None:
        """Write to the process, which must have been started with `stdin=True`."""
        run(self.write_async(data))

    async def close_stdin_async(self) -> None:
        """Tell the process that nothing more will be written."""
        await self._input({**_encoded(""), "close": True})

    def close_stdin(self) -> None:
        """Tell the process that nothing more will be written."""
        run(self.close_stdin_async())

    async def _input(self, body: dict[str, Any]) -> None:
        await self._calls.ask_any("POST", self._path("/stdin"), body=body, extension=START)

    async def output_async(self, follow: bool = True, tail: int | None = None) -> Stream[ProcessEvent]:
        """What the process printed and, with `follow`, prints until it ends; the last event tells its exit code.

        `tail` leaves away all but the last so many lines of what was printed before.
        """
        query = {"follow": follow, "tail": tail}
        path = self._path("/output")
        body = await self._calls.open("GET", path, query=query, timeout=SILENCE_SECONDS, extension=START)
        return Stream(body, _events(self._calls, body, follow))

    def output(self, follow: bool = True, tail: int | None = None) -> Stream[ProcessEvent]:
        """What the process printed and, with `follow`, prints until it ends; the last event tells its exit code.

        `tail` leaves away all but the last so many lines of what was printed before.
        """
        return run(self.output_async(follow, tail))

    async def wait_async(self, timeout: float | None = None) -> ProcessResult:
        """Wait for the end: `exit_code`, `stdout` and `stderr`; raises WaitTimeoutError after `timeout` seconds."""
        deadline = time.monotonic() + (SILENCE_SECONDS if timeout is None else timeout)
        while True:
            left = deadline - time.monotonic()
            result = await self._wait_for(max(min(left, WAIT_SECONDS), 0.001))
            if result.exit_code is not None:
                return result
            if left <= WAIT_SECONDS:
                raise WaitTimeoutError(f"process {self.pid} did not end within {timeout:g} s")

    def wait(self, timeout: float | None = None) -> ProcessResult:
        """Wait for the end: `exit_code`, `stdout` and `stderr`; raises WaitTimeoutError after `timeout` seconds."""
        return run(self.wait_async(timeout))

    async def _wait_for(self, seconds: float) -> ProcessResult:
        query = {"timeout": round(seconds, 3)}
        path = self._path("/wait")
        return ProcessResult(await self._calls.ask("GET", path, query=query, timeout=wait_of(seconds), extension=START))

    async def kill_async(self, signal: str = KILL) -> None:
        """Send the process and its group a signal; the default ends it at once."""
        if signal == KILL:
            await self._calls.ask_any("DELETE", self._path())
        else:
            await self._calls.ask_any("POST", self._path("/signal"), body={"signal": signal}, extension=SIGNAL)

    def kill(self, signal: str = KILL) -> None:
        """Send the process and its group a signal; the default ends it at once."""
        run(self.kill_async(signal))


def _encoded(data: str | bytes) -> dict[str, str]:
    if isinstance(data, str):
        return {"data": data, "encoding": "utf-8"}
    return {"data": base64.b64encode(data).decode(), "encoding": "base64"}


async def _events(calls: SandboxCalls, body: ByteStream, follow: bool) -> AsyncIterator[ProcessEvent]:
    async with aclosing(calls.entries(body, is_exit, may_end=not follow)) as entries:
        async for entry in entries:
            event = process_event(entry)
            if event is not None:
                yield event
