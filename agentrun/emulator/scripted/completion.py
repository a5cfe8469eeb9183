"""A chat completion on the wire: one JSON body, or a stream of events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypedDict

from agentrun.emulator.scripted.conversation import Conversation, ToolCall
from agentrun.emulator.scripted.reply import FinishReason, Reply, Usage, count_usage

DONE = b"data: [DONE]\n\n"

# A word with the space before it; scripts without spaces are cut every 16 characters, so that they stream as well.
_WORD = re.compile(r"\s*\S{1,16}|\s+")
_ARGUMENTS_PIECE = 16


class FunctionFields(TypedDict):
    """The function of a tool call."""

    name: str
    arguments: str


class ToolCallFields(TypedDict):
    """A tool call."""

    id: str
    type: Literal["function"]
    function: FunctionFields


class AssistantFields(TypedDict, total=False):
    """The message of the model; `tool_calls` is absent when there are none."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[ToolCallFields]


class ChoiceFields(TypedDict):
    """The only choice."""

    index: int
    message: AssistantFields
    logprobs: None
    finish_reason: FinishReason


class UsageFields(TypedDict):
    """What the request cost, in tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionFields(TypedDict):
    """The body of an answer that does not stream."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChoiceFields]
    usage: UsageFields


@dataclass(frozen=True)
class Completion:
    """The answer to one request; `created` in seconds since 1970. Its ids depend on the conversation alone."""

    conversation: Conversation
    reply: Reply
    created: int

    def body(self) -> CompletionFields:
        """The whole answer."""
        return {
            "id": self._id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.conversation.model,
            "choices": [
                {"index": 0, "message": self._message(), "logprobs": None, "finish_reason": self.reply.finished}
            ],
            "usage": self._usage(),
        }

    def events(self, *, include_usage: bool) -> Iterator[bytes]:
        """The answer as server-sent events: role, pieces of content, tool calls, finish reason, usage, end."""
        head = f"data: {self._frame()},"
        # Only what differs between two events is dumped for each; this is what makes long streams cheap.
        start, usage = f'{head}"choices":[{{"index":0,"delta":', ',"usage":null' if include_usage else ""
        end = f',"logprobs":null,"finish_reason":null}}]{usage}}}\n\n'
        for delta in self._deltas():
            yield _encode(f"{start}{dump(delta)}{end}")
        finish = dump(self.reply.finished)
        yield _encode(f'{start}{{}},"logprobs":null,"finish_reason":{finish}}}]{usage}}}\n\n')
        if include_usage:
            yield _encode(f'{head}"choices":[],"usage":{dump(self._usage())}}}\n\n')
        yield DONE

    @property
    def _id(self) -> str:
        return f"chatcmpl-{self.conversation.fingerprint}"

    @property
    def _content(self) -> str | None:
        return None if self.reply.tool_calls and not self.reply.content else self.reply.content

    def _message(self) -> AssistantFields:
        message: AssistantFields = {"role": "assistant", "content": self._content, "refusal": None}
        if self.reply.tool_calls:
            message["tool_calls"] = list(self._calls())
        return message

    def _usage(self) -> UsageFields:
        usage: Usage = self.reply.usage or count_usage(self.conversation, self.reply)
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }

    def _frame(self) -> str:
        shared = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.conversation.model,
        }
        return dump(shared).removesuffix("}")

    def _deltas(self) -> Iterator[object]:
        yield {"role": "assistant", "content": None if self._content is None else "", "refusal": None}
        for piece in _WORD.finditer(self.reply.content):
            yield {"content": piece.group()}
        for index, call in enumerate(self._calls()):
            yield from _call_deltas(index, call)

    def _calls(self) -> Iterator[ToolCallFields]:
        for index, call in enumerate(self.reply.tool_calls):
            yield {
                "id": call.id or f"call_{self.conversation.fingerprint}{index}",
                "type": "function",
                "function": _function(call),
            }


def dump(value: object) -> str:
    """Write compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encode(value: object) -> bytes:
    """Write compact JSON as UTF-8."""
    return _encode(dump(value))


def _function(call: ToolCall) -> FunctionFields:
    return {"name": call.name, "arguments": call.arguments_json}


def _call_deltas(index: int, call: ToolCallFields) -> Iterator[object]:
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    opening = {"index": index, **call, "function": {"name": name, "arguments": ""}}
    yield {"tool_calls": [opening]}
    for start in range(0, len(arguments), _ARGUMENTS_PIECE):
        piece = arguments[start : start + _ARGUMENTS_PIECE]
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _encode(text: str) -> bytes:
    # JSON may carry half a surrogate pair, which UTF-8 cannot: it becomes a question mark, not a broken answer.
    return text.encode("utf-8", "replace")
