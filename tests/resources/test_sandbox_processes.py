"""Commands, background processes, terminals and ports of a sandbox, in both modes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from agentrun import (
    ClientError,
    CodeInterpreterSandbox,
    Config,
    ExitEvent,
    OutputEvent,
    ProcessHandle,
    RequestTimeoutError,
    SandboxError,
    SandboxTerminatedError,
    WaitTimeoutError,
)
from agentrun.emulator import Emulator
from tests.resources.modes import Mode
from tests.resources.sandboxes import account, created


@pytest.fixture(scope="module")
def config(emulator: Emulator) -> Iterator[Config]:
    with account(emulator) as settings:
        yield settings


@pytest.fixture(scope="module")
def sandbox(config: Config) -> CodeInterpreterSandbox:
    return created(config)


# Commands


def test_a_command_with_an_environment_and_input(call: Mode, sandbox: CodeInterpreterSandbox) -> None:
    done = call(
        sandbox.process, "cmd", "echo $GREETING; cat; echo oops >&2; exit 4", env={"GREETING": "hi"}, stdin="in"
    )
    assert (done.exit_code, done.stdout, done.stderr) == (4, "hi\nin", "oops\n")
    assert done["result"]["exitCode"] == 4
    with pytest.raises(SandboxError, match="exit code 4"):
        done.raise_on_error()


def test_a_command_tells_what_it_prints_while_it_runs(call: Mode, sandbox: CodeInterpreterSandbox) -> None:
    heard: list[tuple[float, str]] = []
    began = time.monotonic()
    command = "echo one; sleep 0.5; echo two; echo err >&2"

    def hear(text: str) -> None:
        heard.append((time.monotonic() - began, text))

    done = call(sandbox.process, "cmd", command, on_stdout=hear)
    assert [text for _, text in heard] == ["one\n", "two\n"]
    assert heard[0][0] < 0.45 < heard[1][0]
    assert (done.exit_code, done.stdout, done.stderr) == (0, "one\ntwo\n", "err\n")


def test_a_command_that_takes_too_long(call: Mode, sandbox: CodeInterpreterSandbox) -> None:
    plain = call(sandbox.process, "cmd", "sleep 9", timeout=1)
    streamed = call(sandbox.process, "cmd", "echo x; sleep 9", timeout=1, on_stdout=print)
    for done in (plain, streamed):
        assert done.status == "timeout"
        with pytest.raises(SandboxError, match="too long"):
            done.raise_on_error()
    assert streamed.stdout == "x\n"


# Processes in the background


def test_a_process_from_start_to_end(call: Mode, sandbox: CodeInterpreterSandbox) -> None:
    process = call(sandbox.process, "start", "read line; echo got $line; exit 3", stdin=True, tag="reader")
    assert isinstance(process, ProcessHandle)
    tags = {item["processId"]: item.get("tag") for item in sandbox.process.list()["items"]}
    assert tags[process.pid] == "reader"
    with pytest.raises(WaitTimeoutError):
        call(process, "wait", 0.05)
    call(process, "write", "some")
    call(process, "write", b"thing\n")
    ended = call(process, "wait", 10)
    assert (ended.exit_code, ended.stdout, ended.status) == (3, "got something\n", "completed")
    assert call(process, "status") == "completed"
    assert call(process, "info")["exitCode"] == 3


def test_a_program_with_arguments(call: Mode, sandbox: CodeInterpreterSandbox) -> None:
    process = call(sandbox.process, "start", ["printf", "%s|%s", "a b", "$HOME"], "/tmp", env={"A": "1"})
    assert call(process, "wait", 10).stdout == "a b|$HOME"


def test_closing_the_input(call: Mode, sandbox: CodeInterpreterSandbox) -> None:
    process = call(sandbox.process, "start", "cat; echo end", stdin=True)
    call(process, "write", "x\n")
    call(process, "close_stdin")
    assert call(process, "wait", 10).stdout == "x\nend\n"


@pytest.mark.parametrize(("signal", "code"), [("SIGTERM", 143), ("SIGKILL", 137)])
def test_a_signal(call: Mode, sandbox: CodeInterpreterSandbox, signal: str, code: int) -> None:
    first = call(sandbox.process, "start", ["sleep", "60"])
    second = call(sandbox.process, "start", ["sleep", "60"])
    call(first, "kill", signal)
    call(sandbox.process, "kill", second.pid, signal=signal)
    assert [call(each, "wait", 10).exit_code for each in (first, second)] == [code, code]


def test_output_is_followed_from_its_beginning_to_the_end(sandbox: CodeInterpreterSandbox) -> None:
    process = sandbox.process.start("echo one; sleep 0.2; echo two; exit 5")
    with process.output() as events:
        found = list(events)
    assert "".join(each.text for each in found if isinstance(each, OutputEvent)) == "one\ntwo\n"
    assert found[-1] == ExitEvent("exit", 5, "completed")
    assert [each for each in process.output(follow=False, tail=1) if isinstance(each, OutputEvent)] == [
        OutputEvent("stdout", "two\n")
    ]


@pytest.mark.asyncio
async def test_output_on_a_loop(sandbox: CodeInterpreterSandbox) -> None:
    process = await sandbox.process.start_async("echo one >&2")
    events = [event async for event in await process.output_async()]
    assert events == [OutputEvent("stderr", "one\n"), ExitEvent("exit", 0, "completed")]


def test_a_process_that_is_not_there(call: Mode, sandbox: CodeInterpreterSandbox) -> None:
    with pytest.raises(ClientError, match="99999"):
        call(sandbox.process.handle(99999), "info")


# Terminals


def test_a_shell_in_a_terminal(sandbox: CodeInterpreterSandbox) -> None:
    with sandbox.process.pty(columns=100, rows=30) as terminal:
        terminal.write("stty size; tty >/dev/null && echo is-$((40+2))\n")
        shown = terminal.read_until("is-42", timeout=10)
        assert "30 100" in shown
        terminal.resize(120, 40)
        terminal.write("stty size\n")
        terminal.read_until("40 120", timeout=10)
        terminal.write("exit 7\n")
        assert terminal.wait(10) == 7
        assert terminal.exit_code == 7
        assert terminal.read() == ""
    terminal.close()


@pytest.mark.asyncio
async def test_a_terminal_on_a_loop(sandbox: CodeInterpreterSandbox) -> None:
    async with await sandbox.process.pty_async("cat", "/tmp") as terminal:
        reader = asyncio.ensure_future(terminal.read_until_async("ä-echo", 10))
        await terminal.write_async("ä-echo\n")
        assert "ä-echo" in await reader
        await terminal.write_async("\x04")
        assert await terminal.wait_async(10) == 0


def test_a_terminal_is_looped_over(sandbox: CodeInterpreterSandbox) -> None:
    terminal = sandbox.process.pty("echo one; echo two")
    assert "".join(terminal).split() == ["one", "two"]
    assert terminal.wait() == 0
    terminal.close()


def test_keys_and_signals_reach_what_runs(sandbox: CodeInterpreterSandbox) -> None:
    with sandbox.process.pty("sleep 60") as terminal:
        terminal.write("\x03")
        assert terminal.wait(10) == 130
    with sandbox.process.pty("sleep 60") as terminal:
        terminal.kill("SIGTERM")
        assert terminal.wait(10) == 143


def test_a_silent_terminal(sandbox: CodeInterpreterSandbox) -> None:
    with sandbox.process.pty("sleep 60") as terminal, pytest.raises(RequestTimeoutError):
        terminal.read(0.1)


@pytest.mark.asyncio
async def test_a_silent_terminal_on_a_loop(sandbox: CodeInterpreterSandbox) -> None:
    async with await sandbox.process.pty_async("sleep 60") as terminal:
        with pytest.raises(RequestTimeoutError):
            await terminal.read_async(0.1)


def test_hanging_up_ends_what_runs(sandbox: CodeInterpreterSandbox) -> None:
    with sandbox.process.pty("echo started; exec sleep 77") as terminal:
        terminal.read_until("started", 10)
        while "sleep 77" not in running(sandbox):
            time.sleep(0.01)
    deadline = time.monotonic() + 5
    while "sleep 77" in running(sandbox):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def running(sandbox: CodeInterpreterSandbox) -> list[str]:
    return [item["command"] for item in sandbox.process.list()["items"]]


def test_a_terminal_whose_sandbox_ends(config: Config) -> None:
    doomed = created(config)
    with doomed.process.pty() as terminal:
        terminal.read(10)
        doomed.stop()
        with pytest.raises(SandboxTerminatedError, match="stopped"):
            terminal.wait(10)
    doomed.delete()


@pytest.mark.asyncio
async def test_a_terminal_on_a_loop_whose_sandbox_ends(config: Config) -> None:
    doomed = created(config)
    async with await doomed.process.pty_async() as terminal:
        await terminal.read_async(10)
        await doomed.stop_async()
        with pytest.raises(SandboxTerminatedError, match="stopped"):
            await terminal.wait_async(10)
    await doomed.delete_async()


def test_a_terminal_over_tls(tmp_path: Path) -> None:
    with Emulator(tls=True, state=tmp_path / "state") as emulator, account(emulator) as settings:
        with created(settings).process.pty("echo $((6 * 7))") as terminal:
            assert "42" in terminal.read_until("42", 10)
        settings.close()


# Ports


def test_a_server_inside_is_reached_with_signed_headers(sandbox: CodeInterpreterSandbox) -> None:
    sandbox.file.write("/home/user/site/hello.txt", "from inside")
    server = sandbox.process.start("exec python3 -m http.server 8123 --bind 127.0.0.1", "/home/user/site")
    port = sandbox.port(8123)
    try:
        answer = patiently(port.url("hello.txt"), port.headers("GET", "hello.txt"))
        assert (answer.status_code, answer.text) == (200, "from inside")
        assert sandbox.url(8123, "hello.txt") == port.url("hello.txt")
        unsigned = httpx.get(port.url("hello.txt"), trust_env=False)
        assert unsigned.status_code in (401, 403)
    finally:
        server.kill()


def patiently(url: str, headers: dict[str, str]) -> httpx.Response:
    """The answer of a server that may still be starting."""
    for _ in range(100):
        answer = httpx.get(url, headers=headers, trust_env=False)
        if answer.status_code == 200:
            return answer
        time.sleep(0.05)
    pytest.fail(f"nothing answers at {url}")
