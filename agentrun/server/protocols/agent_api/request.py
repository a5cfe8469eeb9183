"""Requests of the Agent API: read from the wire, or refused with what to change."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from agentrun.errors import InvalidInputError
from agentrun.server.protocols.agent_api.conversation import chat_messages
from agentrun.server.protocols.agent_api.model import AgentRequest, response_id

_HINTS = {
    "json_invalid": "Send a JSON object, as in {example}",
    "missing": "The least that a request has is {example}",
    "model_type": "Send a JSON object, as in {example}",
    "list_type": "It is a list, as in {example}",
    "union_tag_invalid": "The type of a part is one of text, image, data, audio, video, file and refusal",
    "union_tag_not_found": 'Every part has a type, as in {{"type": "text", "text": "Hello"}}',
}
_EXAMPLE = '{"input": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]}'


def read_request(body: bytes | str | Mapping[str, Any]) -> AgentRequest:
    """A request out of its JSON; raises InvalidInputError, which names the field and what to change.

    A request without an id, a session or a user gets names of its own, so that two of them never meet.
    """
    try:
        if isinstance(body, (bytes, str)):
            return named(AgentRequest.model_validate_json(body))
        return named(AgentRequest.model_validate(body))
    except ValidationError as error:
        raise _refusal(error) from None


def named(request: AgentRequest) -> AgentRequest:
    """The same request with an id, a session and a user; who does not say who they are is the user of their session."""
    session = request.session_id or str(uuid.uuid4())
    names = {"id": request.id or response_id(), "session_id": session, "user_id": request.user_id or session}
    return request.model_copy(update=names)


def _refusal(error: ValidationError) -> InvalidInputError:
    problem = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in problem["loc"])
    hint = _HINTS.get(problem["type"])
    where = f"AgentRequest.{path}" if path else "AgentRequest"
    return InvalidInputError(
        f"{where}: {problem['msg']}", field=path, hint=hint.format(example=_EXAMPLE) if hint else None
    )


def chat_request(request: AgentRequest) -> dict[str, Any]:
    """What an agent is asked, in the words of chats: `messages`, `tools`, `stream` and all else that was sent.

    Raises InvalidInputError for a message that cannot be said.
    """
    sent = request.model_dump(exclude={"input"}, exclude_unset=True)
    chat = {"protocol": "agent_api", "messages": chat_messages(request.input), "stream": request.stream}
    return {**sent, **chat}
