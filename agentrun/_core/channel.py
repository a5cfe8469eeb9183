"""A websocket channel in either mode, over the connections that all other calls use.

The handshake is an ordinary signed request, so proxies, certificates and transports of the caller's own apply to it;
what follows is framed by `websockets`, which does no input or output here. Only this module imports that library, and
it is itself imported when the first channel is opened.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import anyio
import httpcore
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State
from websockets.utils import accept_key, generate_key

from agentrun._core.blocking import is_blocking
from agentrun._core.session import ByteStream
from agentrun.errors import Executed, InvalidInputError, InvalidResponseError, RequestTimeoutError, TransportError

NORMAL, ABNORMAL = 1000, 1006
# Seconds of silence after which nobody waits any more, where the caller names no time; sockets know no infinity.
FOREVER = 24 * 3600.0
WRITE_SECONDS = 60.0
LARGEST_MESSAGE = 16 << 20
_PIECE = 1 << 16


class Handshake:
    """The request that turns a connection into a websocket, and the check of its answer."""

    def __init__(self) -> None:
        self._key = generate_key()

    @property
    def headers(self) -> dict[str, str]:
        """What the request says beside its signature."""
        return {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": self._key,
        }

    async def finish(self, answer: ByteStream) -> Channel:
        """The channel; raises InvalidResponseError when the server did not switch to it."""
        try:
            self._check(answer.status, answer.headers)
            if answer.connection is None:
                raise InvalidInputError("the transport cannot carry websockets", field="transport")
        except (InvalidResponseError, InvalidInputError):
            await answer.close()
            raise
        return Channel(answer)

    def _check(self, status: int, headers: Mapping[str, str]) -> None:
        if status != 101:
            raise InvalidResponseError(f"the server answered with status {status} where a websocket was asked for")
        if headers.get("sec-websocket-accept") != accept_key(self._key):
            raise InvalidResponseError("the server switched to something that is not the websocket asked for")


class _Wire:
    """The connection below a channel, in the mode that it was opened in; writers take turns."""

    def __init__(self, answer: ByteStream) -> None:
        self._stream: Any = answer.connection
        self._blocking = is_blocking()
        self._thread_turn = threading.Lock()
        self._task_turn = anyio.Lock()

    async def read(self, timeout: float) -> bytes:
        """The next bytes, none at the end of the connection; raises RequestTimeoutError."""
        try:
            piece: bytes = (
                self._stream.read(_PIECE, timeout) if self._blocking else await self._stream.read(_PIECE, timeout)
            )
        except httpcore.ReadTimeout as error:
            raise RequestTimeoutError("nothing came over the channel in the time given") from error
        except (httpcore.NetworkError, OSError):
            return b""  # A connection that breaks ends like one that is closed without a farewell.
        except anyio.BusyResourceError as error:
            raise TransportError("another task reads this channel already", executed=Executed.NO) from error
        return piece

    async def write(self, data: bytes) -> None:
        """Send everything; raises TransportError when the other side is gone."""
        try:
            if self._blocking:
                with self._thread_turn:
                    self._stream.write(data, WRITE_SECONDS)
            else:
                async with self._task_turn:
                    await self._stream.write(data, WRITE_SECONDS)
        except httpcore.WriteTimeout as error:
            raise RequestTimeoutError("the other side of the channel takes nothing any more") from error
        except (httpcore.NetworkError, OSError) as error:
            raise TransportError(f"the channel broke: {str(error) or type(error).__name__}") from error


class Channel:
    """Messages both ways, text or bytes, until either side closes; `close_code` and `close_reason` say how it ended."""

    def __init__(self, answer: ByteStream) -> None:
        self._answer = answer
        self._wire = _Wire(answer)
        self._protocol = Protocol(Side.CLIENT, max_size=LARGEST_MESSAGE)
        # One thread may read while another one writes.
        self._step = threading.Lock()
        self._messages: deque[str | bytes] = deque()
        self._fragments: list[Frame] = []
        self._closed = False

    @property
    def close_code(self) -> int | None:
        """The code that the other side closed with, 1006 when it just went away, None while it is there."""
        if self._protocol.close_rcvd is not None:
            return self._protocol.close_rcvd.code
        return ABNORMAL if self._protocol.state is State.CLOSED else None

    @property
    def close_reason(self) -> str:
        """What the other side said when it closed, empty when it said nothing."""
        return self._protocol.close_rcvd.reason if self._protocol.close_rcvd is not None else ""

    async def send(self, message: str | bytes) -> None:
        """Send one message; raises TransportError when the channel is closed or breaks."""
        self._answer.require_mode(is_blocking())
        with self._step:
            if self._protocol.state is not State.OPEN or self._closed:
                raise TransportError("this channel is closed", executed=Executed.NO)
            if isinstance(message, str):
                self._protocol.send_text(message.encode())
            else:
                self._protocol.send_binary(message)
            data = b"".join(self._protocol.data_to_send())
        await self._wire.write(data)

    async def receive(self, timeout: float | None = None) -> str | bytes | None:
        """The next message, None once the channel is closed; raises RequestTimeoutError after `timeout` seconds."""
        self._answer.require_mode(is_blocking())
        deadline = time.monotonic() + (FOREVER if timeout is None else timeout)
        while not self._messages:
            if self._closed or self._protocol.state is not State.OPEN:
                await self.close()
                return None
            left = deadline - time.monotonic()
            await self._take(await self._wire.read(max(left, 0.001)))
        return self._messages.popleft()

    async def _take(self, data: bytes) -> None:
        """Work through bytes that came, and answer those that want an answer, such as a ping."""
        with self._step:
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            for event in self._protocol.events_received():
                if isinstance(event, Frame):
                    self._keep(event)
            answer = b"".join(self._protocol.data_to_send())
        if answer and data:
            await self._reply(answer)

    async def _reply(self, answer: bytes) -> None:
        try:
            await self._wire.write(answer)
        except TransportError:
            if self._protocol.state is State.OPEN:
                raise  # An answer to a farewell, though, may find nobody any more.

    def _keep(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        self._fragments.append(frame)
        if frame.fin:
            whole = b"".join(part.data for part in self._fragments)
            is_text = self._fragments[0].opcode is Opcode.TEXT
            self._messages.append(whole.decode(errors="replace") if is_text else whole)
            self._fragments = []

    async def close(self) -> None:
        """Say farewell and give the connection up; calling it twice is allowed."""
        if self._closed:
            return
        self._answer.require_mode(is_blocking())
        self._closed = True
        try:
            await self._say_farewell()
        except TransportError:
            return  # Nobody is there to hear it.
        finally:
            await self._answer.close()

    async def _say_farewell(self) -> None:
        with self._step:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(NORMAL)
            data = b"".join(self._protocol.data_to_send())
        if data:
            await self._wire.write(data)
