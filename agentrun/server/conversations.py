"""What was asked and answered, kept in a service of sessions."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import anyio

from agentrun.errors import AgentRunError
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.invoker import Around
from agentrun.server.model import AgentRequest, Message, MessageRole
from agentrun.server.services.session_history import Session, SessionHistoryService

_log = logging.getLogger("agentrun.server")
# The ids in the words of the official server, where the protocol has none of its own.
_USER_HEADER, _CONVERSATION_HEADER = "x-agentrun-user-id", "x-agentrun-conversation-id"
_NOBODY = "default"


def keep_conversations(service: SessionHistoryService) -> Around:
    """What stands around each run and keeps it: `AgentRunServer(agent, around=[keep_conversations(service)])`.

    What the user said since the last answer and what the agent did become messages of the session, in the words of
    chats, also when the run failed or its client went. A run without a session is not kept, and a service that is away
    stops nobody.
    """

    async def keep(request: AgentRequest, events: AsyncGenerator[AgentEvent, None]) -> AsyncGenerator[AgentEvent, None]:
        answer = _Answer()
        session = _session(request)
        try:
            async with aclosing(events):
                async for event in events:
                    answer.add(event)
                    yield event
        finally:
            if session is not None:
                with anyio.CancelScope(shield=True):
                    await _save(service, session, [*_asked(request.messages), *answer.messages()])

    return keep


async def _save(service: SessionHistoryService, session: Session, messages: Sequence[Message]) -> None:
    told = [message.model_dump(mode="json", exclude_none=True) for message in messages]
    try:
        await service.append_message(session, told)
    except AgentRunError:
        _log.exception("A conversation was not kept")


def _session(request: AgentRequest) -> Session | None:
    session_id = request.session_id or _header(request, _CONVERSATION_HEADER)
    user_id = request.user_id or _header(request, _USER_HEADER) or _NOBODY
    return Session(id=session_id, user_id=user_id) if session_id else None


def _header(request: AgentRequest, name: str) -> str | None:
    headers: Any = getattr(request.raw_request, "headers", None)
    return headers.get(name) if headers is not None else None


def _asked(messages: Sequence[Message]) -> Sequence[Message]:
    """What is new in a question: clients may send the whole conversation each time."""
    last = max((place for place, each in enumerate(messages) if each.role is MessageRole.ASSISTANT), default=-1)
    return [message for message in messages[last + 1 :] if message.role is not MessageRole.SYSTEM]


class _Answer:
    """What an agent does, as messages of a chat: each call ends a message, and each result is one of its own."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._thought: list[str] = []
        self._calls: dict[str, dict[str, Any]] = {}
        self._results: dict[str, Any] = {}
        self._messages: list[Message] = []

    def add(self, event: AgentEvent) -> None:
        """Adds what the agent did next."""
        data = event.data
        if event.event in (EventType.TEXT, EventType.REASONING):
            self._end_calls()
            (self._said if event.event == EventType.TEXT else self._thought).append(str(data.get("delta") or ""))
        elif event.event in (EventType.TOOL_CALL, EventType.TOOL_CALL_CHUNK):
            call = self._calls.setdefault(data["id"], {"name": "", "arguments": ""})
            call["name"] += data.get("name") or ""
            call["arguments"] += data.get("args_delta") or data.get("args") or ""
        elif event.event == EventType.TOOL_RESULT:
            self._results[data["id"]] = data.get("result")

    def messages(self) -> list[Message]:
        """All of it."""
        self._end_calls()
        self._end_turn()
        return self._messages

    def _end_calls(self) -> None:
        """What follows on results is another message."""
        if self._results:
            self._end_turn()

    def _end_turn(self) -> None:
        turn: dict[str, Any] = {
            "content": "".join(self._said) or None,
            "reasoning_content": "".join(self._thought) or None,
            "tool_calls": [{"id": call_id, "function": call} for call_id, call in self._calls.items()] or None,
        }
        if any(turn.values()):
            self._messages.append(Message.model_validate({"role": "assistant", **turn}))
        for call_id, result in self._results.items():
            said = {"role": "tool", "tool_call_id": call_id, "content": None if result is None else str(result)}
            self._messages.append(Message.model_validate(said))
        for part in (self._said, self._thought, self._calls, self._results):
            part.clear()
