"""Code and commands whose output arrives while they run, and what happens when their sandbox ends."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest

from agentrun import (
    CodeInterpreterSandbox,
    EndEvent,
    ErrorEvent,
    Executed,
    ExecutionResult,
    ExitEvent,
    FileEvent,
    OutputEvent,
    Result,
    SandboxError,
    SandboxTerminatedError,
    TransportError,
    UnsupportedError,
    WaitTimeoutError,
)
from agentrun.sandbox.mime import TABLE
from tests.unit.recording import Do, Platform, Sent, enveloped, in_both_modes, refused

PNG = b"\x89PNG"
RESULT = {"type": "result", "text": "42", "data": {"text/plain": "42", "text/html": "<b>42</b>"}}
CHART = {"type": "result", "display": True, "data": {"image/png": base64.b64encode(PNG).decode()}}
ERROR = {"type": "error", "name": "ValueError", "value": "no", "text": "Traceback: no"}
END = {"type": "endOfExecution", "status": "ok", "contextId": "ctx-1"}
ENTRIES: list[dict[str, Any]] = [
    {"type": "stdout", "text": "a"},
    {"type": "stdout", "text": "b\n"},
    {"type": "stderr", "text": "warning"},
    CHART,
    RESULT,
    {"type": "novelty"},
    END,
]


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The pieces of a body one by one in both modes; an exception among them is raised."""

    def __init__(self, pieces: Iterable[bytes | Exception]) -> None:
        self._pieces = iter(pieces)
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def event(entry: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(entry)}\n\n".encode()


def streamed(body: Body) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, stream=body)


def streaming(*entries: dict[str, Any] | Exception, record: Callable[[], httpx.Response] | None = None) -> Platform:
    """A platform that streams these entries for every call but the look at the sandbox's record."""

    def answer(sent: Sent) -> httpx.Response:
        if sent.path == "/sandboxes/01SB":
            return record() if record else enveloped({"sandboxId": "01SB", "status": "READY"})
        pieces = [entry if isinstance(entry, Exception) else event(entry) for entry in entries]
        return streamed(Body(pieces))

    return Platform(answer)


def sandbox(platform: Platform, **changes: Any) -> CodeInterpreterSandbox:
    config = platform.config().replace(**changes)
    return CodeInterpreterSandbox.of({"sandboxId": "01SB", "status": "READY"}, config)


def local(platform: Platform) -> CodeInterpreterSandbox:
    return sandbox(platform, data_endpoint="http://127.0.0.1:4590")


# Execution


def test_events_have_types() -> None:
    platform = streaming(*ENTRIES)
    with sandbox(platform).context.execute_stream("1", timeout=5) as stream:
        events = list(stream)
    assert events == [
        OutputEvent("stdout", "a"),
        OutputEvent("stdout", "b\n"),
        OutputEvent("stderr", "warning"),
        Result({"image/png": "iVBORw=="}, display=True),
        Result({"text/plain": "42", "text/html": "<b>42</b>"}),
        EndEvent("endOfExecution", "ok", "ctx-1"),
    ]
    assert platform.requests[0].body == {"code": "1", "language": "python", "timeout": 5, "stream": True}


@pytest.mark.asyncio
async def test_events_are_looped_over_on_a_loop() -> None:
    stream = await sandbox(streaming(*ENTRIES)).context.execute_stream_async("1")
    kinds = [each.type async for each in stream]
    assert kinds == ["stdout", "stdout", "stderr", "result", "result", "endOfExecution"]


def test_the_first_event_comes_before_the_last() -> None:
    seen: list[str] = []

    def pieces() -> Iterator[bytes]:
        yield event({"type": "stdout", "text": "early"})
        seen.append("the code goes on")
        yield event(END)

    platform = Platform(lambda _: streamed(Body(pieces())))
    events = iter(sandbox(platform).context.execute_stream("1"))
    assert next(events) == OutputEvent("stdout", "early")
    assert seen == []
    assert next(events) == EndEvent("endOfExecution", "ok", "ctx-1")


def result_of(do: Do, platform: Platform, **options: Any) -> ExecutionResult:
    found: ExecutionResult = do(sandbox(platform).context, "execute", "1", **options)
    return found


