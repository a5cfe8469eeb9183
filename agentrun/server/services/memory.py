"""What an agent remembers of a user over all sessions, found again by its words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun.errors import InvalidInputError
from agentrun.server.services.base import AnyMessage, Service, at_least_one, identifier, message_to_json, session_of
from agentrun.server.services.storage.base import Shelf, Storage
from agentrun.server.services.storage.memory import MemoryStorage
from agentrun.server.services.words import ranked

_KIND = "memory"
_PAGE_SIZE = 10


class MemoryService(Service):
    """Messages to remember of each user, in sessions; those over `max_messages_per_session` are forgotten."""

    def __init__(self, storage: Storage, max_messages_per_session: int | None = None) -> None:
        super().__init__(storage)
        self._most = at_least_one(max_messages_per_session, "max_messages_per_session")

    async def add_memory(self, user_id: str, messages: Sequence[AnyMessage], session_id: str | None = None) -> None:
        """Remember messages, in the session `default` when none is given.

        Raises InvalidInputError for what is no message; then none is remembered.
        """
        shelf = Shelf(_KIND, identifier(user_id, "user_id"), session_of(session_id))
        texts = [message_to_json(message) for message in messages]
        if texts:
            await self.run(self.storage.append, shelf, texts, self._most)

    async def search_memory(
        self, user_id: str, messages: Sequence[AnyMessage], filters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """What holds words of the last of these messages: first what holds most of them, rare ones counting more.

        `filters` may have `top_k`, how many at most. Of those that hold as much, the newest is first.
        """
        top_k = _number(filters, "top_k", None)
        question = text_of(json.loads(message_to_json(messages[-1]))) if messages else ""
        memories = await self._memories(user_id)
        best = ranked(list(map(text_of, memories)), question)
        return [memories[found.place] for found in best[:top_k]]

    async def list_memory(self, user_id: str, filters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """What is remembered, a page of it: session by session in the order of their beginning, oldest first.

        `filters` may have `page_num`, from 1, and `page_size`, 10 unless it is given.
        """
        size = _number(filters, "page_size", _PAGE_SIZE) or _PAGE_SIZE
        begin = ((_number(filters, "page_num", 1) or 1) - 1) * size
        return (await self._memories(user_id))[begin : begin + size]

    async def session_memory(self, user_id: str, session_id: str | None = None) -> list[dict[str, Any]]:
        """What is remembered of one session, oldest first."""
        shelf = Shelf(_KIND, identifier(user_id, "user_id"), session_of(session_id))
        return [json.loads(entry.value) for entry in await self.run(self.storage.read, shelf) or ()]

    async def delete_memory(self, user_id: str, session_id: str | None = None) -> None:
        """Forget what is remembered of a session, of all sessions of the user without one."""
        owner = identifier(user_id, "user_id")
        if session_id is not None:
            await self.run(self.storage.delete, Shelf(_KIND, owner, identifier(session_id, "session_id")))
            return
        while places := await self.run(self.storage.shelves, _KIND, owner):
            for place in places:
                await self.run(self.storage.delete, Shelf(_KIND, owner, place.name))

    async def _memories(self, user_id: str) -> list[dict[str, Any]]:
        sessions = await self.run(self.storage.read_all, _KIND, identifier(user_id, "user_id"))
        return [json.loads(entry.value) for entries in sessions.values() for entry in entries]


class InMemoryMemoryService(MemoryService):
    """What is remembered while this process runs; a session that nobody used for `ttl_seconds` is forgotten."""

    def __init__(self, ttl_seconds: float | None = None, max_messages_per_session: int | None = None) -> None:
        super().__init__(MemoryStorage(ttl_seconds), max_messages_per_session)


def text_of(message: Mapping[str, Any]) -> str:
    """All that a message says in words, whether its content is a text or a list of parts."""
    content = message.get("content")
    return content if isinstance(content, str) else "\n".join(_texts(content))


def _texts(parts: Any) -> Iterator[str]:
    for part in parts if is_list(parts) else ():
        text = part.get("text") if is_object(part) else None
        if isinstance(text, str):
            yield text


def _number(filters: Mapping[str, Any] | None, name: str, default: int | None) -> int | None:
    value = (filters or {}).get(name, default)
    if value is not None and not isinstance(value, int):
        raise InvalidInputError(f"{name} is to be a number, and is {value!r}", field=name)
    return at_least_one(value, name)
