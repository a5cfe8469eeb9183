"""What every service has: it is started, stopped and asked for its health."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel
from typing_extensions import ParamSpec

from agentrun.errors import InvalidInputError, StorageError
from agentrun.server.lifecycle import Startable
from agentrun.server.services.storage.base import Storage

DEFAULT_SESSION = "default"
_THREADS = 8

AnyMessage: TypeAlias = "BaseModel | Mapping[str, Any]"
P = ParamSpec("P")
T = TypeVar("T")


class Service(Startable):
    """Something that keeps what an agent needs between its runs, in a storage; to be used in `async with`.

    It may be used by several tasks, threads and event loops.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Get ready, which a service that is started already is; raises StorageError when its storage is away."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="agentrun-service")
        await self.run(self.storage.open)

    async def stop(self) -> None:
        """Finish what is under way and give up the connections; what is in memory only is forgotten."""
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
            await asyncio.to_thread(self.storage.close)

    async def health(self) -> bool:
        """Whether the service is started and its storage answers."""
        try:
            await self.run(self.storage.ping)
        except StorageError:
            return False
        return True

    async def run(self, operation: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Do something with the storage: at once where it does not wait, else in a thread of this service."""
        if self._threads is None:
            raise StorageError(
                f"{type(self).__name__} is not started", hint="Use it in `async with`, or await its start()"
            )
        if not self.storage.waits:
            return operation(*arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, partial(operation, *arguments, **options)
        )


def identifier(value: Any, field: str) -> str:
    """A user or session id as it is; raises InvalidInputError for one that no storage could keep."""
    if not isinstance(value, str) or not value:
        raise InvalidInputError(f"{field} is to be a text that is not empty, and is {value!r}", field=field)
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidInputError(f"{field} holds a character that cannot be kept: {value!r}", field=field)
    return value


def session_of(session_id: str | None) -> str:
    """The session that is meant: `default` without one."""
    return identifier(session_id, "session_id") if session_id else DEFAULT_SESSION


def at_least_one(value: int | None, field: str) -> int | None:
    """A number of things, or None; raises InvalidInputError for less than one."""
    if value is not None and value < 1:
        raise InvalidInputError(f"{field} is to be at least 1, and is {value}", field=field)
    return value


def to_json(value: Any, field: str) -> str:
    """A value as JSON; raises InvalidInputError for what JSON cannot say."""
    try:
        return json.dumps(value, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"{field} cannot be kept: {error}", field=field, hint="Use what JSON knows: texts, numbers, lists and dicts"
        ) from None


def message_to_json(message: Any) -> str:
    """A message as JSON; raises InvalidInputError unless it is a dict or a model of pydantic."""
    if isinstance(message, BaseModel):
        return message.model_dump_json()
    if isinstance(message, Mapping):
        return to_json(message, "message")
    raise InvalidInputError(
        f"a message is to be a dict or a model, and is {type(message).__name__}",
        field="message",
        hint='Write it as in {"role": "user", "content": [{"type": "text", "text": "Hi"}]}',
    )