@in_both_modes
def test_callbacks_hear_what_happens_and_the_result_is_whole(do: Do) -> None:
    heard: list[Any] = []
    callbacks = {f"on_{name}": heard.append for name in ("stdout", "stderr", "result", "error")}
    result = result_of(do, streaming(*ENTRIES[:-1], ERROR, END), **callbacks)
    assert [each if isinstance(each, str) else type(each) for each in heard] == [
        "a",
        "b\n",
        "warning",
        Result,
        Result,
        ErrorEvent,
    ]
    assert (result.stdout, result.stderr, result.text) == ("ab\n", "warning", "42")
    assert [entry["type"] for entry in result.results] == [
        "stdout",
        "stderr",
        "result",
        "result",
        "novelty",
        "error",
        "endOfExecution",
    ]
    assert result["contextId"] == "ctx-1"
    with pytest.raises(SandboxError, match="ValueError: no"):
        result.raise_on_error()


@in_both_modes
def test_a_result_after_some_events_holds_all(do: Do) -> None:
    async def on_a_loop() -> ExecutionResult:
        stream = await context.execute_stream_async("1")
        async for _ in stream:
            break
        return await stream.result_async()

    context = sandbox(streaming(*ENTRIES)).context
    if do.__name__ == "blocking":
        stream = context.execute_stream("1")
        next(iter(stream))
        result = stream.result()
    else:
        result = asyncio.run(on_a_loop())
    assert result.stdout == "ab\n"


def test_closing_early_closes_the_body() -> None:
    body = Body([event(ENTRIES[0]), event(END)])
    stream = sandbox(Platform(lambda _: streamed(body))).context.execute_stream("1")
    assert next(iter(stream)) == OutputEvent("stdout", "a")
    stream.close()
    stream.close()
    assert body.closed


@in_both_modes
@pytest.mark.parametrize(("part", "method"), [("context", "execute"), ("process", "cmd")])
def test_a_callback_that_fails_ends_the_call(do: Do, part: str, method: str) -> None:
    def fail(_: str) -> None:
        raise KeyError("mine")

    body = Body([event(ENTRIES[0]), event(END), event(EXIT)])
    held = sandbox(Platform(lambda _: streamed(body)))
    with pytest.raises(KeyError, match="mine"):
        do(getattr(held, part), method, "1", on_stdout=fail)
    assert body.closed


@in_both_modes
def test_a_service_that_does_not_stream_answers_at_the_end(do: Do) -> None:
    platform = Platform(lambda _: httpx.Response(200, json={"results": ENTRIES[:-1], "contextId": "ctx-1"}))
    heard: list[str] = []
    result = result_of(do, platform, on_stdout=heard.append)
    assert heard == ["a", "b\n"]
    assert (result.stdout, result.text, result["contextId"]) == ("ab\n", "42", "ctx-1")


# A sandbox that ends


def over() -> httpx.Response:
    return enveloped({"sandboxId": "01SB", "status": "TERMINATED", "endReason": "out of memory"})


@in_both_modes
@pytest.mark.parametrize("last", [httpx.RemoteProtocolError("incomplete chunked read"), None])
def test_a_stream_that_its_sandbox_breaks_off(do: Do, last: Exception | None) -> None:
    heard: list[str] = []
    platform = streaming(ENTRIES[0], *([last] if last else []), record=over)
    with pytest.raises(SandboxTerminatedError, match="out of memory") as caught:
        result_of(do, platform, on_stdout=heard.append)
    assert heard == ["a"]
    assert (caught.value.reason, caught.value.executed) == ("out of memory", Executed.UNKNOWN)
    assert isinstance(caught.value, SandboxError)


@in_both_modes
def test_a_stream_that_the_sandbox_itself_ends_with_an_error(do: Do) -> None:
    entry = {"code": "ERR_SANDBOX_TERMINATED", "message": "sandbox 01SB is TERMINATED: killed", "executed": "unknown"}
    with pytest.raises(SandboxTerminatedError, match="killed"):
        result_of(do, streaming(ENTRIES[0], entry), on_stdout=print)


@in_both_modes
def test_a_deleted_sandbox(do: Do) -> None:
    platform = streaming(ENTRIES[0], record=lambda: refused(404, "sandbox 01SB does not exist"))
    with pytest.raises(SandboxTerminatedError, match="gone"):
        result_of(do, platform, on_stdout=print)


@in_both_modes
def test_a_stream_that_breaks_off_by_itself(do: Do) -> None:
    with pytest.raises(TransportError, match="before its last event"):
        result_of(do, streaming(ENTRIES[0]), on_stdout=print)


