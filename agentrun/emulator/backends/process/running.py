"""One started process tree: its log, its readiness and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentrun.emulator.backends.base import BackendError, HealthCheck, Isolation
from agentrun.emulator.backends.process.cgroups import Cgroup
from agentrun.emulator.backends.process.freezing import continue_tree, stop_tree
from agentrun.emulator.backends.process.logs import Log
from agentrun.emulator.backends.process.readiness import healthy

CHUNK = 65536
REASON_LINES = 20
STARTUP_POLL = 0.01
STOP_PATIENCE = 1.0


class ProcessRunning:
    """A sandbox or a service that runs behind bubblewrap's walls, or unconfined."""

    def __init__(
        self,
        process: Process,
        *,
        name: str,
        path: Path,
        server: socket.socket,
        isolation: Isolation,
        health: HealthCheck,
        port: int | None,
        grace: float,
        info_fd: int,
        confined: bool,
        cgroup: Cgroup,
        log_file: Path | None = None,
        release: Callable[[], None],
    ) -> None:
        self._process = process
        self._name = name
        self._socket = path
        self._server = server
        self._listened = False
        self._isolation = isolation
        self._health = health
        self._port = port
        self._grace = grace
        self._info_fd: int | None = info_fd
        self._confined = confined
        self._cgroup = cgroup
        self._paused = False
        self._told = b""
        self._release = release
        self._log = Log(log_file)
        self._reader = asyncio.create_task(self._read_output())
        self._ended = asyncio.create_task(self._watch())
        self._stopping = False

    @property
    def socket(self) -> Path:
        return self._socket

    @property
    def isolation(self) -> Isolation:
        return self._isolation

    @property
    def alive(self) -> bool:
        return not self._ended.done()

    def logs(self, tail: int | None = None) -> list[str]:
        return self._log.lines(tail)

    async def wait_ready(self) -> None:
        """Return once it answers; BackendError with exit code or deadline and its last lines when it does not."""
        deadline = time.monotonic() + self._health.start_timeout
        await self._poll_until(self._is_listening, deadline, STARTUP_POLL, self._silence())
        path = self._health.path
        if path is not None:
            await asyncio.sleep(self._health.initial_delay)
            check = f"answered {path} with something else than 2xx for {self._health.start_timeout:g} s"
            await self._poll_until(
                lambda: healthy(self._socket, path, self._health.timeout), deadline, self._health.poll, check
            )

    async def wait_unhealthy(self) -> str:
        """Return once the health check has failed too often in a row; a paused one is not asked."""
        path, failures = self._health.path, 0
        while path is None or failures < self._health.failure_threshold:
            await asyncio.sleep(self._health.period)
            well = path is None or self._paused or await healthy(self._socket, path, self._health.timeout)
            failures = 0 if well else failures + 1
        return f"{self._name} failed its health check {path} {failures} times in a row"

    async def wait_ended(self) -> int:
        return await asyncio.shield(self._ended)

    async def pause(self) -> None:
        """Freeze every process of it; BackendError when it has ended."""
        self._paused = True
        await asyncio.to_thread(self._freeze, True)

    async def resume(self) -> None:
        """Let every process of it go on; nothing happens when it was not paused."""
        if self._paused:
            await asyncio.to_thread(self._freeze, False)
            self._paused = False

    async def stop(self) -> None:
        """End all of it; the kernel ends the rest when pid 1 is gone, and only then does bubblewrap end."""
        self._stopping = True
        with contextlib.suppress(BackendError):
            await self.resume()
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._grace or not self._confined:
            await self._wait(self._grace + STOP_PATIENCE)
        while not self._ended.done():
            self._kill()
            await self._wait(0.05)
        await self._ended

    def _freeze(self, frozen: bool) -> None:
        if self._cgroup.freeze(frozen):
            return
        root = self._process.pid if not self._confined else self._init_pid()
        if not self.alive or root is None:
            raise BackendError(f"{self._name} does not run")
        stop_tree(root) if frozen else continue_tree(root)

    async def _wait(self, seconds: float) -> None:
        await asyncio.wait([self._ended], timeout=seconds)

    def _kill(self) -> None:
        """Kill pid 1, or bubblewrap itself as long as it has not told who that is."""
        pid = self._init_pid()
        with contextlib.suppress(ProcessLookupError):
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            else:
                self._process.kill()

    def _init_pid(self) -> int | None:
        """The id of pid 1 on the host, once bubblewrap told it; kept, because a pipe gives it only once."""
        if self._info_fd is None or self._process.returncode is not None:
            return None
        with contextlib.suppress(BlockingIOError):
            self._told += os.read(self._info_fd, CHUNK)
        try:
            told: dict[str, Any] = json.loads(self._told)
        except ValueError:
            return None
        return int(told["child-pid"])

    async def _read_output(self) -> None:
        assert self._process.stdout is not None
        while data := await self._process.stdout.read(CHUNK):
            self._log.feed(data)

    async def _watch(self) -> int:
        code = await self._process.wait()
        await asyncio.wait([self._reader], timeout=STOP_PATIENCE)
        self._reader.cancel()
        self._log.close()
        self._server.close()
        if self._info_fd is not None:
            os.close(self._info_fd)
            self._info_fd = None
        await asyncio.to_thread(self._release)
        return code

    async def _poll_until(self, check: Callable[[], Any], deadline: float, period: float, failure: str) -> None:
        while not await check():
            if self._ended.done() or self._process.returncode is not None:
                raise BackendError(await self._death())
            if time.monotonic() > deadline:
                raise BackendError(f"{self._name} {failure}{self._last_lines()}")
            await asyncio.sleep(period)

    async def _is_listening(self) -> bool:
        """Whether the inside listens, asked of our own copy of its socket, which is closed once it does."""
        if self._server.fileno() >= 0 and self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self._listened = True
            self._server.close()
        return self._listened

    def _silence(self) -> str:
        place = "answer" if self._port is None else f"listen on port {self._port}"
        return f"did not {place} within {self._health.start_timeout:g} s"

    async def _death(self) -> str:
        code = await asyncio.shield(self._ended)
        if self._stopping:
            return f"{self._name} was stopped before it was ready"
        before = "answering" if self._port is None else f"listening on port {self._port}"
        return f"{self._name} {describe_exit(code)} before {before}{self._last_lines()}"

    def _last_lines(self) -> str:
        lines = self.logs(REASON_LINES)
        return "; last lines:\n" + "\n".join(lines) if lines else "; it wrote nothing"


def describe_exit(code: int) -> str:
    """`exited with code 1`, or which signal ended it."""
    number = code - 128 if code > 128 else -code
    if number > 0:
        with contextlib.suppress(ValueError):
            hint = " (out of memory?)" if number == signal.SIGKILL else ""
            return f"was ended by {signal.Signals(number).name}{hint}"
    return f"exited with code {code}"
