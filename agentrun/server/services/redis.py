"""The services in Redis, which several processes share."""

from __future__ import annotations

from typing_extensions import Unpack

from agentrun.server.services.memory import MemoryService
from agentrun.server.services.session_history import SessionHistoryService
from agentrun.server.services.state import StateService
from agentrun.server.services.storage.redis import DEFAULT_URL, RedisConnection, RedisStorage

_HOUR = 3600


class RedisStateService(StateService):
    """States in Redis; a session that nobody used for `ttl_seconds` is forgotten, never when that is None."""

    def __init__(
        self, redis_url: str = DEFAULT_URL, ttl_seconds: float | None = _HOUR, **connection: Unpack[RedisConnection]
    ) -> None:
        super().__init__(RedisStorage(redis_url, ttl_seconds, **connection))


class RedisSessionHistoryService(SessionHistoryService):
    """Sessions in Redis; one that nobody used for `ttl_seconds` is forgotten, never when that is None."""

    def __init__(
        self,
        redis_url: str = DEFAULT_URL,
        ttl_seconds: float | None = _HOUR,
        max_messages_per_session: int | None = None,
        **connection: Unpack[RedisConnection],
    ) -> None:
        super().__init__(RedisStorage(redis_url, ttl_seconds, **connection), max_messages_per_session)


class RedisMemoryService(MemoryService):
    """What is remembered, in Redis; without `ttl_seconds` it is for ever, else while somebody uses it."""

    def __init__(
        self,
        redis_url: str = DEFAULT_URL,
        ttl_seconds: float | None = None,
        max_messages_per_session: int | None = None,
        **connection: Unpack[RedisConnection],
    ) -> None:
        super().__init__(RedisStorage(redis_url, ttl_seconds, **connection), max_messages_per_session)