@in_both_modes
@pytest.mark.parametrize(
    ("said", "executed"), [("unknown", Executed.UNKNOWN), ("no", Executed.NO), (None, Executed.NO)]
)
def test_a_call_that_waits_when_the_sandbox_ends(do: Do, said: str | None, executed: Executed) -> None:
    body = {"code": "ERR_SANDBOX_TERMINATED", "message": "sandbox 01SB is TERMINATED: idle", "requestId": "R-9"}
    platform = Platform(lambda _: httpx.Response(410, json={**body, **({"executed": said} if said else {})}))
    for target, method, argument in (("context", "execute", "1"), ("process", "cmd", "ls"), ("file", "read", "/x")):
        with pytest.raises(SandboxTerminatedError, match="idle") as caught:
            do(getattr(sandbox(platform), target), method, argument)
        error = caught.value
        assert (error.status_code, error.request_id, error.executed) == (410, "R-9", executed)


# Rich results


def test_a_result_has_many_formats() -> None:
    jpeg = base64.b64encode(b"\xff\xd8").decode()
    data = {
        "text/plain": "t",
        "text/html": "h",
        "text/markdown": "m",
        "text/latex": "l",
        "image/svg+xml": "<svg/>",
        "image/png": base64.b64encode(PNG).decode(),
        "image/jpeg": jpeg,
        "application/json": {"a": [1]},
    }
    found = Result(data)
    assert (found.text, found.html, found.markdown, found.latex, found.svg) == ("t", "h", "m", "l", "<svg/>")
    assert (found.png, found.jpeg, found.json) == (PNG, b"\xff\xd8", {"a": [1]})
    assert found._repr_mimebundle_() == data  # pyright: ignore[reportPrivateUsage]
    nothing = Result({})
    assert (nothing.text, nothing.png, nothing.json, nothing.table, nothing.dataframe) == (None,) * 5


def test_a_table_is_a_dataframe() -> None:
    pandas = pytest.importorskip("pandas")
    table = {
        "schema": {
            "fields": [{"name": "index", "type": "integer"}, {"name": "price", "type": "number"}],
            "primaryKey": ["index"],
        },
        "data": [{"index": 7, "price": 1.5}, {"index": 8, "price": 2.0}],
        "truncated": False,
    }
    result = ExecutionResult(results=[{"type": "result", "text": "...", "data": {TABLE: table}}])
    found = result.outputs[0]
    assert found.table == table
    assert isinstance(found.dataframe, pandas.DataFrame)
    assert found.dataframe["price"].to_dict() == {7: 1.5, 8: 2.0}


def test_what_a_notebook_shows_of_an_execution() -> None:
    def shown(*entries: dict[str, Any]) -> Any:
        return ExecutionResult(results=list(entries))._repr_mimebundle_()  # pyright: ignore[reportPrivateUsage]

    assert shown(*ENTRIES) == RESULT["data"]
    assert shown(*ENTRIES[:3], ERROR) == {"text/plain": "ab\nwarningTraceback: no"}


def test_the_value_is_not_what_was_displayed() -> None:
    result = ExecutionResult(results=[RESULT, {**CHART, "text": "<Figure>"}])
    assert result.text == "42"
    assert [each.display for each in result.outputs] == [False, True]
    assert ExecutionResult(results=[CHART]).text is None


# Commands and processes

PRINTED = [{"type": "stdout", "text": "1"}, {"type": "stderr", "text": "e"}, {"type": "stdout", "text": "2"}]
EXIT = {"type": "exit", "exitCode": 3, "status": "completed"}


@in_both_modes
def test_a_command_tells_what_it_prints(do: Do) -> None:
    heard: list[str] = []
    platform = streaming(*PRINTED, EXIT)
    result = do(
        local(platform).process,
        "cmd",
        "run",
        env={"A": "1"},
        stdin="in",
        on_stdout=heard.append,
        on_stderr=heard.append,
    )
    assert heard == ["1", "e", "2"]
    assert (result.exit_code, result.stdout, result.stderr, result.status) == (3, "12", "e", "completed")
    assert result["result"] == {"exitCode": 3, "stdout": "12", "stderr": "e", "cwd": "/home/user"}
    assert platform.requests[0].body == {
        "command": "run",
        "cwd": "/home/user",
        "timeout": 30,
        "env": {"A": "1"},
        "stdin": "in",
        "stream": True,
    }
    with pytest.raises(SandboxError, match="exit code 3: e"):
        result.raise_on_error()


