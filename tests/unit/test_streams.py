"""Server-sent events, cut anywhere, and streams in both modes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from agentrun._core.blocking import run
from agentrun._core.session import Request, Session, Timeouts
from agentrun._core.streams import ServerSentEvent, SSEDecoder, Stream
from agentrun.errors import AgentRunError, BlockingError, TransportError
from tests.unit.modes import both_modes
from tests.unit.servers import Behaviour, Server, serving, stream

Event = ServerSentEvent
CASES: dict[str, tuple[bytes, list[Event]]] = {
    "line feeds": (b"data: a\n\ndata: b\n\n", [Event("a"), Event("b")]),
    "both": (b"data: a\r\n\r\ndata: b\r\n\r\n", [Event("a"), Event("b")]),
    "carriage returns": (b"data: a\r\rdata: b\r\r", [Event("a"), Event("b")]),
    "mixed": (b"data: a\r\ndata: b\rdata: c\n\r\n", [Event("a\nb\nc")]),
    "return, feed": (b"data: a\r\n\rdata: b\n\r\n", [Event("a"), Event("b")]),
    "lines are joined": (b"data: a\ndata:\ndata:  b\n\n", [Event("a\n\n b")]),
    "comments": (b": keep-alive\n\ndata: a\n: x\n\n:\n", [Event("a")]),
    "types and ids": (
        b"event: token\nid: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
        [Event("a", "token", "7"), Event("b", "message", "7"), Event("c", "message", "")],
    ),
    "an id with a null": (b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", [Event("a", id="1"), Event("b", id="1")]),
    "no space and a colon": (b"data:a:b\n\n", [Event("a:b")]),
    "unknown fields": (b"retry: 10\nwhatever: x\ndata: a\nnothing\n\n", [Event("a")]),
    "a type without data": (b"event: ping\n\ndata: a\n\n", [Event("a")]),
    "empty data": (b"data\n\ndata:\n\n", [Event(""), Event("")]),
    "unfinished": (b"data: a\n\ndata: lost\n", [Event("a")]),
    "blank lines": (b"\n\n\ndata: a\n\n\n\n", [Event("a")]),
    "other alphabets": ("data: 你好 🙂 é\n\n".encode(), [Event("你好 🙂 é")]),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [Event("a")]),
    "a mark in the middle": ("data: \ufeffa\n\n".encode(), [Event("\ufeffa")]),
    "bytes that are no text": (b"data: a\xffb\n\n", [Event("a\ufffdb")]),
    "line breaks of Unicode": ("data: a\u2028b\x0bc\x85d\n\n".encode(), [Event("a\u2028b\x0bc\x85d")]),
    "nothing": (b"", []),
}
LONG = Timeouts(total=5, connect=1, read=0.7)


def decoded(*pieces: bytes) -> list[Event]:
    decoder = SSEDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


@pytest.mark.parametrize("name", CASES)
def test_events_in_one_piece(name: str) -> None:
    text, events = CASES[name]
    assert decoded(text) == events


@pytest.mark.parametrize("name", CASES)
def test_events_at_every_pair_of_cuts(name: str) -> None:
    text, events = CASES[name]
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            assert decoded(text[:first], text[first:second], text[second:]) == events, (first, second)


@pytest.mark.parametrize("name", CASES)
def test_events_byte_by_byte(name: str) -> None:
    text, events = CASES[name]
    assert decoded(*(text[at : at + 1] for at in range(len(text)))) == events


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_is_there_with_the_byte_that_ends_it(end: bytes) -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a" + end) == []
    assert decoder.feed(end[:1]) == [Event("a")]


# Streams

TEN = [f"data: {number}\n\n".encode() for number in range(10)]
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(stream(*TEN, DONE)) as found:
        yield found


@pytest.fixture
def session() -> Iterator[Session]:
    found = Session()
    yield found
    found.close()


async def opened(session: Session, server: Server, parse: Callable[[str], int] = int) -> Stream[int]:
    return Stream.of_events(await session.open(Request("POST", server.url, timeouts=LONG)), parse)


def test_a_synchronous_stream(server: Server, session: Session) -> None:
    with run(opened(session, server)) as numbers:
        assert list(numbers) == list(range(10))
        assert list(numbers) == []


@pytest.mark.asyncio
async def test_an_asynchronous_stream(server: Server, session: Session) -> None:
    async with await opened(session, server) as numbers:
        assert [number async for number in numbers] == list(range(10))
        assert [number async for number in numbers] == []


def test_a_read_stream_gives_its_connection_back(server: Server, session: Session) -> None:
    for _ in range(5):
        assert len(list(run(opened(session, server)))) == 10
    assert server.accepted == 1


@pytest.mark.asyncio
async def test_a_read_asynchronous_stream_gives_its_connection_back(server: Server, session: Session) -> None:
    for _ in range(5):
        assert len([number async for number in await opened(session, server)]) == 10
    assert server.accepted == 1


@both_modes
def test_a_body_that_goes_on_after_its_last_event_is_left(session: Session, mode: str) -> None:
    with serving(stream(*TEN, DONE, *[b": still here\n\n"] * 100, pause=0.05)) as server:
        started = time.monotonic()
        assert read_all(mode, session, server) == list(range(10))
        assert time.monotonic() - started < 1.5
        wait_until_closed(server)


def test_values_come_as_they_arrive(session: Session) -> None:
    with serving(stream(*TEN, pause=0.1)) as server, run(opened(session, server)) as numbers:
        started = time.monotonic()
        assert next(iter(numbers)) == 0
        assert time.monotonic() - started < 0.5


def test_leaving_early_closes_the_connection(server: Server, session: Session) -> None:
    server.then(stream(*TEN * 100, pause=0.02))
    with run(opened(session, server)) as numbers:
        for _ in numbers:
            break
    wait_until_closed(server)


@pytest.mark.asyncio
async def test_leaving_early_closes_the_asynchronous_connection(server: Server, session: Session) -> None:
    server.then(stream(*TEN * 100, pause=0.02))
    async with await opened(session, server) as numbers:
        async for _ in numbers:
            break
    await asyncio.to_thread(wait_until_closed, server)


def test_streams_left_early_do_not_use_up_the_pool(server: Server, session: Session) -> None:
    server.then(stream(*TEN, pause=0.001))
    for _ in range(250):
        run(opened(session, server)).close()
    wait_until_closed(server)


def test_a_stream_that_nobody_holds_closes_itself(server: Server, session: Session) -> None:
    server.then(stream(*TEN * 100, pause=0.02))
    for _ in run(opened(session, server)):
        break
    wait_until_closed(server)


@both_modes
def test_a_closed_stream_says_so(server: Server, session: Session, mode: str) -> None:
    server.then(stream(*TEN * 100, pause=0.02))
    with pytest.raises(TransportError, match="closed"):
        run(close_and_read(session, server)) if mode == "sync" else asyncio.run(close_and_read_async(session, server))


async def close_and_read(session: Session, server: Server) -> None:
    numbers = await opened(session, server)
    numbers.close()
    numbers.close()
    list(numbers)


async def close_and_read_async(session: Session, server: Server) -> None:
    numbers = await opened(session, server)
    await numbers.close_async()
    await numbers.close_async()
    _ = [number async for number in numbers]


BREAKS: dict[str, Behaviour] = {
    "the connection": stream(*TEN, end=b""),
    "the encoding": stream(*TEN, end=b"zz\r\n"),
    "an event": stream(*TEN, b"data: 10", end=b""),
}


@both_modes
@pytest.mark.parametrize("what", BREAKS)
def test_a_break_in_the_middle_is_a_transport_error(session: Session, mode: str, what: str) -> None:
    seen: list[int] = []
    with serving(BREAKS[what]) as server, pytest.raises(TransportError):
        read_all(mode, session, server, seen)
    assert seen == list(range(10))


@both_modes
def test_silence_in_the_middle_is_a_transport_error(session: Session, mode: str) -> None:
    seen: list[int] = []
    with serving(stream(*TEN, pause=30)) as server, pytest.raises(TransportError, match="in time"):
        read_all(mode, session, server, seen)
    assert seen == [0]


def read_all(mode: str, session: Session, server: Server, seen: list[int] | None = None) -> list[int]:
    found: list[int] = [] if seen is None else seen
    if mode == "sync":
        found.extend(iter(run(opened(session, server))))
        return found

    async def read() -> None:
        async for number in await opened(session, server):
            found.append(number)  # noqa: PERF401  # What came before a failure counts.

    asyncio.run(read())
    return found


@both_modes
def test_what_parsing_raises_is_raised(server: Server, session: Session, mode: str) -> None:
    def refuse(text: str) -> int:
        raise AgentRunError(f"cannot read {text}")

    async def read() -> None:
        async for _ in await opened(session, server, refuse):
            pass

    with pytest.raises(AgentRunError, match="cannot read 0"):
        list(run(opened(session, server, refuse))) if mode == "sync" else asyncio.run(read())


@pytest.mark.asyncio
async def test_the_wrong_loop_over_an_asynchronous_stream(server: Server, session: Session) -> None:
    numbers = await opened(session, server)
    with pytest.raises(BlockingError, match=r"other mode.*async for"):
        list(numbers)
    with pytest.raises(BlockingError, match="other mode"):
        numbers.close()
    assert [number async for number in numbers] == list(range(10)), "it is still there for the right loop"


@pytest.mark.asyncio
async def test_the_wrong_loop_over_a_synchronous_stream(server: Server, session: Session) -> None:
    numbers = run(opened(session, server))
    with pytest.raises(BlockingError, match="other mode"):
        _ = [number async for number in numbers]
    assert list(numbers) == list(range(10)), "it is still there for the right loop"


def wait_until_closed(server: Server) -> None:
    deadline = time.monotonic() + 5
    while server.open_lines:
        assert time.monotonic() < deadline, f"{server.open_lines} connections are still open"
        time.sleep(0.005)
