"""Shell commands, processes in the background, and terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from agentrun._core.api import segment
from agentrun._core.blocking import run
from agentrun._sandbox_tools.definitions import HOME
from agentrun.errors import InvalidResponseError
from agentrun.sandbox.calls import checked_fields, is_event_stream, wait_of, whole
from agentrun.sandbox.data import EXECUTE_SECONDS
from agentrun.sandbox.events import ExitEvent, is_exit, process_event
from agentrun.sandbox.execution import Callbacks, OnText
from agentrun.sandbox.extensions import COMMAND_OPTIONS, COMMAND_STREAM, PTY, SIGNAL, START
from agentrun.sandbox.operations import Operations
from agentrun.sandbox.process_handle import ProcessHandle
from agentrun.sandbox.result import ProcessResult
from agentrun.sandbox.terminal import Terminal
from agentrun.sandbox.tracing import command_span, tell_exit

if TYPE_CHECKING:
    from agentrun.sandbox.data import CodeInterpreterDataAPI


class ProcessOperations(Operations):
    """Shell commands and what runs."""

    async def cmd_async(
        self,
        command: str,
        cwd: str = HOME,
        timeout: int | None = EXECUTE_SECONDS,
        *,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
    ) -> ProcessResult:
        """Run a shell command for at most `timeout` seconds: `result` holds `exitCode`, `stdout` and `stderr`.

        The functions are called with what is printed while it runs. `env`, added to the environment, and `stdin` are
        an extension of the local platform; elsewhere they raise UnsupportedError.
        """
        if env is not None or stdin is not None:
            self._api.require_local(COMMAND_OPTIONS)
        body = _given(command=command, cwd=cwd, timeout=timeout, env=env and dict(env), stdin=stdin)
        callbacks = Callbacks(on_stdout, on_stderr)
        with command_span(self._api.sandbox_id) as span:
            if callbacks:
                result = await _streamed(self._api, body, callbacks, timeout)
            else:
                answer = await self._api.ask("POST", "/processes/cmd", body=body, timeout=wait_of(timeout))
                result = ProcessResult(answer)
            tell_exit(span, result)
        return result

    def cmd(
        self,
        command: str,
        cwd: str = HOME,
        timeout: int | None = EXECUTE_SECONDS,
        *,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        on_stdout: OnText = None,
        on_stderr: OnText = None,
    ) -> ProcessResult:
        """Run a shell command for at most `timeout` seconds: `result` holds `exitCode`, `stdout` and `stderr`.

        The functions are called with what is printed while it runs. `env`, added to the environment, and `stdin` are
        an extension of the local platform; elsewhere they raise UnsupportedError.
        """
        return run(
            self.cmd_async(command, cwd, timeout, env=env, stdin=stdin, on_stdout=on_stdout, on_stderr=on_stderr)
        )

    async def start_async(
        self,
        command: str | Sequence[str],
        cwd: str = HOME,
        *,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        tag: str | None = None,
        timeout: float | None = None,
    ) -> ProcessHandle:
        """Start a shell command, or a program with its arguments, in the background.

        With `stdin` it can be written to. After `timeout` seconds it is killed. `tag` shows in the list of processes.
        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        what = {"command": command} if isinstance(command, str) else {"argv": list(command)}
        rest = _given(cwd=cwd, env=env and dict(env), stdin=stdin or None, tag=tag, timeout=timeout)
        started = await self._api.ask("POST", "/processes", body={**what, **rest}, extension=START)
        return self.handle(_pid(started))

    def start(
        self,
        command: str | Sequence[str],
        cwd: str = HOME,
        *,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        tag: str | None = None,
        timeout: float | None = None,
    ) -> ProcessHandle:
        """Start a shell command, or a program with its arguments, in the background.

        With `stdin` it can be written to. After `timeout` seconds it is killed. `tag` shows in the list of processes.
        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.start_async(command, cwd, env=env, stdin=stdin, tag=tag, timeout=timeout))

    def handle(self, pid: str | int) -> ProcessHandle:
        """The process with this id, to wait for it, read its output or end it; asks for nothing yet."""
        return ProcessHandle(self._api, str(pid))

    async def list_async(self) -> dict[str, Any]:
        """All processes, under `items`."""
        return await self._api.list_processes_async()

    def list(self) -> dict[str, Any]:
        """All processes, under `items`."""
        return run(self.list_async())

    async def get_async(self, pid: str) -> dict[str, Any]:
        """Read a process."""
        return await self._api.get_process_async(pid)

    def get(self, pid: str) -> dict[str, Any]:
        """Read a process."""
        return run(self.get_async(pid))

    async def kill_async(self, pid: str, *, signal: str | None = None) -> dict[str, Any]:
        """Kill a process, or send it and its group a signal such as `SIGTERM`.

        `signal` is an extension of the local platform; elsewhere it raises UnsupportedError.
        """
        if signal is None:
            return await self._api.kill_process_async(pid)
        path = f"/processes/{segment(str(pid))}/signal"
        return await self._api.ask("POST", path, body={"signal": signal}, extension=SIGNAL)

    def kill(self, pid: str, *, signal: str | None = None) -> dict[str, Any]:
        """Kill a process, or send it and its group a signal such as `SIGTERM`.

        `signal` is an extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.kill_async(pid, signal=signal))

    async def pty_async(
        self, command: str | None = None, cwd: str | None = None, columns: int = 80, rows: int = 24
    ) -> Terminal:
        """Open a terminal with a login shell, or with a command; close it, or use it as a context manager.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        query = {"protocol": "json", "command": command, "cwd": cwd, "columns": columns, "rows": rows}
        return Terminal(await self._api.connect("/processes/tty", query, extension=PTY), self._api)

    def pty(self, command: str | None = None, cwd: str | None = None, columns: int = 80, rows: int = 24) -> Terminal:
        """Open a terminal with a login shell, or with a command; close it, or use it as a context manager.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.pty_async(command, cwd, columns, rows))


