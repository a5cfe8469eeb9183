"""Requests for chat completions as questions to an agent."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from agentrun._serving.openai_error import ApiError, bad_request
from agentrun._serving.values import is_list, is_object
from agentrun.server.model import AgentRequest, Message, Tool
from agentrun.server.protocols.protocol import SESSION_HEADER

M = TypeVar("M", bound=BaseModel)

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
        tools=[_read(Tool, entry, f"tools[{index}]") for index, entry in enumerate(_list(body, "tools"))] or None,
        session_id=request.headers.get(SESSION_HEADER),
        user_id=None if body.get("user") is None else str(body["user"]),
        raw_request=request,
    )
    return found.with_more({name: value for name, value in body.items() if name not in _READ})


def _messages(body: dict[str, Any]) -> list[Any]:
    if "messages" not in body:
        raise bad_request("Missing required field: messages", "missing_required_parameter", "messages")
    messages = _list(body, "messages")
    if not messages:
        raise bad_request("messages is empty: there is nothing to answer", "empty_array", "messages")
    return messages


def _list(body: dict[str, Any], name: str) -> list[Any]:
    found = body.get(name)
    if found is None:
        return []
    if not is_list(found):
        raise bad_request(f"{name} is a {type(found).__name__}, not a list", "invalid_type", name)
    return found


def _message(entry: Any, path: str) -> Message:
    if is_object(entry) and entry.get("role") in _ROLES:
        entry = {**entry, "role": _ROLES[entry["role"]]}
    return _read(Message, entry, path)


def _read(model: type[M], entry: Any, path: str) -> M:
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        raise _invalid(error, path) from error


def _invalid(error: ValidationError, path: str) -> ApiError:
    found = error.errors(include_url=False)[0]
    # Which member of a union was tried is no part of the document.
    where = [part for part in found["loc"] if not (isinstance(part, str) and ("[" in part or part == "str"))]
    full = path + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return bad_request(f"{full}: {found['msg']}", "invalid_value", full)
