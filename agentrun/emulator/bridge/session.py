"""One client's session with one server: which of the client's streams each message of the server goes to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import anyio

from agentrun.emulator.bridge.messages import SERVER_ENDED, Message, failure, is_object, read

# What nobody listens to yet; the oldest goes when there is more.
_MOST_WAITING = 1000


class Peer(Protocol):
    """The server of one session, to which messages are sent one by one."""

    async def send(self, message: Message) -> None:
        """Let the server have a message, not faster than it takes them."""
        ...

    async def close(self) -> None:
        """End the server."""
        ...


Received: TypeAlias = "Callable[[Message], None]"
Ended: TypeAlias = "Callable[[str], None]"
Start: TypeAlias = "Callable[[Received, Ended], Awaitable[Peer]]"
"""Starts the server of a session; what it says, and why it ended by itself, is told by the two functions."""


class Stream:
    """What one HTTP answer carries: messages, until None."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue()

    def put(self, message: Message | None) -> None:
        """Add a message, or the end."""
        self._queue.put_nowait(message)

    async def next(self, seconds: float) -> Message | None:
        """The next message, None at the end. Raises TimeoutError when none comes in time."""
        if not self._queue.empty():
            return self._queue.get_nowait()
        with anyio.fail_after(seconds):
            return await self._queue.get()


class Session:
    """A client and its server; `begun` is called once that has answered `initialize`."""

    def __init__(self, id: str, begun: Callable[[], None], *, all_on_one: bool = False) -> None:
        self.id = id
        self._begun = begun
        self.protocol_version: str | None = None
        self.used = asyncio.get_running_loop().time()
        self.began = self.used
        self.ended: str | None = None
        self.peer: Peer
        self._all_on_one = all_on_one
        self._pending: dict[str, Stream] = {}
        self._progress: dict[str, str] = {}
        self._listening: Stream | None = None
        self._waiting: deque[Message] = deque(maxlen=_MOST_WAITING)

    @property
    def busy(self) -> bool:
        """Whether a client waits for something at the moment."""
        return bool(self._pending) or self._listening is not None

    def touch(self) -> None:
        """Note that the session is used."""
        self.used = asyncio.get_running_loop().time()

    def listen(self) -> Stream | None:
        """The stream for what belongs to no request; None when there is one already."""
        if self._listening is not None:
            return None
        stream = self._listening = Stream()
        while self._waiting:
            stream.put(self._waiting.popleft())
        return stream

    def stop_listening(self) -> None:
        """The client has closed that stream."""
        self._listening = None
        self.touch()

    def expect(self, message: Message) -> Stream | None:
        """The stream for the answer to a request, and for what comes before it; None when its id is in use."""
        assert message.id is not None
        if message.id in self._pending:
            return None
        stream = self._pending[message.id] = Stream()
        if self.ended is not None:
            stream.put(read(failure(message.id, SERVER_ENDED, self.ended)))
        if message.progress_token is not None:
            self._progress[message.progress_token] = message.id
        return stream

    def forget(self, message: Message) -> None:
        """Nobody waits for the answer to a request any more."""
        self._pending.pop(message.id or "", None)
        self._progress.pop(message.progress_token or "", None)
        self.touch()

    def received(self, message: Message) -> None:
        """Hand on what the server said."""
        if message.is_response and self.protocol_version is None:
            self._note_version(message)
        stream = self._listening if self._all_on_one else self._stream_of(message)
        if stream is not None:
            stream.put(message)
        elif not message.is_response:
            self._waiting.append(message)

    def end(self, reason: str) -> None:
        """Tell everybody who waits that nothing will come any more."""
        if self.ended is not None:
            return
        self.ended = reason
        for id, stream in self._pending.items():
            stream.put(read(failure(id, SERVER_ENDED, reason)))
        if self._listening is not None:
            self._listening.put(None)

    def _stream_of(self, message: Message) -> Stream | None:
        """Responses and progress know their request; the rest most probably belongs to one that is under way."""
        if message.is_response:
            # What comes after its answer belongs to it no more, though the answer may still be on its way.
            return self._pending.pop(message.id or "", None)
        asked = self._progress.get(message.progress_token or "")
        if asked in self._pending:
            return self._pending[asked]
        return next(reversed(self._pending.values()), None) or self._listening

    def _note_version(self, message: Message) -> None:
        result = message.fields.get("result")
        if is_object(result) and isinstance(result.get("protocolVersion"), str):
            self.protocol_version = result["protocolVersion"]
            self._begun()
