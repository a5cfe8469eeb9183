"""Keeps responses and conversations in a session-history service, so that later turns can go on from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from agentrun._serving.openai_error import bad_request
from agentrun.errors import InvalidInputError
from agentrun.server.model import ResponsesProtocolConfig
from agentrun.server.protocols.protocol import dumps
from agentrun.server.protocols.responses.item_writer import COMPLETED, INCOMPLETE
from agentrun.server.protocols.responses.recent import Limits, Recent
from agentrun.server.protocols.responses.request import CreateRequest, Item
from agentrun.server.services.session_history import InMemorySessionHistoryService, Session, SessionHistoryService

# Responses are asked for by their ids alone, so each is a session of its own of this user.
_OWNER = "openai-responses"
_TURN = "response_id"


@dataclass
class Turn:
    """A response, and the input to which it is the answer."""

    response: dict[str, Any]
    input: list[Item]
    session_id: str | None
    user_id: str | None

    @property
    def id(self) -> str:
        """The id of the response."""
        found: str = self.response["id"]
        return found

    @property
    def conversation_id(self) -> str | None:
        """The conversation of which this is a part."""
        conversation = self.response["conversation"]
        return conversation["id"] if conversation else None

    @property
    def items(self) -> list[Item]:
        """What this adds to a conversation."""
        return [*self.input, *self.response["output"]]


class Before(NamedTuple):
    """What was said before a request, and in which session."""

    items: list[Item]
    session_id: str | None = None
    user_id: str | None = None


class Archive:
    """The responses of a server; without a service of its own they stay in memory, within limits."""

    def __init__(self, config: ResponsesProtocolConfig) -> None:
        given: SessionHistoryService | None = config.session_history
        self._is_ours = given is None
        self._history = given or InMemorySessionHistoryService(config.keep_seconds)
        limits = Limits(config.max_kept, config.max_kept_bytes, config.keep_seconds)
        self._kept: Recent[tuple[str, str], tuple[str, str]] = Recent(limits)
        self._is_started = False

    async def stop(self) -> None:
        """Give up the service, unless it is somebody else's."""
        if self._is_started and self._is_ours:
            await self._history.stop()
        self._is_started = False

    async def save(self, turn: Turn) -> None:
        """Keep a response, and add it to its conversation if it was answered; raises StorageError."""
        await self._append(_OWNER, turn.id, [vars(turn)])
        if turn.conversation_id and turn.response["status"] in (COMPLETED, INCOMPLETE):
            items = [{**item, _TURN: turn.id} for item in turn.items]
            await self._append(_user_of(turn.user_id, turn.conversation_id), turn.conversation_id, items)

    async def find(self, response_id: str) -> Turn | None:
        """A response that was kept; raises StorageError."""
        try:
            found = await self._read(_OWNER, response_id)
        except InvalidInputError:
            return None  # Nothing has such an id.
        return Turn(**found[-1]) if found else None

    async def delete(self, response_id: str) -> None:
        """Forget a response; what it added to a conversation stays there."""
        await (await self._service()).delete_session(_OWNER, response_id)
        self._kept.pop((_OWNER, response_id))

    async def before(self, asked: CreateRequest) -> Before:
        """What was said before a request; raises ApiError for a response that is not there, and StorageError."""
        user = asked.user or asked.safety_identifier
        if asked.conversation_id:
            items = await self._conversation(_user_of(user, asked.conversation_id), asked.conversation_id)
            return Before(items, asked.conversation_id, user)
        if asked.previous_response_id:
            found = await self._chain(asked.previous_response_id)
            return found._replace(user_id=user or found.user_id)
        return Before([], None, user)

    async def _chain(self, response_id: str) -> Before:
        """What a response and those before it come to."""
        last = turn = await self._found(response_id)
        items = await self._said(turn)
        # A conversation holds all that was said before.
        while turn.conversation_id is None and turn.response["previous_response_id"]:
            turn = await self._found(turn.response["previous_response_id"])
            items = [*await self._said(turn), *items]
        return Before(items, last.session_id, last.user_id)

    async def _said(self, turn: Turn) -> list[Item]:
        """What was said in a turn; in a conversation, what had been said at its end."""
        if turn.conversation_id is None:
            return turn.items
        items = await self._conversation(_user_of(turn.user_id, turn.conversation_id), turn.conversation_id)
        places = [place for place, item in enumerate(items) if item.get(_TURN) == turn.id]
        # A response that failed is no part of its conversation.
        return items[: places[-1] + 1] if places else [*items, *turn.items]

    async def _found(self, response_id: str) -> Turn:
        turn = await self.find(response_id)
        if turn is None:
            message = f"Previous response with id {response_id!r} not found: it was not stored, or is kept no more"
            raise bad_request(message, "previous_response_not_found", "previous_response_id")
        return turn

    async def _conversation(self, user_id: str, conversation_id: str) -> list[Item]:
        return await self._read(user_id, conversation_id) or []

    async def _read(self, user_id: str, session_id: str) -> list[dict[str, Any]] | None:
        service = await self._service()
        if self._is_ours and self._kept.get((user_id, session_id)) is None:
            return None
        session = await service.find_session(user_id, session_id)
        return session.messages if session else None

    async def _append(self, user_id: str, session_id: str, messages: list[dict[str, Any]]) -> None:
        service = await self._service()
        await service.append_message(Session(id=session_id, user_id=user_id), messages)
        if self._is_ours:
            place = (user_id, session_id)
            for gone in self._kept.put(place, place, self._kept.size(place) + len(dumps(messages))):
                await service.delete_session(*gone)

    async def _service(self) -> SessionHistoryService:
        if not self._is_started:
            await self._history.start()
            self._is_started = True
        return self._history


def _user_of(user_id: str | None, session_id: str) -> str:
    """Who does not say who they are is the user of their session."""
    return user_id or session_id
