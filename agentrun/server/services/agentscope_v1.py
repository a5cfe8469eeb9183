"""The services as the memories of agents of AgentScope 1.0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from agentrun.server.model import Message
from agentrun.server.services.memory import MemoryService, text_of
from agentrun.server.services.session_history import Session, SessionHistoryService

try:
    from agentscope.memory import LongTermMemoryBase, MemoryBase
    from agentscope.message import Msg, TextBlock
    from agentscope.tool import ToolResponse
except ImportError as error:  # AgentScope 2 is there, and has none of it.
    if not (error.name or "agentscope").startswith("agentscope"):
        raise
    raise ImportError(
        f"{__name__} needs AgentScope 1.0: pip install 'agentrun[agentscope1]'", name=error.name
    ) from None

from agentrun.server.frameworks.agentscope_v1 import messages as agentscope_messages

__all__ = ["AgentScopeLongTermMemory", "AgentScopeSessionHistoryMemory"]

# What an agent was reminded of is not to be remembered again.
_REMINDER = "long_term_memory"


class AgentScopeSessionHistoryMemory(MemoryBase):
    """The memory of an agent in a session of a service, which other processes and frameworks may share.

    Messages go to the service at once, each only once, and are read from it when they are needed. The agent's
    `state_dict` has the rest: the summary and the marks of messages. The service is started by who has made it.
    """

    def __init__(self, service: SessionHistoryService, user_id: str, session_id: str) -> None:
        super().__init__()
        self._compressed_summary = ""
        self._service = service
        self._session = Session(id=session_id, user_id=user_id)
        self._marks: dict[str, list[str]] = {}  # By message, where they are others than those it came with.
        self._known: set[str] | None = None  # The messages that are there, as far as this object knows.

    async def add(
        self,
        memories: Msg | list[Msg] | None,
        marks: str | list[str] | None = None,
        allow_duplicates: bool = False,
        **kwargs: Any,
    ) -> None:
        """Add messages; one whose id is there already is left out."""
        given = [memories] if isinstance(memories, Msg) else memories or []
        known = await self._ids()
        new = [message for message in given if allow_duplicates or message.id not in known]
        marked: dict[str, Any] = {"marks": _several(marks)} if marks else {}
        await self._service.append_message(self._session, [{**message.to_dict(), **marked} for message in new])
        self._session.messages.clear()  # They are in the service.
        known.update(message.id for message in new)

    async def get_memory(
        self,
        mark: str | None = None,
        exclude_mark: str | None = None,
        prepend_summary: bool = True,
        **kwargs: Any,
    ) -> list[Msg]:
        """The messages, those with a mark or without one, behind the summary of what was compressed."""
        found = [
            message
            for message, marks in await self._read()
            if (mark is None or mark in marks) and (exclude_mark is None or exclude_mark not in marks)
        ]
        if prepend_summary and self._compressed_summary:
            return [Msg("user", self._compressed_summary, "user"), *found]
        return found

    async def retrieve(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: AgentScope before 1.0.10 wants this method, and does not use it."""

    async def delete(self, msg_ids: Iterable[str], **kwargs: Any) -> int:
        """Remove messages by their ids, and say how many there were."""
        return await self._remove(set(msg_ids))

    async def delete_by_mark(self, mark: str | list[str], *args: Any, **kwargs: Any) -> int:
        """Remove messages by their marks, and say how many there were."""
        meant = set(_several(mark))
        return await self._remove({message.id for message, marks in await self._read() if meant & set(marks)})

    async def size(self) -> int:
        """How many messages there are."""
        return len(await self._read())

    async def clear(self) -> None:
        """Forget all messages; the session stays."""
        await self._service.delete_messages(self._session)
        self._known = None
        self._marks.clear()

    async def update_messages_mark(
        self, new_mark: str | None, old_mark: str | None = None, msg_ids: list[str] | None = None
    ) -> int:
        """Put one mark in place of another on the messages of these ids, and say how many changed."""
        changed = 0
        for message, marks in await self._read():
            if (msg_ids is None or message.id in msg_ids) and (old_mark is None or old_mark in marks):
                wanted = [each for each in marks if each not in (old_mark, new_mark)]
                wanted += [new_mark] if new_mark else []
                changed += wanted != marks
                self._marks[message.id] = wanted
        return changed

    async def update_compressed_summary(self, summary: str) -> None:
        """Keep this summary of what was said."""
        self._compressed_summary = summary

    def state_dict(self) -> dict[str, Any]:
        """What is not in the service: the summary and the marks."""
        return {"_compressed_summary": self._compressed_summary, "marks": self._marks}

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> None:
        """Go on with a summary and marks; messages in the state are another memory's, and left there."""
        self._compressed_summary = state_dict.get("_compressed_summary") or ""
        self._marks = {message: list(marks) for message, marks in (state_dict.get("marks") or {}).items()}

    async def _read(self) -> list[tuple[Msg, list[str]]]:
        session = await self._service.find_session(self._session.user_id, self._session.id)
        told = session.messages if session else []
        found = list(zip(_messages(told), told, strict=True))
        self._known = {message.id for message, _ in found}
        return [(message, self._marks.get(message.id, entry.get("marks") or [])) for message, entry in found]

    async def _ids(self) -> set[str]:
        if self._known is None:
            self._known = {message.id for message, _ in await self._read()}
        return self._known

    async def _remove(self, ids: set[str]) -> int:
        if not ids:
            return 0
        for message_id in ids:
            self._marks.pop(message_id, None)
        if self._known is not None:
            self._known -= ids
        return await self._service.delete_messages(self._session, ids)


