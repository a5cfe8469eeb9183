"""A request goes out in one piece, and nothing else is held back."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from agentrun._core.blocking import run
from agentrun._core.heads import joined
from agentrun._core.session import Content, Request, Session
from agentrun.errors import ConnectError
from tests.unit.modes import both_modes, drive
from tests.unit.servers import answer, closed_port, serving

BODY = b"the whole body"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SECONDS = 10.0


class Reader:
    """A server for one request that notes what each of its reads gave."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/"
        self.reads: list[bytes] = []
        self.began = threading.Event()

    def serve(self) -> None:
        connection, _ = self.listening.accept()
        connection.settimeout(SECONDS)
        with connection:
            while not b"".join(self.reads).endswith(BODY):
                self.reads.append(connection.recv(65536))
                self.began.set()
            connection.sendall(ANSWER)


@contextmanager
def reader() -> Generator[Reader]:
    server = Reader()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    with server.listening:
        yield server
        thread.join(SECONDS)


async def send(url: str, content: Content) -> bytes:
    session = Session()
    try:
        headers = {"content-length": str(len(BODY))}
        return (await session.send(Request("POST", url, headers, content))).content
    finally:
        await session.close_async()


def test_head_and_body_are_one_piece() -> None:
    with reader() as server:
        assert asyncio.run(send(server.url, BODY)) == b"ok"
    assert len(server.reads) == 1


def test_head_and_body_are_one_piece_in_blocking_calls() -> None:
    session = Session()
    with reader() as server:
        answered = run(session.send(Request("POST", server.url, {"content-length": str(len(BODY))}, BODY)))
    session.close()
    assert (answered.content, len(server.reads)) == (b"ok", 1)


def test_the_head_does_not_wait_for_a_body_that_has_still_to_be_made() -> None:
    session = Session()
    with reader() as server:

        def body() -> Iterator[bytes]:
            assert server.began.wait(SECONDS)
            yield BODY

        run(session.send(Request("POST", server.url, {"content-length": str(len(BODY))}, body())))
    session.close()
    assert len(server.reads) == 2


@both_modes
def test_what_fails_holds_nothing_back_later(mode: str) -> None:
    async def act() -> tuple[bytes, bytes]:
        with pytest.raises(ConnectError):
            await Session().send(Request("POST", f"http://127.0.0.1:{closed_port()}/", content=BODY))
        return joined(b"a message"), joined(b"")

    assert drive(mode, act()) == (b"a message", b"")


def test_a_crowd_of_requests_is_answered_over_few_connections() -> None:
    async def act(url: str) -> None:
        session = Session()
        for _ in range(3):
            replies = await asyncio.gather(*(session.send(Request("GET", url)) for _ in range(60)))
            assert {reply.status for reply in replies} == {200}
        await session.close_async()

    with serving(answer(b"{}")) as server:
        asyncio.run(act(server.url))
        assert server.accepted <= 60 + 2 * 10  # fifty are kept of sixty
