"""What a scripted model answers: text, tool calls or an error, with what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agentrun.emulator.scripted.conversation import Conversation, ToolCall

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]

_STATUS_TEXT = {
    400: ("invalid_request_error", "invalid_request", "The request is invalid."),
    401: ("invalid_request_error", "invalid_api_key", "The API key is not valid."),
    403: ("invalid_request_error", "permission_denied", "The API key may not use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "The rate limit is reached."),
    503: ("server_error", "overloaded", "The model is overloaded."),
}


@dataclass(frozen=True)
class Usage:
    """Tokens of one request and its answer."""

    prompt_tokens: int
    completion_tokens: int

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

    `finish_reason` follows from the rest unless given, `usage` is counted by `count_tokens` unless given, `delay`
    is in seconds before the first byte. Raises ValueError for an error that comes with content, or a negative delay.
    """

    content: str = ""
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: ReplyError | None = None
    delay: float = 0.0

    def __post_init__(self) -> None:
        if self.error is not None and (self.content or self.tool_calls):
            raise ValueError("a reply with an error has no content and no tool_calls: use two rules")
        if self.delay < 0:
            raise ValueError(f"delay={self.delay}: a delay is 0 or more seconds")

    @property
    def finished(self) -> FinishReason:
        """The finish reason: as given, else `tool_calls` when tools are called, else `stop`."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")


def count_tokens(text: str) -> int:
    """Count the tokens of a text as its UTF-8 bytes divided by four, rounded up; no tokenizer, the same everywhere."""
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


def count_usage(conversation: Conversation, reply: Reply) -> Usage:
    """Count contents, and names and arguments of tool calls; tool definitions and message frames count nothing."""
    prompt = sum(_count(message.content, message.tool_calls) for message in conversation.messages)
    return Usage(prompt, _count(reply.content, reply.tool_calls))


def _count(content: str, calls: Sequence[ToolCall]) -> int:
    return count_tokens(content) + sum(count_tokens(call.name) + count_tokens(call.arguments_json) for call in calls)
