"""Requests for responses: read, or refused with what to change; and the object that is to become their answer."""

from __future__ import annotations

import time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from agentrun._serving.openai_error import bad_request
from agentrun.server.model import Tool
from agentrun.server.protocols.reading import validated
from agentrun.server.protocols.responses.items import normalized
from agentrun.server.services.base import identifier

_DEFAULT_MODEL = "agentrun"
Item = dict[str, Any]
# What a response says of its request, and what is said where that says nothing.
_ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


class CreateRequest(BaseModel):
    """A request for a response; fields that say nothing to the server are kept for the agent."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    input: str | list[Any] | None = None
    model: str | None = None
    instructions: str | list[Any] | None = None
    stream: StrictBool | None = None
    background: StrictBool | None = None
    store: StrictBool | None = None
    metadata: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    previous_response_id: str | None = Field(default=None, min_length=1)
    conversation: str | dict[str, Any] | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None

    @property
    def conversation_id(self) -> str | None:
        """The id of the conversation, whichever way it is given."""
        found = self.conversation
        return str(found.get("id") or "") if isinstance(found, dict) else found

    @property
    def is_stored(self) -> bool:
        """Whether the answer is kept."""
        return self.store is not False

    def items(self) -> list[Item]:
        """The input as items, each with its type and an id; raises ApiError."""
        if self.input is None:
            if self.previous_response_id or self.conversation:
                return []
            raise bad_request("Missing required field: input", "missing_required_parameter", "input")
        if self.input == [] and not (self.previous_response_id or self.conversation):
            raise bad_request("input is empty: there is nothing to answer", "empty_array", "input")
        return normalized(self.input, "input")

    def instruction_items(self) -> list[Item]:
        """The instructions as items, which are for this response alone; raises ApiError."""
        if isinstance(self.instructions, str):
            return normalized([{"role": "system", "content": self.instructions}], "instructions")
        return normalized(self.instructions or [], "instructions")

    def chat_tools(self) -> list[Tool] | None:
        """The tools in the words of chats; one that is no function keeps its definition."""
        return [_tool(tool) for tool in self.tools or ()] or None

    def sent(self) -> dict[str, Any]:
        """All that was sent and has no place of its own in what an agent is asked."""
        return self.model_dump(exclude_unset=True, exclude={"stream", "tools", "user"})

    def response(self, response_id: str) -> dict[str, Any]:
        """The response before the agent has done anything."""
        sent = self.model_dump(exclude_unset=True)
        echoed = {name: default if sent.get(name) is None else sent[name] for name, default in _ECHOED.items()}
        conversation = {"conversation": {"id": self.conversation_id} if self.conversation_id else None}
        head = {"id": response_id, "object": "response", "created_at": int(time.time())}
        state = {"status": "queued" if self.background else "in_progress", "completed_at": None, "error": None}
        result = {"incomplete_details": None, "output": list[Item](), "usage": None}
        return {**head, **state, **result, "model": self.model or _DEFAULT_MODEL, **conversation, **echoed}


def read(document: dict[str, Any]) -> CreateRequest:
    """A request out of its JSON; raises ApiError or InvalidInputError, which say which field is wrong."""
    asked = validated(CreateRequest, document, "")
    if asked.previous_response_id and asked.conversation:
        message = "previous_response_id and conversation cannot be given together"
        raise bad_request(message, "mutually_exclusive_parameters", "previous_response_id")
    if asked.conversation is not None:
        identifier(asked.conversation_id, "conversation")
    if asked.user is not None:
        identifier(asked.user, "user")
    if asked.background and not asked.is_stored:
        raise bad_request("What runs in the background has to be stored", "invalid_value", "background")
    return asked


def _tool(tool: dict[str, Any]) -> Tool:
    kind = str(tool.get("type") or "function")
    return Tool(type=kind, function={name: value for name, value in tool.items() if name != "type"})
