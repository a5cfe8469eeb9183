"""Requests for chat completions as questions to an agent."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from agentrun._core.values import is_object
from agentrun._serving.openai_error import bad_request
from agentrun.server.model import AgentRequest, Message, Tool
from agentrun.server.protocols.protocol import SESSION_HEADER
from agentrun.server.protocols.reading import listed, validated

# Newer and older names of the protocol for roles that agents know.
_ROLES = {"developer": "system", "function": "tool"}
_READ = ("messages", "stream", "tools", "user")


def read(request: Request, body: dict[str, Any]) -> AgentRequest:
    """The question of a request; raises ApiError, which says which field is wrong."""
    if body.get("n") not in (None, 1):
        raise bad_request("An agent gives one answer: n must be 1", "unsupported_value", "n")
    stream = body.get("stream")
    if stream not in (None, True, False):
        raise bad_request("stream must be true or false", "invalid_type", "stream")
    found = AgentRequest(
        protocol="openai",
        messages=[_message(entry, f"messages[{index}]") for index, entry in enumerate(_messages(body))],
        stream=bool(stream),
        tools=[validated(Tool, entry, f"tools[{index}]") for index, entry in enumerate(listed(body, "tools"))] or None,
        session_id=request.headers.get(SESSION_HEADER),
        user_id=None if body.get("user") is None else str(body["user"]),
        raw_request=request,
    )
    return found.with_more({name: value for name, value in body.items() if name not in _READ})


def _messages(body: dict[str, Any]) -> list[Any]:
    if "messages" not in body:
        raise bad_request("Missing required field: messages", "missing_required_parameter", "messages")
    messages = listed(body, "messages")
    if not messages:
        raise bad_request("messages is empty: there is nothing to answer", "empty_array", "messages")
    return messages


def _message(entry: Any, path: str) -> Message:
    if is_object(entry) and entry.get("role") in _ROLES:
        entry = {**entry, "role": _ROLES[entry["role"]]}
    return validated(Message, entry, path)
