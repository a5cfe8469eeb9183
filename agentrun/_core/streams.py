"""Server-sent events: a decoder that does no input or output, and a stream that is read in either mode."""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from agentrun._core.blocking import iterate, run
from agentrun._core.deadline import within
from agentrun.errors import TransportError

if TYPE_CHECKING:
    from typing_extensions import Self

    from agentrun._core.session import ByteStream

T = TypeVar("T")
V = TypeVar("V")

# Seconds to wait for the end of a body whose last event has come.
LINGER = 0.1


@dataclass(frozen=True)
class ServerSentEvent:
    """One event: its data with the lines joined, its type, its id."""

    data: str
    event: str = "message"
    id: str | None = None


class SSEDecoder:
    """Turns bytes, cut anywhere, into events, as the HTML standard describes them."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")(errors="replace").decode
        self._rest = ""
        self._after_return = False
        self._data: list[str] = []
        self._event = ""
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that these bytes complete."""
        text = self._decode(chunk)
        if not text:
            return []
        # A carriage return ends a line at once; a line feed that follows it, even in the next piece, belongs to it.
        if self._after_return:
            text = text.removeprefix("\n")
        self._after_return = text.endswith("\r")
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        lines[0] = self._rest + lines[0]
        self._rest = lines.pop()
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        data, event = self._data, self._event
        self._data, self._event = [], ""
        return ServerSentEvent("\n".join(data), event or "message", self._id) if data else None


async def decode_events(body: ByteStream) -> AsyncGenerator[ServerSentEvent, None]:
    """The events of a body as they arrive."""
    decoder = SSEDecoder()
    try:
        async for chunk in body:
            for event in decoder.feed(chunk):
                yield event
    finally:
        await body.close()


async def finish(events: AsyncIterator[ServerSentEvent]) -> None:
    """Read the end of a body behind its last event, which leaves a connection to use again."""

    async def rest() -> None:
        async for _ in events:
            pass

    with suppress(TransportError):
        await within(LINGER, rest())


class Stream(Generic[T]):
    """Values that arrive one by one: `for` after a synchronous call, `async for` after an asynchronous one.

    Reading to the end or leaving a `with` block gives the connection back; `close` does so at any time.
    """

    def __init__(self, body: ByteStream, events: AsyncIterator[T]) -> None:
        self._body = body
        self._events = events
        self._ended: Callable[[BaseException | None], object] = _nobody_watches

    @staticmethod
    def of_events(body: ByteStream, parse: Callable[[str], V], *, end: str = "[DONE]") -> Stream[V]:
        """The data of a body's server-sent events, each through `parse`, up to the one that says `end`."""

        async def values() -> AsyncIterator[V]:
            async with aclosing(decode_events(body)) as events:
                async for event in events:
                    if event.data == end:
                        await finish(events)
                        return
                    yield parse(event.data)

        return Stream(body, values())

    def watch(self, saw: Callable[[T], object], ended: Callable[[BaseException | None], object]) -> None:
        """Let functions see each value as it is read, and the end, perhaps more than once, or the error that it was."""
        self._events = _watched(self._events, saw, ended)
        self._ended = ended

    def __iter__(self) -> Iterator[T]:
        self._body.require_mode(blocking=True)
        return iterate(self._events)

    async def __aiter__(self) -> AsyncIterator[T]:
        self._body.require_mode(blocking=False)
        async for value in self._events:
            yield value

    def close(self) -> None:
        """Stop reading and give the connection back; calling it twice is allowed."""
        run(self.close_async())

    async def close_async(self) -> None:
        """Stop reading and give the connection back; calling it twice is allowed."""
        self._ended(None)
        await self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close_async()


def _nobody_watches(_: BaseException | None) -> None:
    pass


async def _watched(
    values: AsyncIterator[T], saw: Callable[[T], object], ended: Callable[[BaseException | None], object]
) -> AsyncIterator[T]:
    try:
        async for value in values:
            saw(value)
            yield value
    except BaseException as error:
        ended(error)
        raise
    ended(None)
