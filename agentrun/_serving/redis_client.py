"""Redis from an event loop: its connections, and the scripts that it knows by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import anyio
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from agentrun.errors import ConfigError, StorageError

_MOST_CONNECTIONS = 64


@dataclass(frozen=True)
class Script:
    """A Lua script out of files of a folder, one after the other; Redis knows it once it has seen it."""

    folder: Path
    parts: tuple[str, ...]

    @cached_property
    def text(self) -> bytes:
        """What Redis runs."""
        return b"\n".join((self.folder / f"{part}.lua").read_bytes() for part in self.parts)

    @cached_property
    def digest(self) -> str:
        """The name by which Redis knows it."""
        return hashlib.sha1(self.text, usedforsecurity=False).hexdigest()


def open_pool(url: str, most_connections: int = _MOST_CONNECTIONS) -> BlockingConnectionPool:
    """Connections to redis://, rediss:// or unix://, none of which is made yet; raises ValueError for another URL."""
    # Not sent again by the client: what was done already would be done twice, and pauses would delay a call.
    return BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] -- its options have no types.
        url,
        max_connections=most_connections,
        timeout=None,
        retry=Retry(NoBackoff(), 0),
        # Callers bound the time. With one here too, a cancellation that meets the end of a write is lost until
        # Python 3.12: the client writes under asyncio.wait_for.
        socket_timeout=None,
    )


class Commands(Protocol):
    """What is used of the client, whose own types leave it open."""

    async def execute_command(self, *command: Any) -> Any:
        """The answer to a command."""
        ...

    def pubsub(self) -> Any:
        """What listens to channels."""
        ...


class RedisClient:
    """Commands and scripts, none of which takes longer than `timeout_seconds`, on one event loop.

    Raises ConfigError for a URL that is none, and StorageError for what Redis cannot do.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 5.0, most_connections: int = _MOST_CONNECTIONS) -> None:
        try:
            self._pool = open_pool(url, most_connections)
        except ValueError:
            # Not with the text of the error: the URL may hold a password.
            raise ConfigError(
                "the URL of Redis cannot be read", hint="Write it as in redis://localhost:6379/0"
            ) from None
        self._timeout = timeout_seconds
        self.commands = cast(Commands, Redis(connection_pool=self._pool))

    async def ask(self, *command: Any, wait_seconds: float = 0.0) -> Any:
        """The answer to a command, which may itself wait for so many seconds."""
        try:
            return await self._ask(command, wait_seconds)
        except NoScriptError as error:
            raise away(error) from None

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[object] = ()) -> Any:
        """The answer of a script."""
        rest = (len(keys), *keys, *arguments)
        try:
            return await self._ask(("EVALSHA", script.digest, *rest))
        except NoScriptError:
            return await self.ask("EVAL", script.text, *rest)

    async def close(self) -> None:
        """Give up the connections."""
        await self._pool.disconnect()

    async def _ask(self, command: Sequence[Any], wait_seconds: float = 0.0) -> Any:
        try:
            with anyio.fail_after(self._timeout + wait_seconds):
                return await self.commands.execute_command(*command)
        except NoScriptError:
            raise
        except (RedisError, OSError, TimeoutError) as error:
            raise away(error) from None


def away(error: Exception) -> StorageError:
    """What to say when Redis cannot do something."""
    reason = str(error) or type(error).__name__
    return StorageError(f"Redis cannot do it: {reason}", hint="Check its URL, and that it runs")
