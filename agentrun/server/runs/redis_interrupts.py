"""Which session has a run, in Redis, which all processes of a server share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from redis.exceptions import ConnectionError, RedisError

from agentrun._serving.redis_client import RedisClient, Script
from agentrun.errors import StorageError
from agentrun.server.runs.interrupts import Interrupt, new_token
from agentrun.server.runs.run import Interruption

_SCRIPTS = Path(__file__).with_name("lua")
_RENEW, _FREE, _STOP = (Script(_SCRIPTS, (name,)) for name in ("renew", "free", "stop"))
_PAUSE_SECONDS = 0.5
# A connection that is silent for so many renewals, though it was asked to answer, is dead.
_MOST_SILENT = 2
_log = logging.getLogger("agentrun.server")


@dataclass
class _Held:
    session: str
    token: str
    interrupt: Interrupt
    # A renewal that arrives behind the end would take the session again.
    renewing: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_stopped: bool = False


class RedisInterruptBackend:
    """Runs of all processes that use the same Redis; `redis_url` is redis://, rediss:// or unix://.

    A session is renewed while its run lasts, and free `lease_seconds` after a process died that had it. Raises
    ConfigError for a URL that is none.
    """

    def __init__(self, redis_url: str, *, lease_seconds: float = 10.0, prefix: str = "agentrun:") -> None:
        self.redis_url = redis_url
        self._lease = lease_seconds
        self._prefix = prefix
        self._redis = RedisClient(redis_url)
        self._held: dict[str, _Held] = {}  # By token.
        self._watching: list[asyncio.Task[None]] = []
        self._ending: set[asyncio.Task[None]] = set()

    async def begin(self, session: str, interrupt: Interrupt) -> str | None:
        """Give a session to a new run, which `interrupt` reaches; None when it has one. Raises StorageError."""
        self._watch()
        held = _Held(session, new_token(), interrupt)
        self._held[held.token] = held  # Before Redis knows it: whoever stops it may be faster than the answer.
        taken = False
        try:
            async with held.renewing:
                taken = await self._take(held)
        finally:
            if not taken:
                self._held.pop(held.token, None)
        return held.token if taken else None

    async def _take(self, held: _Held) -> bool:
        command = ("SET", self._key(held.session), held.token, "NX", "PX", self._milliseconds)
        try:
            return await self._redis.ask(*command) is not None
        except (StorageError, asyncio.CancelledError):
            self._begin(self._free(held))  # Nobody will know the token, and it may be in force.
            raise

    async def end(self, session: str, token: str) -> None:
        """Free a session from this run."""
        held = self._held.pop(token, None)
        if held is not None:
            await asyncio.shield(self._begin(self._free(held)))

    async def stop(self, session: str) -> str | None:
        """Interrupt the run of a session, and say which; None when there is none. Raises StorageError."""
        token: bytes | None = await self._redis.run(_STOP, [self._key(session)], [self._channel])
        return None if token is None else token.decode()

    async def is_running(self, session: str, token: str) -> bool:
        """Whether a session has this run still. Raises StorageError."""
        found: bytes | None = await self._redis.ask("GET", self._key(session))
        return found is not None and found.decode().rstrip("!") == token

    async def close(self) -> None:
        """Free what is held, and give up the connections; whoever goes on makes new ones."""
        watching, self._watching = self._watching, []
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        for held in list(self._held.values()):
            await self.end(held.session, held.token)
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self._redis.close()
        self._redis = RedisClient(self.redis_url)

    @property
    def _milliseconds(self) -> int:
        return max(1, round(self._lease * 1000))

    @property
    def _channel(self) -> str:
        return f"{self._prefix}runs:stop"

    def _key(self, session: str) -> str:
        return f"{self._prefix}runs:session:{session}"

    async def _free(self, held: _Held) -> None:
        async with held.renewing:
            with suppress(StorageError):  # It is over by itself, soon.
                await self._redis.run(_FREE, [self._key(held.session)], [held.token])

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something to its end, even if the caller goes away: it is about what has happened already."""
        task = asyncio.get_running_loop().create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    def _watch(self) -> None:
        if not self._watching:
            loop = asyncio.get_running_loop()
            self._watching = [loop.create_task(self._renew_for_ever()), loop.create_task(self._listen_for_ever())]

    async def _renew_for_ever(self) -> None:
        while True:
            await anyio.sleep(self._lease / 3)
            await self._renew_all()

    async def _renew_all(self) -> None:
        for held in list(self._held.values()):
            try:
                await self._renew(held)
            except StorageError as error:
                _log.warning("Sessions with a run cannot be renewed: %s", error)
                return

    async def _renew(self, held: _Held) -> None:
        async with held.renewing:
            if held.token not in self._held:
                return
            found: bytes = await self._redis.run(_RENEW, [self._key(held.session)], [held.token, self._milliseconds])
        if found == b"lost":
            self._held.pop(held.token, None)
            held.interrupt(Interruption.LOST)
        elif found == b"stopped" and not held.is_stopped:
            self._interrupt(held.token)

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError):
                await anyio.sleep(_PAUSE_SECONDS)

    async def _listen(self) -> None:
        """Hear who is to stop, until the connection is lost."""
        channel = self._redis.commands.pubsub()
        try:
            await channel.subscribe(self._channel)
            silent = 0
            while True:
                message = await channel.get_message(timeout=self._lease / 3)
                silent = 0 if message else silent + 1
                if silent > _MOST_SILENT:
                    raise ConnectionError("Redis does not answer")
                if message is None:
                    await channel.ping()
                elif message["type"] == "subscribe":
                    await self._renew_all()  # Who was to stop before is marked.
                elif message["type"] == "message":
                    self._interrupt(message["data"].decode())
        finally:
            await channel.aclose()

    def _interrupt(self, token: str) -> None:
        held = self._held.get(token)
        if held is not None:
            held.is_stopped = True
            held.interrupt(Interruption.STOPPED)
