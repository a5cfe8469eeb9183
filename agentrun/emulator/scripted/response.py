"""An answer of the responses API on the wire: one JSON body, or a stream of numbered events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from agentrun.emulator.scripted.answer import Event, call_id, dump, encode_text
from agentrun.emulator.scripted.conversation import Conversation, ToolCall
from agentrun.emulator.scripted.errors import as_api_error
from agentrun.emulator.scripted.pieces import StreamBreak, split_arguments, split_text, until_break
from agentrun.emulator.scripted.reply import Reply, ReplyError, Usage, count_usage

Fields: TypeAlias = dict[str, object]
_Named: TypeAlias = tuple[tuple[str, Mapping[str, object]], bool]
"""The type of an event, its fields, and whether it is a token."""

# What a request may say and an answer repeats, with what the service takes when the request does not say it.
_REPEATED: Mapping[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(frozen=True)
class Response:
    """The answer to one request; `created` in seconds since 1970. Its ids depend on the conversation alone."""

    conversation: Conversation
    reply: Reply
    created: int

    def body(self) -> Fields:
        """The whole answer."""
        reason = _INCOMPLETE.get(self.reply.finished)
        return {
            **self._frame("incomplete" if reason else "completed"),
            "incomplete_details": {"reason": reason} if reason else None,
            "output": [item.done() for item in self._items()],
            "usage": _usage_fields(self.reply.usage or count_usage(self.conversation, self.reply)),
        }

    def events(self) -> Iterator[Event]:
        """The answer as server-sent events: created, in progress, each item with its pieces, the whole answer."""
        named = self._events()
        if self.reply.break_after is not None:
            named = self._broken(until_break(named, self.reply.break_after))
        for number, ((kind, fields), is_token) in enumerate(named):
            numbered = {"type": kind, "sequence_number": number, **fields}
            yield encode_text(f"event: {kind}\ndata: {dump(numbered)}\n\n"), is_token

    def _events(self) -> Iterator[_Named]:
        begun = {"response": self._frame("in_progress")}
        yield ("response.created", begun), False
        yield ("response.in_progress", begun), False
        yield from chain.from_iterable(item.events(index) for index, item in enumerate(self._items()))
        body = self.body()
        yield (f"response.{body['status']}", {"response": body}), False

    def _broken(self, named: Iterator[_Named]) -> Iterator[_Named]:
        try:
            yield from named
        except StreamBreak:
            if self.reply.error is None:
                raise
            yield from self._failed(self.reply.error)

    def _failed(self, error: ReplyError) -> Iterator[_Named]:
        told = as_api_error(error)
        yield ("error", {"code": told.code, "message": told.message, "param": told.param}), False
        body = {**self._frame("failed"), "error": {"code": told.code or "server_error", "message": told.message}}
        yield ("response.failed", {"response": body}), False

    def _frame(self, status: str) -> Fields:
        repeated = {name: self.conversation.parameters.get(name) for name in _REPEATED}
        return {
            "id": f"resp_{self.conversation.fingerprint}",
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": self.conversation.model,
            "output": [],
            "previous_response_id": None,
            "service_tier": "default",
            "store": False,
            "usage": None,
            **{name: _REPEATED[name] if value is None else value for name, value in repeated.items()},
        }

    def _items(self) -> Iterator[_Item]:
        fingerprint, reply = self.conversation.fingerprint, self.reply
        if reply.reasoning:
            yield _Reasoning(f"rs_{fingerprint}", reply.reasoning)
        if reply.content or not reply.tool_calls:
            yield _Said(f"msg_{fingerprint}", reply.content)
        for index, call in enumerate(reply.tool_calls):
            yield _Called(f"fc_{fingerprint}{index}", call, call_id(self.conversation, index, call))


@dataclass(frozen=True)
class _Reasoning:
    id: str
    text: str

    def done(self) -> Fields:
        return {"id": self.id, "type": "reasoning", "summary": [self._part(self.text)]}

    def events(self, index: int) -> Iterator[_Named]:
        place: Fields = {"item_id": self.id, "output_index": index, "summary_index": 0}
        yield _added(index, {**self.done(), "summary": []})
        yield ("response.reasoning_summary_part.added", {**place, "part": self._part("")}), False
        for piece in split_text(self.text):
            yield ("response.reasoning_summary_text.delta", {**place, "delta": piece}), True
        yield ("response.reasoning_summary_text.done", {**place, "text": self.text}), False
        yield ("response.reasoning_summary_part.done", {**place, "part": self._part(self.text)}), False
        yield _done(index, self.done())

    @staticmethod
    def _part(text: str) -> Fields:
        return {"type": "summary_text", "text": text}


@dataclass(frozen=True)
class _Said:
    id: str
    text: str

    def done(self) -> Fields:
        return {**self._frame("completed"), "content": [self._part(self.text)]}

    def events(self, index: int) -> Iterator[_Named]:
        place: Fields = {"item_id": self.id, "output_index": index, "content_index": 0}
        yield _added(index, self._frame("in_progress"))
        yield ("response.content_part.added", {**place, "part": self._part("")}), False
        for piece in split_text(self.text):
            yield ("response.output_text.delta", {**place, "delta": piece, "logprobs": []}), True
        yield ("response.output_text.done", {**place, "text": self.text, "logprobs": []}), False
        yield ("response.content_part.done", {**place, "part": self._part(self.text)}), False
        yield _done(index, self.done())

    def _frame(self, status: str) -> Fields:
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": []}

    @staticmethod
    def _part(text: str) -> Fields:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


@dataclass(frozen=True)
class _Called:
    id: str
    call: ToolCall
    call_id: str

    def done(self) -> Fields:
        return self._frame("completed", self.call.arguments_json)

    def events(self, index: int) -> Iterator[_Named]:
        place: Fields = {"item_id": self.id, "output_index": index}
        arguments = self.call.arguments_json
        yield _added(index, self._frame("in_progress", ""))
        for piece in split_arguments(arguments):
            yield ("response.function_call_arguments.delta", {**place, "delta": piece}), True
        whole = {**place, "name": self.call.name, "arguments": arguments}
        yield ("response.function_call_arguments.done", whole), False
        yield _done(index, self.done())

    def _frame(self, status: str, arguments: str) -> Fields:
        named = {"name": self.call.name, "arguments": arguments}
        return {"id": self.id, "type": "function_call", "status": status, "call_id": self.call_id, **named}


_Item: TypeAlias = _Reasoning | _Said | _Called


def _added(index: int, item: Fields) -> _Named:
    return ("response.output_item.added", {"output_index": index, "item": item}), False


def _done(index: int, item: Fields) -> _Named:
    return ("response.output_item.done", {"output_index": index, "item": item}), False


def _usage_fields(usage: Usage) -> Fields:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
