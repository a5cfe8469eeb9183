"""Code that runs: its events as they happen, and its whole result at the end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

from agentrun._core.blocking import run
from agentrun._core.session import ByteStream
from agentrun._core.streams import Stream
from agentrun.sandbox.calls import SandboxCalls, checked_fields, is_event_stream, whole
from agentrun.sandbox.events import END_OF_EXECUTION, ErrorEvent, ExecutionEvent, OutputEvent, execution_event, is_end
from agentrun.sandbox.mime import Result
from agentrun.sandbox.result import ExecutionResult

OnText: TypeAlias = "Callable[[str], object] | None"
OnResult: TypeAlias = "Callable[[Result], object] | None"
OnError: TypeAlias = "Callable[[ErrorEvent], object] | None"


@dataclass(frozen=True)
class Callbacks:
    """Plain functions that are called with what happens, in the thread or task that reads."""

    on_stdout: OnText = None
    on_stderr: OnText = None
    on_result: OnResult = None
    on_error: OnError = None

    def __bool__(self) -> bool:
        return any((self.on_stdout, self.on_stderr, self.on_result, self.on_error))

    def tell(self, event: object) -> None:
        """Call the function that an event is for."""
        if isinstance(event, OutputEvent):
            _call(self.on_stdout if event.type == "stdout" else self.on_stderr, event.text)
        elif isinstance(event, Result):
            _call(self.on_result, event)
        elif isinstance(event, ErrorEvent):
            _call(self.on_error, event)


def _call(function: Callable[[Any], object] | None, value: Any) -> None:
    if function is not None:
        function(value)


class ExecutionStream(Stream[ExecutionEvent]):
    """The events of an execution: `for` after a synchronous call, `async for` after an asynchronous one.

    `result` reads what is left and gives the whole result. Closing it before the end interrupts the code.
    """

    def __init__(self, body: ByteStream, calls: SandboxCalls, callbacks: Callbacks) -> None:
        self._entries: list[dict[str, Any]] = []
        self._callbacks = callbacks
        super().__init__(body, self._read(body, calls))

    async def _read(self, body: ByteStream, calls: SandboxCalls) -> AsyncIterator[ExecutionEvent]:
        source = calls.entries(body, is_end) if is_event_stream(body) else _of_whole(body)
        # A function of the caller's that fails ends the reading, which closes the body.
        async with aclosing(source) as entries:
            async for entry in entries:
                self._entries.append(entry)
                event = execution_event(entry)
                if event is not None:
                    self._callbacks.tell(event)
                    yield event

    async def result_async(self) -> ExecutionResult:
        """Wait for the end of the code: everything it gave, also what was read before."""
        async for _ in self._events:
            pass
        context_id = self._entries[-1].get("contextId") if self._entries else None
        return ExecutionResult(results=_merged(self._entries), contextId=context_id)

    def result(self) -> ExecutionResult:
        """Wait for the end of the code: everything it gave, also what was read before."""
        return run(self.result_async())


def _merged(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries with the pieces of an output that follow each other in one."""
    found: list[dict[str, Any]] = []
    for kind, group in groupby(entries, lambda entry: entry.get("type")):
        pieces = list(group)
        if kind in ("stdout", "stderr"):
            found.append({**pieces[0], "text": "".join(str(piece.get("text") or "") for piece in pieces)})
        else:
            found.extend(pieces)
    return found


async def _of_whole(body: ByteStream) -> AsyncGenerator[dict[str, Any], None]:
    """The entries of an answer that came in one piece, because the service does not stream."""
    answer: Mapping[str, Any] = checked_fields(await whole(body))
    ended = False
    for entry in answer.get("results") or ():
        ended = ended or is_end(entry)
        yield {**entry, "contextId": answer.get("contextId")} if is_end(entry) else entry
    if not ended:
        yield {"type": END_OF_EXECUTION, "contextId": answer.get("contextId")}
