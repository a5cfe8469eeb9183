"""Websocket channels, in both modes, against a real server."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve, unix_serve
from websockets.utils import accept_key

from agentrun._core.blocking import run
from agentrun._core.channel import Channel
from agentrun.config import Config
from agentrun.emulator.transport import EmulatorTransport
from agentrun.errors import (
    BlockingError,
    ClientError,
    ConnectError,
    InvalidInputError,
    InvalidResponseError,
    RequestTimeoutError,
    ServerError,
    TransportError,
    UnsupportedError,
)
from agentrun.sandbox.calls import SandboxCalls
from agentrun.sandbox.extensions import PTY
from tests.unit.modes import both_modes, drive

Handler: TypeAlias = Callable[[ServerConnection], None]


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@contextmanager
def running(server: Server) -> Generator[Server, None, None]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def serving(handler: Handler = echo, **options: Any) -> Generator[Config, None, None]:
    """A websocket server on a free port, and the settings that lead there."""
    server: Any = serve(handler, "127.0.0.1", 0, **options)
    with server, running(server), settings(server.socket.getsockname()[1]) as config:
        yield config


@contextmanager
def settings(port: int, **changes: Any) -> Generator[Config, None, None]:
    with Config.local(port).replace(max_retries=0, **changes) as config:
        yield config


async def connected(config: Config, **query: Any) -> Channel:
    return await SandboxCalls("01SB", config).connect("/processes/tty", query, extension=PTY)


@both_modes
def test_messages_come_back_as_they_were_sent(mode: str) -> None:
    async def talk() -> list[Any]:
        channel = await connected(config)
        sent: list[str | bytes] = ["ä text", b"\x00\xff", "", "x" * 300_000]
        found: list[Any] = []
        for message in sent:
            await channel.send(message)
            found.append(await channel.receive(5))
        await channel.close()
        return [a == b for a, b in zip(sent, found, strict=True)]

    with serving() as config:
        assert drive(mode, talk()) == [True] * 4


@both_modes
def test_the_handshake_is_signed_and_names_its_path(mode: str) -> None:
    seen: list[Request] = []

    def note(connection: ServerConnection) -> None:
        assert connection.request
        seen.append(connection.request)

    async def talk() -> None:
        channel = await connected(config, columns=80, command=None)
        assert await channel.receive(5) is None

    with serving(note) as config:
        drive(mode, talk())
    assert seen[0].path == "/sandboxes/01SB/processes/tty?columns=80"
    assert seen[0].headers["agentrun-authorization"].startswith("AGENTRUN4-HMAC-SHA256 Credential=local/")


@both_modes
def test_pieces_of_a_message_are_joined_and_pings_are_answered(mode: str) -> None:
    answered: list[bool] = []

    def handler(connection: ServerConnection) -> None:
        pong = connection.ping()
        connection.send(iter(["one ", "two ", "three"]))
        answered.append(pong.wait(5))

    async def talk() -> list[Any]:
        channel = await connected(config)
        return [await channel.receive(5), await channel.receive(5)]

    with serving(handler) as config:
        assert drive(mode, talk()) == ["one two three", None]
    assert answered == [True]


@both_modes
def test_the_other_side_says_how_it_ended(mode: str) -> None:
    async def talk() -> Channel:
        channel = await connected(config)
        assert channel.close_code is None
        assert await channel.receive(5) == "last words"
        assert await channel.receive(5) is None
        assert await channel.receive(5) is None
        with pytest.raises(TransportError, match="closed"):
            await channel.send("x")
        await channel.close()
        return channel

    def handler(connection: ServerConnection) -> None:
        connection.send("last words")
        connection.close(1011, "out of memory")

    with serving(handler) as config:
        channel = drive(mode, talk())
    assert (channel.close_code, channel.close_reason) == (1011, "out of memory")


@both_modes
def test_a_connection_that_breaks_ends_the_channel(mode: str) -> None:
    def handler(connection: ServerConnection) -> None:
        connection.socket.shutdown(socket.SHUT_RDWR)

    async def talk() -> Channel:
        channel = await connected(config)
        assert await channel.receive(5) is None
        return channel

    with serving(handler) as config:
        assert drive(mode, talk()).close_code == 1006


@both_modes
def test_silence_ends_with_the_time_and_the_channel_goes_on(mode: str) -> None:
    async def talk() -> Any:
        channel = await connected(config)
        began = time.monotonic()
        with pytest.raises(RequestTimeoutError):
            await channel.receive(0.1)
        assert time.monotonic() - began < 2
        await channel.send("still there")
        answer = await channel.receive(5)
        await channel.close()
        return answer

    with serving() as config:
        assert drive(mode, talk()) == "still there"


@both_modes
def test_the_server_is_told_when_we_close(mode: str) -> None:
    codes: list[int | None] = []
    over = threading.Event()

    def handler(connection: ServerConnection) -> None:
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=5)
        codes.append(connection.close_code)
        over.set()

    async def talk() -> None:
        channel = await connected(config)
        await channel.close()
        await channel.close()

    with serving(handler) as config:
        drive(mode, talk())
        assert over.wait(5)
    assert codes == [1000]


def refusing(status: int) -> Callable[[ServerConnection, Request], Response]:
    return lambda connection, _: connection.respond(HTTPStatus(status), "no such thing here\n")


@both_modes
@pytest.mark.parametrize(("status", "kind"), [(403, ClientError), (404, UnsupportedError), (502, ServerError)])
def test_a_refused_handshake_is_an_error_of_the_tree(mode: str, status: int, kind: type[Exception]) -> None:
    with serving(process_request=refusing(status)) as config, pytest.raises(kind):
        drive(mode, connected(config))


@both_modes
def test_a_server_that_knows_no_websockets(mode: str) -> None:
    with serving(process_request=refusing(200)) as config, pytest.raises(InvalidResponseError, match="status 200"):
        drive(mode, connected(config))


@both_modes
def test_nobody_listens(mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with settings(port) as config, pytest.raises(ConnectError):
        drive(mode, connected(config))


@both_modes
def test_a_server_that_never_answers(mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with settings(port, timeout=0.2) as config, pytest.raises(RequestTimeoutError):
            drive(mode, connected(config))


@pytest.fixture
def unix_socket(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "echo.sock"
    server: Any = unix_serve(echo, str(path))
    with server, running(server):
        yield path


@both_modes
def test_a_transport_of_ones_own_carries_it(mode: str, unix_socket: Path) -> None:
    async def talk() -> Any:
        channel = await connected(config)
        await channel.send("over a unix socket")
        answer = await channel.receive(5)
        await channel.close()
        return answer

    with settings(1, transport=EmulatorTransport(socket=unix_socket)) as config:
        assert drive(mode, talk()) == "over a unix socket"


def test_a_transport_that_keeps_its_connections() -> None:
    def switched(request: httpx.Request) -> httpx.Response:
        accept = accept_key(request.headers["sec-websocket-key"])
        return httpx.Response(101, headers={"sec-websocket-accept": accept})

    with settings(1, transport=httpx.MockTransport(switched)) as config, pytest.raises(InvalidInputError):
        run(connected(config))


def test_one_thread_reads_while_another_writes() -> None:
    count = 500

    def write(channel: Channel) -> None:
        for number in range(count):
            run(channel.send(str(number)))

    with serving() as config:
        channel = run(connected(config))
        writer = threading.Thread(target=write, args=(channel,))
        writer.start()
        found = [run(channel.receive(5)) for _ in range(count)]
        writer.join()
        run(channel.close())
    assert found == [str(number) for number in range(count)]


@pytest.mark.asyncio
async def test_one_task_reads_while_others_write() -> None:
    with serving() as config:
        channel = await connected(config)
        reader = asyncio.ensure_future(channel.receive(5))
        await asyncio.sleep(0)
        with pytest.raises(TransportError, match="another task reads"):
            await channel.receive(5)
        await asyncio.gather(*(channel.send("x" * 100_000) for _ in range(5)))
        assert {len(str(await reader)), *[len(str(await channel.receive(5))) for _ in range(4)]} == {100_000}
        await channel.close()


def test_the_modes_do_not_mix() -> None:
    with serving() as config:
        channel = run(connected(config))
        with pytest.raises(BlockingError):
            asyncio.run(channel.send("x"))
        run(channel.close())


def test_websockets_loads_with_the_first_channel() -> None:
    code = (
        "import sys, agentrun; from agentrun import Sandbox, CodeInterpreterSandbox, Terminal;"
        "sys.exit('websockets' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
