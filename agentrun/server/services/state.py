"""What an agent was at the end of each round of a session, to go on from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentrun.errors import InvalidInputError
from agentrun.server.services.base import Service, identifier, session_of, to_json
from agentrun.server.services.storage.base import DIGITS, Shelf, numbered
from agentrun.server.services.storage.memory import MemoryStorage

_KIND = "state"


def _shelf(user_id: str, session_id: str | None) -> Shelf:
    return Shelf(_KIND, identifier(user_id, "user_id"), session_of(session_id))


def _round_key(round_id: int) -> str:
    if isinstance(round_id, bool) or not 0 <= round_id < 10**DIGITS:
        raise InvalidInputError(f"round_id is to be a number from 0, and is {round_id!r}", field="round_id")
    return numbered(round_id)


class StateService(Service):
    """States of agents by user, session and round; a state is a dict of what JSON can say."""

    async def save_state(
        self, user_id: str, state: Mapping[str, Any], session_id: str | None = None, round_id: int | None = None
    ) -> int:
        """Save a state and return its round: the one given, else the next one, which for a new session is 1.

        Raises InvalidInputError for a state that is no JSON, StorageError when the storage is away.
        """
        shelf, text = _shelf(user_id, session_id), to_json(state, "state")
        if round_id is None:
            return await self.run(self.storage.append, shelf, [text])
        await self.run(self.storage.put, shelf, {_round_key(round_id): text})
        return round_id

    async def export_state(
        self, user_id: str, session_id: str | None = None, round_id: int | None = None
    ) -> dict[str, Any] | None:
        """The state of a round, of the latest without one; None when there is none."""
        key = None if round_id is None else _round_key(round_id)
        entry = await self.run(self.storage.find, _shelf(user_id, session_id), key)
        return json.loads(entry.value) if entry else None

    async def delete_state(self, user_id: str, session_id: str | None = None) -> None:
        """Forget all rounds of a session."""
        await self.run(self.storage.delete, _shelf(user_id, session_id))


class InMemoryStateService(StateService):
    """States in the memory of this process; a session that nobody used for `ttl_seconds` is forgotten."""

    def __init__(self, ttl_seconds: float | None = None) -> None:
        super().__init__(MemoryStorage(ttl_seconds))
