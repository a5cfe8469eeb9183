"""A chat completion on the wire: one JSON body, or a stream of events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypedDict

from typing_extensions import NotRequired

from agentrun.emulator.scripted.answer import Event, call_id, dump, encode_text
from agentrun.emulator.scripted.conversation import Conversation, ToolCall
from agentrun.emulator.scripted.errors import as_api_error
from agentrun.emulator.scripted.pieces import StreamBreak, split_arguments, split_text, until_break
from agentrun.emulator.scripted.reply import FinishReason, Reply, Usage, count_usage

DONE = b"data: [DONE]\n\n"


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
    """The message of the model; `reasoning_content` and `tool_calls` are absent when there are none."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str
    tool_calls: list[ToolCallFields]


class ChoiceFields(TypedDict):
    """The only choice."""

    index: int
    message: AssistantFields
    logprobs: None
    finish_reason: FinishReason


class PromptDetails(TypedDict):
    """What is known of the prompt's tokens."""

    cached_tokens: int


class CompletionDetails(TypedDict):
    """What is known of the completion's tokens."""

    reasoning_tokens: int


class UsageFields(TypedDict):
    """What the request cost, in tokens; details are absent when there is nothing to tell."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: NotRequired[PromptDetails]
    completion_tokens_details: NotRequired[CompletionDetails]


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
    include_usage: bool = False

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

    def events(self) -> Iterator[Event]:
        """The answer as server-sent events: role, reasoning, content, tool calls, finish reason, usage, end."""
        events = self._events()
        if self.reply.break_after is None:
            return events
        return self._broken(until_break(events, self.reply.break_after))

    def _events(self) -> Iterator[Event]:
        head = f"data: {self._frame()},"
        # Only what differs between two events is dumped for each; this is what makes long streams cheap.
        start, usage = f'{head}"choices":[{{"index":0,"delta":', ',"usage":null' if self.include_usage else ""
        end = f',"logprobs":null,"finish_reason":null}}]{usage}}}\n\n'
        for delta, is_token in self._deltas():
            yield encode_text(f"{start}{delta}{end}"), is_token
        finish = dump(self.reply.finished)
        yield encode_text(f'{start}{{}},"logprobs":null,"finish_reason":{finish}}}]{usage}}}\n\n'), False
        if self.include_usage:
            yield encode_text(f'{head}"choices":[],"usage":{dump(self._usage())}}}\n\n'), False
        yield DONE, False

    def _broken(self, events: Iterator[Event]) -> Iterator[Event]:
        try:
            yield from events
        except StreamBreak:
            if self.reply.error is None:
                raise
            yield encode_text(f"data: {dump(as_api_error(self.reply.error).body())}\n\n"), False

    @property
    def _id(self) -> str:
        return f"chatcmpl-{self.conversation.fingerprint}"

    @property
    def _content(self) -> str | None:
        return None if self.reply.tool_calls and not self.reply.content else self.reply.content

    def _message(self) -> AssistantFields:
        message: AssistantFields = {"role": "assistant", "content": self._content, "refusal": None}
        if self.reply.reasoning:
            message["reasoning_content"] = self.reply.reasoning
        if self.reply.tool_calls:
            message["tool_calls"] = list(self._calls())
        return message

    def _usage(self) -> UsageFields:
        usage: Usage = self.reply.usage or count_usage(self.conversation, self.reply)
        fields: UsageFields = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }
        if usage.cached_tokens:
            fields["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
        if usage.reasoning_tokens:
            fields["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
        return fields

    def _frame(self) -> str:
        shared = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.conversation.model,
        }
        return dump(shared).removesuffix("}")

    def _deltas(self) -> Iterator[tuple[str, bool]]:
        """The JSON of each delta, and whether it is a token."""
        yield dump({"role": "assistant", "content": None if self._content is None else "", "refusal": None}), False
        for piece in split_text(self.reply.reasoning):
            yield f'{{"reasoning_content":{dump(piece)}}}', True
        for piece in split_text(self.reply.content):
            yield f'{{"content":{dump(piece)}}}', True
        for index, call in enumerate(self._calls()):
            yield from _call_deltas(index, call)

    def _calls(self) -> Iterator[ToolCallFields]:
        for index, call in enumerate(self.reply.tool_calls):
            yield {"id": call_id(self.conversation, index, call), "type": "function", "function": _function(call)}


def _function(call: ToolCall) -> FunctionFields:
    return {"name": call.name, "arguments": call.arguments_json}


def _call_deltas(index: int, call: ToolCallFields) -> Iterator[tuple[str, bool]]:
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    opening = {"index": index, **call, "function": {"name": name, "arguments": ""}}
    yield dump({"tool_calls": [opening]}), False
    # One call after the other, as OpenAI sends them: its client takes a change of the index for the end of a call.
    for piece in split_arguments(arguments):
        yield dump({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}), True