@in_both_modes
def test_a_command_where_nothing_streams(do: Do) -> None:
    done = {"status": "completed", "result": {"exitCode": 0, "stdout": "all", "stderr": ""}}
    heard: list[str] = []
    result = do(sandbox(Platform(lambda _: httpx.Response(200, json=done))).process, "cmd", "x", on_stdout=heard.append)
    assert heard == ["all"]
    assert result.raise_on_error() == done


@in_both_modes
def test_an_environment_is_never_dropped_in_silence(do: Do) -> None:
    platform = streaming(EXIT)
    refused_options: list[dict[str, Any]] = [{"env": {}}, {"stdin": ""}]
    for given in refused_options:
        with pytest.raises(UnsupportedError, match="extension of the local platform"):
            do(sandbox(platform).process, "cmd", "x", **given)
    assert platform.calls == []


@in_both_modes
def test_a_process_in_the_background(do: Do) -> None:
    item = {"processId": "7", "status": "running", "command": "sleep 9"}
    ended = {"processId": "7", "status": "completed", "exitCode": 0, "stdout": "x", "stderr": ""}
    answers = iter([item, item, {}, {}, {}, {}, ended])
    platform = Platform(lambda _: httpx.Response(200, json=next(answers)))
    process = do(sandbox(platform).process, "start", ["sleep", "9"], env={"A": "b"}, stdin=True, tag="t", timeout=60)
    assert (process.pid, do(process, "status")) == ("7", "running")
    do(process, "write", b"\xff")
    do(process, "close_stdin")
    do(process, "kill", "SIGTERM")
    do(process, "kill")
    assert do(process, "wait").stdout == "x"
    base = "/sandboxes/01SB/processes"
    assert platform.calls == [
        f"POST {base}",
        f"GET {base}/7",
        f"POST {base}/7/stdin",
        f"POST {base}/7/stdin",
        f"POST {base}/7/signal",
        f"DELETE {base}/7",
        f"GET {base}/7/wait",
    ]
    assert [sent.body for sent in platform.requests if sent.method == "POST"] == [
        {"argv": ["sleep", "9"], "cwd": "/home/user", "env": {"A": "b"}, "stdin": True, "tag": "t", "timeout": 60},
        {"data": "/w==", "encoding": "base64", "close": False},
        {"data": "", "encoding": "utf-8", "close": True},
        {"signal": "SIGTERM"},
    ]


@in_both_modes
def test_a_process_that_does_not_end_in_time(do: Do) -> None:
    platform = Platform(lambda _: httpx.Response(200, json={"processId": "7", "status": "running", "exitCode": None}))
    with pytest.raises(WaitTimeoutError, match="process 7"):
        do(sandbox(platform).process.handle(7), "wait", 0.01)
    assert platform.requests[0].query == {"timeout": "0.01"}


@pytest.mark.parametrize("follow", [True, False])
def test_the_output_of_a_process(follow: bool) -> None:
    platform = streaming(*PRINTED, *([EXIT] if follow else []))
    events = list(sandbox(platform).process.handle("7").output(follow, tail=100))
    assert events[:2] == [OutputEvent("stdout", "1"), OutputEvent("stderr", "e")]
    assert events[3:] == ([ExitEvent("exit", 3, "completed")] if follow else [])
    assert platform.requests[0].query == {"follow": str(follow).lower(), "tail": "100"}


# Watching


def test_changes_of_files_are_told_from_the_moment_watch_returns() -> None:
    made = {"type": "create", "path": "/a/x", "isDirectory": False}
    moved = {"type": "move", "path": "/a/y", "from": "/a/x", "isDirectory": False}
    platform = streaming({"type": "ready"}, made, moved)
    with sandbox(platform).file_system.watch("/a") as changes:
        assert platform.requests[0].query == {"path": "/a", "recursive": "true"}
        found = iter(changes)
        assert next(found) == FileEvent(type="create", path="/a/x")
        assert next(found) == FileEvent(type="move", path="/a/y", source="/a/x")
        with pytest.raises(TransportError):
            next(found)


def test_a_watched_sandbox_that_ends() -> None:
    changes = sandbox(streaming({"type": "ready"}, record=over)).file_system.watch("/a")
    with pytest.raises(SandboxTerminatedError, match="out of memory"):
        list(changes)
