"""What clients of both lines ask for, and messages as questions to an agent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.requests import Request

from agentrun._serving.openai_error import ApiError
from agentrun.server.authentication import shown_key
from agentrun.server.model import AgentRequest, Message, MessageRole
from agentrun.server.protocols.a2a.growing import Growing
from agentrun.server.protocols.a2a.parts import chat_content, read_part
from agentrun.server.protocols.a2a.rpc import INVALID_PARAMS, RpcError
from agentrun.server.protocols.a2a.task import Task, as_json
from agentrun.server.protocols.reading import validated

Json = dict[str, Any]
P = TypeVar("P", bound=BaseModel)

_ROLES = {"user": "ROLE_USER", "agent": "ROLE_AGENT"}
_SAID_BY = {"ROLE_USER": MessageRole.USER, "ROLE_AGENT": MessageRole.ASSISTANT}


class _Params(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class _Message(_Params):
    message_id: str = Field(min_length=1)
    role: str
    parts: list[Any] = Field(min_length=1)
    context_id: str | None = None
    task_id: str | None = None
    reference_task_ids: list[str] | None = None
    extensions: list[str] | None = None
    metadata: Json | None = None


class _Configuration(_Params):
    blocking: bool | None = None  # In 0.3.
    return_immediately: bool = False  # In 1.0.
    history_length: int | None = Field(default=None, ge=0)
    push_notification_config: Any = None  # In 0.3.
    task_push_notification_config: Any = None  # In 1.0.


class SendParams(_Params):
    """A message, and how it is to be answered."""

    message: _Message
    configuration: _Configuration = _Configuration()
    metadata: Json | None = None

    @property
    def wants_push(self) -> bool:
        """Whether updates are to be sent to a URL."""
        settings = self.configuration
        return bool(settings.push_notification_config or settings.task_push_notification_config)

    @property
    def waits(self) -> bool:
        """Whether the answer is awaited."""
        return self.configuration.blocking is not False and not self.configuration.return_immediately

    def said(self) -> Json:
        """The message in the words of 1.0; raises RpcError."""
        message = self.message
        role = _ROLES.get(message.role, message.role)
        if role not in _SAID_BY:
            raise RpcError(INVALID_PARAMS, f"message.role is {message.role!r}, not one of {[*_ROLES, *_SAID_BY]}")
        parts = [read_part(part, f"message.parts[{number}]") for number, part in enumerate(message.parts)]
        more = {"metadata": message.metadata, "extensions": message.extensions}
        more["referenceTaskIds"] = message.reference_task_ids
        said = {"messageId": message.message_id, "role": role, "parts": parts}
        return {**said, **{name: value for name, value in more.items() if value}}


class TaskParams(_Params):
    """Which task is meant, and how much of it is to be shown."""

    id: str = Field(min_length=1)
    history_length: int | None = Field(default=None, ge=0)


class ListParams(_Params):
    """Which tasks are meant."""

    context_id: str = ""
    status: str = ""
    page_size: int = Field(default=50, ge=1, le=100)
    page_token: str = ""
    history_length: int | None = Field(default=None, ge=0)
    status_timestamp_after: str | None = None
    include_artifacts: bool = False


def read(model: type[P], params: Json) -> P:
    """The parameters of a request; raises RpcError, which says which field is wrong."""
    try:
        return validated(model, params, "params")
    except ApiError as error:
        raise RpcError(INVALID_PARAMS, error.message) from error


def owner_of(request: Request) -> str | None:
    """Whose tasks a client may list: those of the key that it shows, of which nothing can be read here."""
    shown = shown_key(request.headers)
    return hashlib.sha256(shown.encode()).hexdigest() if shown else None


def question(params: SendParams, task: Task, before: Iterable[Task], request: Request, *, stream: bool) -> AgentRequest:
    """What an agent is asked: the message of a task, with what was said `before` as its `history`."""
    metadata = {**(params.metadata or {}), **(params.message.metadata or {})}
    user = metadata.get("user_id", metadata.get("userId"))
    asked = AgentRequest(
        protocol="a2a",
        messages=[_chat_message(as_json(task.history[-1]))],
        stream=stream,
        session_id=task.context_id,
        user_id=None if user is None else str(user),
        raw_request=request,
    )
    history = [message for earlier in before for message in _conversation(earlier)]
    more = {"task_id": task.id, "context_id": task.context_id, "metadata": metadata, "history": history}
    return asked.with_more({**more, "reference_task_ids": params.message.reference_task_ids or []})


def _conversation(task: Task) -> list[Message]:
    """What was said in a task, by both sides, without what was only told on the way."""
    said = [message for message in task.history if isinstance(message, dict) and message["role"] == "ROLE_USER"]
    answers: list[Growing] = task.artifacts
    return [_chat_message(message) for message in said] + [
        Message(role=MessageRole.ASSISTANT, content=chat_content(answer.as_json()["parts"])) for answer in answers
    ]


def _chat_message(message: Json) -> Message:
    role, content = _SAID_BY[message["role"]], chat_content(message["parts"])
    return Message(id=message["messageId"], role=role, content=content)
