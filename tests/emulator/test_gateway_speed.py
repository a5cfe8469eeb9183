"""What keeps the gateway quick and small: connections used again, no task that is not needed, nothing piled up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agentrun._serving.asgi import Message
from agentrun.emulator.data.proxy import BadGateway, BrokenOffError, Proxy
from agentrun.emulator.http import Request

QUICK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Caller:
    """One who sends a request in some pieces and takes the answer as quickly as `taking` lets it."""

    def __init__(self, *pieces: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.pieces = list(pieces) or [b""]
        self.answer: list[Message] = []
        self.left = asyncio.Event()
        self.taking = asyncio.Event()
        self.taking.set()
        scope = {"type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": list(headers)}
        self.request = Request(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self.pieces:
            return {"type": "http.request", "body": self.pieces.pop(0), "more_body": bool(self.pieces)}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.taking.wait()
        self.answer.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.answer)


class Server:
    """A real server on a unix socket; it counts its connections and what it could send."""

    def __init__(self, path: Path, answer: Callable[[Server, asyncio.StreamWriter, bytes], Awaitable[None]]) -> None:
        self.path = path
        self.connections = 0
        self.sent = 0
        self.received = bytearray()
        self.tasks: list[asyncio.Task[Any] | None] = []
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                self.received += data
                await self._answer(self, writer, data)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(
    tmp_path: Path, answer: Callable[[Server, asyncio.StreamWriter, bytes], Awaitable[None]]
) -> AsyncGenerator[tuple[Server, Proxy]]:
    server, proxy = Server(tmp_path / "s", answer), Proxy()
    listening = await asyncio.start_unix_server(server.serve, server.path)
    yield server, proxy
    proxy.close()
    listening.close()
    await asyncio.gather(*filter(None, server.tasks))


async def quick(server: Server, writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(QUICK)


async def slow(server: Server, writer: asyncio.StreamWriter, data: bytes) -> None:
    await asyncio.sleep(0.05)
    writer.write(QUICK)


async def endless(server: Server, writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing() and server.sent < 2**28:
        writer.write(bytes(2**16))
        await writer.drain()
        server.sent += 2**16


async def when_whole(server: Server, writer: asyncio.StreamWriter, data: bytes) -> None:
    if server.received.endswith(b"0\r\n\r\n"):
        writer.write(QUICK)


async def half(server: Server, writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
    writer.close()


async def hang_up(server: Server, writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.close()


async def nonsense(server: Server, writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")


async def interim(server: Server, writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + QUICK)


async def two_answers(server: Server, writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(QUICK)
    await asyncio.sleep(0.02)
    writer.write(QUICK)


def counting_tasks() -> list[object]:
    """What becomes a task from now on."""
    made: list[object] = []

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(work)
        return asyncio.Task(work, loop=loop, **options)

    asyncio.get_running_loop().set_task_factory(factory)
    return made


async def forward(proxy: Proxy, server: Server, caller: Caller) -> int:
    return await proxy.forward(caller.request, server.path, "/x", "the server", "id")


@pytest.mark.asyncio
async def test_calls_in_a_row_use_one_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, quick) as (server, proxy):
        for _ in range(50):
            caller = Caller()
            assert await forward(proxy, server, caller) == 200
            assert caller.body == b"ok"
        assert server.connections == 1


@pytest.mark.asyncio
async def test_a_quick_call_makes_no_task_and_two_messages(tmp_path: Path) -> None:
    async with serving(tmp_path, quick) as (server, proxy):
        await forward(proxy, server, Caller())
        made, caller = counting_tasks(), Caller()
        await forward(proxy, server, caller)
        assert made == []
        assert [message["type"] for message in caller.answer] == ["http.response.start", "http.response.body"]


@pytest.mark.asyncio
async def test_a_slow_call_is_watched(tmp_path: Path) -> None:
    async with serving(tmp_path, slow) as (server, proxy):
        await forward(proxy, server, Caller())
        made = counting_tasks()
        await forward(proxy, server, Caller())
        assert len(made) == 1


@pytest.mark.asyncio
async def test_a_caller_that_leaves_ends_the_call(tmp_path: Path) -> None:
    async with serving(tmp_path, endless) as (server, proxy):
        caller = Caller()
        asyncio.get_running_loop().call_later(0.05, caller.left.set)
        with pytest.raises(ConnectionAbortedError):
            await asyncio.wait_for(forward(proxy, server, caller), 5)


@pytest.mark.asyncio
async def test_what_nobody_takes_is_not_read(tmp_path: Path) -> None:
    async with serving(tmp_path, endless) as (server, proxy):
        caller = Caller()
        caller.taking.clear()
        call = asyncio.ensure_future(forward(proxy, server, caller))
        await asyncio.sleep(0.2)
        assert 0 < server.sent < 4 * 2**20
        caller.taking.set()
        caller.left.set()
        with pytest.raises(ConnectionAbortedError):
            await call


@pytest.mark.asyncio
async def test_a_body_in_pieces_stays_in_pieces(tmp_path: Path) -> None:
    async with serving(tmp_path, when_whole) as (server, proxy):
        caller = Caller(b"one", b"", b"three", headers=((b"transfer-encoding", b"chunked"),))
        assert await forward(proxy, server, caller) == 200
        assert server.received.endswith(b"\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n")
        assert await forward(proxy, server, Caller(b"x", headers=((b"transfer-encoding", b"chunked"),))) == 200
        assert server.connections == 1


@pytest.mark.asyncio
async def test_an_interim_answer_is_passed_over(tmp_path: Path) -> None:
    async with serving(tmp_path, interim) as (server, proxy):
        caller = Caller()
        assert await forward(proxy, server, caller) == 200
        assert b"link" not in dict(caller.answer[0]["headers"])


@pytest.mark.asyncio
async def test_a_server_that_speaks_unasked_is_not_asked_again(tmp_path: Path) -> None:
    async with serving(tmp_path, two_answers) as (server, proxy):
        await forward(proxy, server, Caller())
        await asyncio.sleep(0.05)
        caller = Caller()
        await forward(proxy, server, caller)
        assert (caller.body, server.connections) == (b"ok", 2)


@pytest.mark.asyncio
async def test_half_an_answer_is_broken_off(tmp_path: Path) -> None:
    async with serving(tmp_path, half) as (server, proxy):
        with pytest.raises(BrokenOffError, match="in the middle of its answer"):
            await forward(proxy, server, Caller())


@pytest.mark.asyncio
@pytest.mark.parametrize(("answer", "message"), [(hang_up, "without an answer"), (nonsense, "is not HTTP")])
async def test_no_answer_may_have_been_executed(tmp_path: Path, answer: Any, message: str) -> None:
    async with serving(tmp_path, answer) as (server, proxy):
        with pytest.raises(BadGateway, match=message) as caught:
            await forward(proxy, server, Caller())
        assert caught.value.executed == "unknown"


@pytest.mark.asyncio
async def test_what_could_not_be_sent_was_not_executed(tmp_path: Path) -> None:
    with pytest.raises(BadGateway, match="cannot be reached") as caught:
        await Proxy().forward(Caller().request, tmp_path / "absent", "/x", "the server", "id")
    assert caught.value.executed == "no"
