"""Serves the emulator in a thread of its own, to two kinds of callers that it tells apart.

Clients of this machine come through loopback, or through a private unix socket when there is no port. What runs inside
comes through another unix socket, or over connections that were opened in a sandbox; it may do less.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import tempfile
import threading
from asyncio import new_event_loop
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
from uvicorn.server import ServerState

from agentrun._core import local
from agentrun._serving.asgi import App as ASGI
from agentrun.config import Config
from agentrun.emulator.app import MODEL_PREFIX, App
from agentrun.emulator.clock import Clock
from agentrun.emulator.data.websockets import LARGEST_MESSAGE
from agentrun.emulator.environment import variables
from agentrun.emulator.http import inside_marked
from agentrun.emulator.journal import Journal
from agentrun.emulator.platform import Platform
from agentrun.emulator.recordings import RECORDED_PREFIX, Chosen
from agentrun.emulator.settings import Settings
from agentrun.emulator.store import StoreError
from agentrun.emulator.vault import VaultError
from agentrun.gateway.recording.exchange import RecordingError
from agentrun.gateway.recording.receipt import Receipt

with contextlib.suppress(ImportError):
    from uvloop import new_event_loop  # quicker, but not to be had on every platform

if TYPE_CHECKING:
    from typing_extensions import Self

    from agentrun.emulator.scripted import Script
    from agentrun.emulator.tls import Certificates
    from agentrun.emulator.transport import EmulatorTransport

T = TypeVar("T")

START_SECONDS = 30.0
# Longer than clients keep an idle connection, so that it is never we who close one that is about to be used.
_KEEP_ALIVE_SECONDS = 120
_BACKLOG = 1024
_NOT_STARTED = "the emulator does not run; use it in a with block or call start()"


class EmulatorError(Exception):
    """The emulator cannot start; the text says what to do."""


class _Listeners:
    """The sockets on which an app is served, all in one event loop, by uvicorn's protocols.

    Where a request comes from is known by its connection alone, never by what it says.
    """

    def __init__(self, app: App) -> None:
        self._state = ServerState()
        self._for_clients = _configured(app)
        self._for_inside = _configured(inside_marked(app))
        self._servers: list[asyncio.AbstractServer] = []

    async def listen(self, listening: socket.socket, tls: Certificates | None = None) -> None:
        """Serve clients on one more socket."""
        await self._listen(self._for_clients, listening, _tls_context(tls) if tls else None)

    async def listen_inside(self, listening: socket.socket) -> None:
        """Serve what runs inside on one more socket."""
        await self._listen(self._for_inside, listening)

    async def adopt(self, connection: socket.socket) -> None:
        """Serve a connection from inside that is there already."""
        protocol = partial(self._protocol, self._for_inside)
        await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)

    async def _listen(
        self, config: uvicorn.Config, listening: socket.socket, context: ssl.SSLContext | None = None
    ) -> None:
        protocol, loop = partial(self._protocol, config), asyncio.get_running_loop()
        self._servers.append(await loop.create_server(protocol, sock=listening, ssl=context, backlog=_BACKLOG))

    def _protocol(self, config: uvicorn.Config) -> Any:
        kind: Any = config.http_protocol_class
        return kind(config=config, server_state=self._state, app_state={}, _loop=asyncio.get_running_loop())

    async def close(self) -> None:
        """Stop listening and cut the connections; requests under way are cancelled."""
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            # Not a polite end: uvloop never closes a loop on which a TLS connection still waits for its peer's.
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)


def _configured(app: ASGI) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        # Nobody stands before us, so nobody but the caller itself could tell another address for it.
        proxy_headers=False,
        ws="websockets-sansio",
        ws_max_size=LARGEST_MESSAGE,
        # A client that only waits answers no pings, and is none the worse for it.
        ws_ping_interval=None,
        # To compress costs more than it spares on the same machine.
        ws_per_message_deflate=False,
    )
    config.load()
    return config


def _tls_context(files: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


def _bind(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. Asyncio sees to it for its own sockets only, and small answers would take 40 ms more.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise EmulatorError(
            f"cannot listen on {host}:{port}: {error.strerror}; "
            "stop what listens there, or choose another port (0 takes a free one)"
        ) from error
    return listening


def _bind_inside(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    listening = _bind_unix(path)
    # What runs inside has a user of its own; a signature, not the file's mode, decides what it may do.
    os.chmod(path, 0o666)
    return listening


def _bind_private(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700)
    return _bind_unix(path)


def _bind_unix(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    return listening


class Emulator:
    """The platform on this machine, for as long as a `with` block lasts.

    `port` 0 takes a free one; None opens none, and clients reach it through the transport in `config()`. Further
    settings are those of `Settings`. Raises EmulatorError when it cannot start.
    """

    def __init__(
        self, port: int | None = 0, *, settings: Settings | None = None, clock: Clock | None = None, **choices: Any
    ) -> None:
        self.settings = settings or Settings(port=port, **choices)
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None
        self._platform: Platform | None = None
        self._certificates: Certificates | None = None
        self._transport: EmulatorTransport | None = None
        self.port = 0

    # Life

    def start(self) -> Self:
        """Start and return once it answers."""
        started: Future[None] = Future()
        self._loop = loop = new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(loop, started), name="agentrun-emulator", daemon=True)
        self._thread.start()
        started.result(START_SECONDS)
        return self

    def stop(self) -> None:
        """Stop everything that runs in it; calling it twice is allowed."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None:
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopping.set if self._stopping else _nothing)
        thread.join()
        self._loop = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, loop: asyncio.AbstractEventLoop, started: Future[None]) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._serve(started))
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            else:
                logging.getLogger("agentrun.emulator").exception("the emulator ended")
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _serve(self, started: Future[None]) -> None:
        self._stopping = asyncio.Event()
        platform = self._platform = _build(self.settings, self._clock)
        try:
            self._certificates = _certificates(self.settings)
            listening = None if self.settings.port is None else _bind(self.settings.host, self.settings.port)
        except EmulatorError:
            await platform.close()
            raise
        self.port = listening.getsockname()[1] if listening else local.PORT
        platform.listen_at(self.port)
        listeners = _Listeners(App(platform))
        platform.serve = listeners.adopt
        try:
            await platform.start()
            await listeners.listen_inside(_bind_inside(platform.socket))
            if listening:
                await listeners.listen(listening, self._certificates)
            else:
                await listeners.listen(_bind_private(platform.client_socket))
            started.set_result(None)
            await self._stopping.wait()
        finally:
            await listeners.close()
            await platform.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise EmulatorError(_NOT_STARTED)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # Use

    @property
    def platform(self) -> Platform:
        """The parts; for tests that look inside."""
        if self._platform is None:
            raise EmulatorError(_NOT_STARTED)
        return self._platform

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"https://localhost:{self.port}" if self.settings.tls else f"http://{local.HOST}:{self.port}"

    @property
    def journal(self) -> Journal:
        """The requests it answered."""
        return self.platform.journal

    @property
    def script(self) -> Script:
        """What the scripted model answers; assign another script at any time."""
        return self.platform.model.script

    @script.setter
    def script(self, script: Script) -> None:
        self.platform.model.script = script

    @property
    def recording(self) -> Chosen:
        """Where model calls are recorded to or replayed from; assign another at any time, None for none.

        Each begins a receipt of its own. Raises EmulatorError when its file cannot be used.
        """
        return self.platform.recordings.chosen

    @recording.setter
    def recording(self, chosen: Chosen) -> None:
        try:
            self._call(self.platform.recordings.use(chosen))
        except RecordingError as error:
            raise EmulatorError(str(error)) from error

    @property
    def receipt(self) -> Receipt:
        """Which models were called so far, and what served them."""
        return self.platform.recordings.receipt()

    def config(self, access_key_id: str = local.ACCESS_KEY_ID, **changes: Any) -> Config:
        """The settings for an SDK; each access key id is an account of its own."""
        secret = self.settings.access_keys.get(access_key_id, self.settings.secret)
        config = Config.local(self.port, access_key_id=access_key_id, access_key_secret=secret)
        if self.settings.tls:
            endpoints = ("control_endpoint", "data_endpoint", "devs_endpoint", "bailian_endpoint", "gpdb_endpoint")
            config = config.replace(**dict.fromkeys(endpoints, self.url))
        if self.settings.port is None or self.settings.tls:
            self._transport = self._transport or self._own_transport()
            config = config.replace(transport=self._transport)
        return config.replace(**changes)

    def _own_transport(self) -> EmulatorTransport:
        from agentrun.emulator.transport import EmulatorTransport  # httpx, which serving does not need

        if self._certificates:
            return EmulatorTransport(trust=self._certificates.bundle)
        return EmulatorTransport(socket=self.platform.client_socket)

    def environment(self, access_key_id: str = local.ACCESS_KEY_ID) -> dict[str, str]:
        """Every variable that an SDK reads, so that nothing half reaches the cloud."""
        secret = self.settings.access_keys.get(access_key_id, self.settings.secret)
        bundle = self._certificates.bundle if self._certificates else None
        if self.recording is None:
            return variables(self.url, f"{self.url}{MODEL_PREFIX}v1", access_key_id, secret, bundle)
        key = self.platform.recordings.key
        return variables(self.url, f"{self.url}{RECORDED_PREFIX}v1", access_key_id, secret, bundle, key)

    def reset(self, access_key_id: str | None = None) -> None:
        """Stop what runs and forget everything, of one access key's account or of all."""
        self._call(self.platform.reset(local.account_id(access_key_id) if access_key_id else None))


def _build(settings: Settings, clock: Clock | None) -> Platform:
    try:
        return Platform(settings, clock)
    except (StoreError, VaultError, RecordingError) as error:
        raise EmulatorError(str(error)) from error
    except OSError as error:
        raise EmulatorError(f"cannot use the state directory: {error}; choose another --state directory") from error


def _certificates(settings: Settings) -> Certificates | None:
    if not settings.tls:
        return None
    # cryptography is slow to import, and TLS is asked for
    from agentrun.emulator.tls import CertificateError, certificates

    directory = settings.state or Path(tempfile.gettempdir()) / f"agentrun-tls-{os.getuid()}"
    try:
        return certificates(directory / "tls")
    except CertificateError as error:
        raise EmulatorError(str(error)) from error


def _nothing() -> None:
    return None
