"""The services in a database: SQLite by default, PostgreSQL and MySQL by URL."""

from __future__ import annotations

from agentrun.server.services.memory import MemoryService
from agentrun.server.services.session_history import SessionHistoryService
from agentrun.server.services.state import StateService
from agentrun.server.services.storage.sql import SqlStorage

DEFAULT_URL = "sqlite:///agentrun.db"


class SqlStateService(StateService):
    """States in a database; a session that nobody used for `ttl_seconds` is forgotten."""

    def __init__(self, url: str = DEFAULT_URL, ttl_seconds: float | None = None) -> None:
        super().__init__(SqlStorage(url, ttl_seconds))


class SqlSessionHistoryService(SessionHistoryService):
    """Sessions in a database; one that nobody used for `ttl_seconds` is forgotten."""

    def __init__(
        self, url: str = DEFAULT_URL, ttl_seconds: float | None = None, max_messages_per_session: int | None = None
    ) -> None:
        super().__init__(SqlStorage(url, ttl_seconds), max_messages_per_session)


class SqlMemoryService(MemoryService):
    """What is remembered, in a database; a session that nobody used for `ttl_seconds` is forgotten."""

    def __init__(
        self, url: str = DEFAULT_URL, ttl_seconds: float | None = None, max_messages_per_session: int | None = None
    ) -> None:
        super().__init__(SqlStorage(url, ttl_seconds), max_messages_per_session)