class AgentScopeLongTermMemory(LongTermMemoryBase):
    """What a service remembers of a user, for an agent of either mode; each message is remembered once.

    A reminder is found by the words of the question, over all sessions of the user.
    """

    def __init__(self, service: MemoryService, user_id: str, session_id: str | None = None) -> None:
        super().__init__()
        self._service = service
        self._user_id = user_id
        self._session_id = session_id

    async def record(self, msgs: Sequence[Msg | None], **kwargs: Any) -> None:
        """Remember what was said in words; agents give the whole conversation each time."""
        said = {message.id: message.to_dict() for message in msgs if message is not None and message.name != _REMINDER}
        known = {message.get("id") for message in await self._service.session_memory(self._user_id, self._session_id)}
        new = [message for message in said.values() if message["id"] not in known and text_of(message)]
        await self._service.add_memory(self._user_id, new, self._session_id)

    async def retrieve(self, msg: Msg | list[Msg] | None, limit: int = 5, **kwargs: Any) -> str:
        """What is remembered that holds words of the last message; empty when nothing does."""
        asked = [msg] if isinstance(msg, Msg) else msg or []
        return "\n".join(await self._found([message.to_dict() for message in asked], limit))

    async def record_to_memory(self, thinking: str, content: list[str], **kwargs: Any) -> ToolResponse:
        """Use this function to record important information that you may need later.

        Args:
            thinking (str): Why it is worth to be recorded.
            content (list[str]): What to record, each entry specific and concise: who, when, where, what and why.
        """
        told = [Msg("assistant", text, "assistant").to_dict() for text in content]
        await self._service.add_memory(self._user_id, told, self._session_id)
        return _answer(f"Recorded {len(told)} entries.")

    async def retrieve_from_memory(self, keywords: list[str], limit: int = 5, **kwargs: Any) -> ToolResponse:
        """Retrieve what was recorded before, by keywords.

        Args:
            keywords (list[str]): What to look for, each specific and concise: a name, a date, a place.
            limit (int): The most entries for each keyword.
        """
        found: dict[str, None] = {}
        for keyword in keywords:
            found.update(dict.fromkeys(await self._found([{"role": "user", "content": keyword}], limit)))
        return _answer("\n".join(found) or "Nothing was recorded about that.")

    async def _found(self, asked: list[dict[str, Any]], limit: int) -> list[str]:
        if not asked:
            return []
        return list(map(text_of, await self._service.search_memory(self._user_id, asked, {"top_k": limit})))


def _several(marks: str | list[str] | None) -> list[str]:
    return [marks] if isinstance(marks, str) else list(marks or ())


def _messages(told: Sequence[dict[str, Any]]) -> list[Msg]:
    """Messages of AgentScope as they were, and others in its words."""
    return [Msg.from_dict(entry) if "timestamp" in entry and "name" in entry else _foreign(entry) for entry in told]


def _foreign(entry: dict[str, Any]) -> Msg:
    (message,) = agentscope_messages([Message.model_validate(entry)])
    return message


def _answer(text: str) -> ToolResponse:
    return ToolResponse(content=[TextBlock(type="text", text=text)])
