"""What was said in each session, and which sessions a user has."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import BaseModel, Field

from agentrun.errors import InvalidInputError
from agentrun.server.services.base import AnyMessage, Service, at_least_one, identifier, message_to_json
from agentrun.server.services.storage.base import Shelf, Storage
from agentrun.server.services.storage.memory import MemoryStorage

_KIND = "session"
_PAGE = 100


class Session(BaseModel):
    """A conversation of a user; messages are dicts, oldest first."""

    id: str
    user_id: str
    messages: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])


class SessionPage(BaseModel):
    """Some sessions, without their messages, and the cursor of what follows, None at the end."""

    sessions: list[Session]
    next_cursor: str | None = None


def shelf_of(user_id: str, session_id: str) -> Shelf:
    """Where the messages of a session are; raises InvalidInputError for ids that no storage could keep."""
    return Shelf(_KIND, identifier(user_id, "user_id"), identifier(session_id, "session_id"))


def _position(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit()):
        raise InvalidInputError(f"{cursor!r} is no cursor", field="cursor", hint="Use next_cursor of the page before")
    return int(cursor)


class SessionHistoryService(Service):
    """Sessions of users and their messages; those over `max_messages_per_session` are forgotten, the oldest first."""

    def __init__(self, storage: Storage, max_messages_per_session: int | None = None) -> None:
        super().__init__(storage)
        self.most = at_least_one(max_messages_per_session, "max_messages_per_session")

    async def create_session(self, user_id: str, session_id: str | None = None) -> Session:
        """Make a session, with an id of its own when none is given; one that exists stays, with what was said in it."""
        id = (session_id or "").strip() or str(uuid.uuid4())
        await self.run(self.storage.create, shelf_of(user_id, id))
        return await self.get_session(user_id, id)

    async def get_session(self, user_id: str, session_id: str) -> Session:
        """A session with its messages, which is made when it is missing."""
        found = await self.find_session(user_id, session_id)
        if found is None:
            await self.run(self.storage.create, shelf_of(user_id, session_id))
        return found or Session(id=session_id, user_id=user_id)

    async def find_session(self, user_id: str, session_id: str) -> Session | None:
        """A session with its messages, None when there is none."""
        entries = await self.run(self.storage.read, shelf_of(user_id, session_id))
        if entries is None:
            return None
        return Session(id=session_id, user_id=user_id, messages=[json.loads(entry.value) for entry in entries])

    async def delete_session(self, user_id: str, session_id: str) -> None:
        """Forget a session, if there is one."""
        await self.run(self.storage.delete, shelf_of(user_id, session_id))

    async def delete_user_sessions(self, user_id: str) -> None:
        """Forget all sessions of a user."""
        for session in await self.list_sessions(user_id):
            await self.delete_session(user_id, session.id)

    async def list_sessions(self, user_id: str) -> list[Session]:
        """All sessions of a user, without their messages, in the order in which they were made."""
        found: list[Session] = []
        cursor: str | None = None
        while True:
            page = await self.page_sessions(user_id, cursor, _PAGE)
            found += page.sessions
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def page_sessions(self, user_id: str, cursor: str | None = None, limit: int = 20) -> SessionPage:
        """The next sessions of a user behind a cursor; raises InvalidInputError for a cursor that is none."""
        at_least_one(limit, "limit")
        owner, after = identifier(user_id, "user_id"), _position(cursor)
        places = await self.run(self.storage.shelves, _KIND, owner, after, limit + 1)
        sessions = [Session(id=place.name, user_id=user_id) for place in places[:limit]]
        return SessionPage(
            sessions=sessions, next_cursor=str(places[limit - 1].position) if len(places) > limit else None
        )

    async def append_message(self, session: Session, message: AnyMessage | Sequence[AnyMessage]) -> None:
        """Add one message or several to a session, and to `session`; several stay together whoever else writes.

        Raises InvalidInputError for what is no message; then none is added.
        """
        several: Sequence[Any] = message if isinstance(message, Sequence) else [message]
        texts = [message_to_json(each) for each in several]
        if not texts:
            return
        await self.run(self.storage.append, shelf_of(session.user_id, session.id), texts, self.most)
        session.messages += map(json.loads, texts)
        if self.most is not None:
            del session.messages[: -self.most]

    async def delete_messages(self, session: Session, ids: Collection[str] | None = None) -> int:
        """Forget the messages of these ids in a session, all without ids, and say how many; others stay as they are."""
        gone = await self.run(drop_messages, self.storage, shelf_of(session.user_id, session.id), ids)
        session.messages = [message for message in session.messages if not _is_meant(message, ids)]
        return gone


def drop_messages(storage: Storage, shelf: Shelf, ids: Collection[str] | None) -> int:
    """Remove the messages of these ids, all without ids, and say how many."""
    keys = [entry.key for entry in storage.read(shelf) or () if _is_meant(json.loads(entry.value), ids)]
    if keys:
        storage.drop(shelf, keys)
    return len(keys)


def _is_meant(message: dict[str, Any], ids: Collection[str] | None) -> bool:
    return ids is None or message.get("id") in ids


class InMemorySessionHistoryService(SessionHistoryService):
    """Sessions in the memory of this process; one that nobody used for `ttl_seconds` is forgotten."""

    def __init__(self, ttl_seconds: float | None = None, max_messages_per_session: int | None = None) -> None:
        super().__init__(MemoryStorage(ttl_seconds), max_messages_per_session)