async def _streamed(
    api: CodeInterpreterDataAPI, body: dict[str, Any], callbacks: Callbacks, timeout: float | None
) -> ProcessResult:
    """Run a command and tell the callbacks what it prints; the result is that of a command that was waited for."""
    wanted = {**body, "stream": True}
    answer = await api.open("POST", "/processes/cmd", body=wanted, timeout=wait_of(timeout), extension=COMMAND_STREAM)
    if not is_event_stream(answer):
        return _told_at_the_end(ProcessResult(checked_fields(await whole(answer))), callbacks)
    printed: dict[str, list[str]] = {"stdout": [], "stderr": []}
    end: ExitEvent | None = None
    async with aclosing(api.entries(answer, is_exit)) as entries:
        async for entry in entries:
            event = process_event(entry)
            callbacks.tell(event)
            if isinstance(event, ExitEvent):
                end = event
            elif event is not None:
                printed[event.type].append(event.text)
    return _collected(printed, end, body["cwd"])


def _collected(printed: dict[str, list[str]], end: ExitEvent | None, cwd: str) -> ProcessResult:
    texts = {name: "".join(parts) for name, parts in printed.items()}
    result = {"exitCode": end.exit_code if end else None, **texts, "cwd": cwd}
    return ProcessResult(status=end.status if end else None, result=result)


def _told_at_the_end(result: ProcessResult, callbacks: Callbacks) -> ProcessResult:
    for function, text in ((callbacks.on_stdout, result.stdout), (callbacks.on_stderr, result.stderr)):
        if function is not None and text:
            function(text)
    return result


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _pid(answer: dict[str, Any]) -> str:
    if not answer.get("processId"):
        raise InvalidResponseError(f"the answer is not a process: {answer!r:.200}")
    return str(answer["processId"])
