"""How the agent is served: HTTP, websockets and dialled ports on one listening socket, and the line to the emulator.

Everything is made in `serve`, after the fork; what is imported here only has to be loaded once.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.lifespan import off as _loaded_before_the_fork  # noqa: F401  # pyright: ignore[reportUnusedImport]
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol
from uvicorn.server import ServerState

from agentrun.emulator.guest.app import Guest
from agentrun.emulator.guest.children import (
    AgentLoop,
    adopt_orphans,
    kill_descendants,
    reap_orphans,
    watch_without_threads,
)
from agentrun.emulator.guest.forwards import End, Forward, Opener, dial, lifeline_opener, unix_opener
from agentrun.emulator.guest.lifeline import Lifeline
from agentrun.emulator.guest.sources import Sources

BACKLOG = 1024
# Longer than clients keep an idle connection, so that it is never we who close one that is about to be used.
KEEP_ALIVE = 120
DIAL = b"DIAL "
MAX_DIAL = 32
MAX_PORT = 65535


def serve(
    listening: socket.socket,
    *,
    source: Sources,
    lifeline: socket.socket | None = None,
    forwards: Sequence[tuple[socket.socket, str]] = (),
) -> None:
    """Serve a sandbox from its inside until the emulator is gone, or without a lifeline until SIGTERM; ends all of it.

    `source` gives Python interpreters. `forwards` are pairs of a socket that listens on a port of the loopback and what
    it leads to: the path of a unix socket, or the name of a service that is asked for on the lifeline. A failure to
    start is told on the lifeline and raised. The process has to end afterwards: what waits on its event loop is left as
    it is.
    """
    prepare()
    adopt_orphans()
    loop = AgentLoop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(Agent(listening, source, lifeline, forwards).run(loop))
    finally:
        if os.getpid() != 1:
            kill_descendants()


@functools.cache
def prepare() -> Prepared:
    """Everything that is the same in every sandbox; called before forking it saves each fork milliseconds."""
    guest = Guest()
    return Prepared(guest, _config(guest.app()))


@dataclass(frozen=True)
class Prepared:
    """The app, and how uvicorn is to serve it."""

    guest: Guest
    config: uvicorn.Config


class Agent:
    """The parts of one running agent."""

    def __init__(
        self,
        listening: socket.socket,
        source: Sources,
        lifeline: socket.socket | None,
        forwards: Sequence[tuple[socket.socket, str]],
    ) -> None:
        self._listening = listening
        self._source = source
        self._guest = prepare().guest
        self._lifeline = None if lifeline is None else Lifeline(lifeline)
        self._forwards = [Forward(door, self._opener(target)) for door, target in forwards]
        self._stopping = asyncio.Event()

    async def run(self, loop: AgentLoop) -> None:
        """Start, serve and stop."""
        watch_without_threads()
        reap_orphans(loop)
        self._heed_signals(loop)
        try:
            await self._start()
        except Exception as error:
            await self._tell({"failed": f"{type(error).__name__}: {error}"})
            raise
        await self._tell({"ready": True})
        await self._stopping.wait()
        for forward in self._forwards:
            forward.close()
        self._guest.close()

    async def _start(self) -> None:
        if self._lifeline is not None:
            self._lifeline.on_end(self._stopping.set)
        for forward in self._forwards:
            await forward.open()
        await self._guest.open(self._source)
        await listen(self._listening, prepare().config)

    def _heed_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """With a lifeline the emulator decides when to end, and code inside may not.

        A handler and not SIG_IGN, because programs would inherit that.
        """
        react = self._stopping.set if self._lifeline is None else _do_nothing
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, react)

    async def _tell(self, message: dict[str, Any]) -> None:
        if self._lifeline is not None:
            await self._lifeline.tell(message)

    def _opener(self, target: str) -> Opener:
        if target.startswith("/"):
            return unix_opener(target)
        if self._lifeline is None:
            raise ValueError(f"the forward to {target!r} needs a lifeline")
        return lifeline_opener(self._lifeline, target)


async def listen(listening: socket.socket, config: uvicorn.Config) -> None:
    """Serve on a unix socket from now on."""
    loop, state = asyncio.get_running_loop(), ServerState()

    def http() -> asyncio.Protocol:
        kind = cast("Callable[..., asyncio.Protocol]", config.http_protocol_class)
        return kind(config=config, server_state=state, app_state={}, _loop=loop)

    await loop.create_unix_server(lambda: _Caller(http), sock=listening, backlog=BACKLOG)


def _config(app: ASGIApp) -> uvicorn.Config:
    config = uvicorn.Config(
        cast("Any", app),
        http=AutoHTTPProtocol,
        ws=cast("Any", AutoWebSocketsProtocol or "none"),
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
    )
    config.load()
    return config


class _Caller(asyncio.Protocol):
    """A new connection: the first bytes tell whether it speaks HTTP or wants to be joined with a port."""

    def __init__(self, http: Callable[[], asyncio.Protocol]) -> None:
        self._http = http
        self._transport: asyncio.Transport
        self._seen = b""
        self._dialling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._seen.startswith(DIAL):
            self._begin_dialling()
        elif not DIAL.startswith(self._seen):
            self._become(self._http(), self._seen)

    def _become(self, protocol: asyncio.Protocol, data: bytes) -> None:
        protocol.connection_made(self._transport)
        self._transport.set_protocol(protocol)
        if data:
            protocol.data_received(data)

    def _begin_dialling(self) -> None:
        line, newline, rest = self._seen[len(DIAL) :].partition(b"\n")
        if not newline and len(line) < MAX_DIAL:
            return
        self._transport.pause_reading()
        self._dialling = asyncio.ensure_future(self._dial(line, rest))

    async def _dial(self, line: bytes, rest: bytes) -> None:
        try:
            far = await dial(_port(line))
        except (OSError, ValueError) as error:
            text = f"ERR {error.strerror or error}\n" if isinstance(error, OSError) else f"ERR {error}\n"
            self._transport.write(text.encode())
            self._transport.close()
            return
        self._transport.write(b"OK\n")
        near = End()
        self._become(near, rest)
        near.join(far)


def _port(line: bytes) -> int:
    if not line.isdigit() or not 0 < int(line) <= MAX_PORT:
        raise ValueError(f"a port is a number from 1 to {MAX_PORT}")
    return int(line)


def _do_nothing() -> None:
    return None
