"""What a scripted model answers: reasoning, text, JSON, tool calls or an error, with what they cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from agentrun.emulator.scripted.conversation import Conversation, ToolCall
from agentrun.emulator.scripted.latency import Latency

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]

_STATUS_TEXT = {
    400: ("invalid_request_error", "invalid_request", "The request is invalid."),
    401: ("invalid_request_error", "invalid_api_key", "The API key is not valid."),
    403: ("invalid_request_error", "permission_denied", "The API key may not use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "The rate limit is reached."),
    503: ("server_error", "overloaded", "The model is overloaded."),
}


class _FromSchema(Enum):
    FROM_SCHEMA = "from schema"


FROM_SCHEMA = _FromSchema.FROM_SCHEMA
"""The JSON of a reply that is made from the schema of the request."""

Json: TypeAlias = Mapping[str, object] | Sequence[object]


@dataclass(frozen=True)
class Usage:
    """Tokens of one request and its answer.

    `cached_tokens` are those of the prompt that were read from a cache, `reasoning_tokens` those of the completion
    that were thought and not said. Raises ValueError for a part that is more than its whole, or a negative number.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.cached_tokens <= self.prompt_tokens:
            raise ValueError(
                f"cached_tokens={self.cached_tokens}: they are some of the {self.prompt_tokens} prompt_tokens"
            )
        if not 0 <= self.reasoning_tokens <= self.completion_tokens:
            some = f"they are some of the {self.completion_tokens} completion_tokens"
            raise ValueError(f"reasoning_tokens={self.reasoning_tokens}: {some}")

    @property
    def total_tokens(self) -> int:
        """Both together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class ReplyError:
    """An HTTP error to answer with: `ReplyError(429, retry_after=2)`.

    `status` is 400 to 599, `retry_after` in seconds; what is left out gets the usual text of the status. Raises
    ValueError for another status.
    """

    status: int = 500
    message: str = ""
    code: str | None = None
    type: str = ""
    param: str | None = None
    retry_after: float | None = None

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise ValueError(f"status={self.status}: an error status is 400 to 599")
        usual = "server_error" if self.status >= 500 else "invalid_request_error"
        kind, code, message = _STATUS_TEXT.get(self.status, (usual, None, f"The model failed with {self.status}."))
        object.__setattr__(self, "type", self.type or kind)
        object.__setattr__(self, "code", self.code or code)
        object.__setattr__(self, "message", self.message or message)


@dataclass(frozen=True)
class Reply:
    """One answer of the model: text, tool calls or both, or else an error.

    `reasoning` is thought before the answer. `json` is content as a value: it must have the shape that the request
    wants, if it wants one. `finish_reason` follows from the rest unless given, `usage` is counted by `count_tokens`
    unless given, `delay` is in seconds before the first byte, and `latency` is the script's unless given.

    With `break_after` a stream ends after so many tokens, which are its pieces: by `error` as an event if there is
    one, else because the connection is cut. An answer that does not stream fails or is cut as a whole.

    Raises ValueError for an error that comes with content and no `break_after`, for content that comes twice, and for
    a negative number; TypeError for JSON that is no object or array.
    """

    content: str = ""
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: ReplyError | None = None
    delay: float = 0.0
    reasoning: str = ""
    json: Json | Literal[_FromSchema.FROM_SCHEMA] | None = None
    latency: Latency | None = None
    break_after: int | None = None

    def __post_init__(self) -> None:
        if self.json is not None and self.json is not FROM_SCHEMA:
            self._write_json(self.json)
        said = self.content or self.reasoning or self.tool_calls or self.json is not None
        if self.error is not None and said and self.break_after is None:
            text = "a reply with an error has no content and no tool_calls: use two rules, or break_after"
            raise ValueError(text)
        if self.delay < 0:
            raise ValueError(f"delay={self.delay}: a delay is 0 or more seconds")
        if self.break_after is not None and self.break_after < 0:
            raise ValueError(f"break_after={self.break_after}: a stream breaks after 0 or more tokens")

    @classmethod
    def from_schema(cls) -> Reply:
        """The smallest JSON that the request's schema allows, the same every time."""
        return cls(json=FROM_SCHEMA)

    @property
    def finished(self) -> FinishReason:
        """The finish reason: as given, else `tool_calls` when tools are called, else `stop`."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    def _write_json(self, value: Json) -> None:
        if not isinstance(value, Mapping | list | tuple):
            raise TypeError(f"json={value!r}: it is a mapping or a list")
        # Written once here, as the arguments of tool calls are, so that what JSON cannot hold fails in the script.
        text = json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False, allow_nan=False)
        if self.content not in ("", text):
            raise ValueError("a reply has content or json, not both")
        object.__setattr__(self, "content", text)


def count_tokens(text: str) -> int:
    """Count the tokens of a text as its UTF-8 bytes divided by four, rounded up; no tokenizer, the same everywhere."""
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


def count_usage(conversation: Conversation, reply: Reply) -> Usage:
    """Count contents, and names and arguments of tool calls; tool definitions and message frames count nothing."""
    prompt = sum(_count(message.content, message.tool_calls) for message in conversation.messages)
    reasoning = count_tokens(reply.reasoning)
    return Usage(prompt, reasoning + _count(reply.content, reply.tool_calls), reasoning_tokens=reasoning)


def _count(content: str, calls: Sequence[ToolCall]) -> int:
    return count_tokens(content) + sum(count_tokens(call.name) + count_tokens(call.arguments_json) for call in calls)
