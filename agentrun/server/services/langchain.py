"""The services as where LangChain keeps what was said in a chat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agentrun.server.model import Message
from agentrun.server.services.base import message_to_json
from agentrun.server.services.session_history import Session, SessionHistoryService, drop_messages, shelf_of

try:
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain_core":
        raise
    raise ImportError(f"{__name__} needs langchain_core: pip install 'agentrun[langchain]'", name=error.name) from None

from agentrun.server.frameworks.langchain import messages as langchain_messages

__all__ = ["LangChainChatHistory"]

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}


class LangChainChatHistory(BaseChatMessageHistory):
    """The messages of a session of a service, for `RunnableWithMessageHistory` and whoever else keeps chats.

    The service is started and stopped by who has made it. Other frameworks may have a part in the same session.
    """

    def __init__(self, service: SessionHistoryService, user_id: str, session_id: str) -> None:
        self._service = service
        self._session = Session(id=session_id, user_id=user_id)
        self._shelf = shelf_of(user_id, session_id)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override] # A field there, which others make a property too.
        """All messages, oldest first."""
        entries = self._service.storage.read(self._shelf) or ()
        return [_message(json.loads(entry.value)) for entry in entries]

    async def aget_messages(self) -> list[BaseMessage]:
        """All messages, oldest first."""
        session = await self._service.find_session(self._session.user_id, self._session.id)
        return [_message(entry) for entry in session.messages] if session else []

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages, which stay together whoever else writes."""
        if messages:
            texts = [message_to_json(_entry(message)) for message in messages]
            self._service.storage.append(self._shelf, texts, self._service.most)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages, which stay together whoever else writes."""
        session = self._session.model_copy(update={"messages": []})
        await self._service.append_message(session, [_entry(message) for message in messages])

    def clear(self) -> None:
        """Forget all messages; the session stays."""
        drop_messages(self._service.storage, self._shelf, None)

    async def aclear(self) -> None:
        """Forget all messages; the session stays."""
        await self._service.delete_messages(self._session)


def _entry(message: BaseMessage) -> dict[str, Any]:
    """A message in LangChain's own words, and beside them who said what, as others read it."""
    told = message_to_dict(message)
    content = told["data"].pop("content")
    named = {"id": message.id} if message.id else {}
    return {**named, "role": _ROLES.get(message.type, message.type), "content": content, "langchain": told}


def _message(entry: dict[str, Any]) -> BaseMessage:
    told = entry.get("langchain")
    if told is None:
        (message,) = langchain_messages([Message.model_validate(entry)])
        return message
    (message,) = messages_from_dict([{**told, "data": {**told["data"], "content": entry["content"]}}])
    return message
