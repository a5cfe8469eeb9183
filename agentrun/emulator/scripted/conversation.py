"""What a model is asked: the messages so far, and the questions a script puts to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from agentrun.emulator.scripted.schema import OutputFormat

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool by the model.

    `arguments` is a mapping, or the text as a model would write it: text may be broken JSON, as real models
    sometimes write. Without an `id` the call gets one that depends on the conversation alone. Arguments that JSON
    cannot hold raise TypeError or ValueError.
    """

    name: str
    arguments: Mapping[str, object] | str = field(default_factory=dict[str, object])
    id: str | None = None
    arguments_json: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Written once here, so that an argument JSON cannot hold fails in the script's own line, not in a request.
        text = self.arguments if isinstance(self.arguments, str) else _dump(self.arguments)
        object.__setattr__(self, "arguments_json", text)


@dataclass(frozen=True)
class ToolResult:
    """What a tool answered: the name of the tool, its text, and the id of the call it belongs to."""

    name: str
    content: str
    call_id: str = ""


@dataclass(frozen=True)
class Message:
    """One message; `content` is its text, the text parts joined by newlines when it came in parts.

    A tool's message carries the `name` of the tool and the `tool_call_id` it answers.
    """

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True)
class Conversation:
    """Everything one request tells the model; all the state there is between two turns.

    `tools` are the names of the tools the request offers, `parameters` its other fields (`temperature`, `user`,
    the full `tools`, ...) as they came, `notes` what the model could not look at, such as images, and `output` the
    JSON that it wants, None for any text.
    """

    messages: tuple[Message, ...]
    model: str = "scripted"
    tools: tuple[str, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    notes: tuple[str, ...] = ()
    output: OutputFormat | None = None

    @cached_property
    def last_user(self) -> str:
        """The text of the last user message, empty when there is none."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), "")

    @cached_property
    def system(self) -> str:
        """The text of all system and developer messages, joined by newlines."""
        return "\n".join(message.content for message in self.messages if message.role in ("system", "developer"))

    @cached_property
    def turn(self) -> int:
        """The number of the answer that is due: 1 for the first."""
        return 1 + sum(message.role == "assistant" for message in self.messages)

    @cached_property
    def tool_results(self) -> tuple[ToolResult, ...]:
        """The tool results that came since the model spoke last, in order."""
        return tuple(
            ToolResult(message.name, message.content, message.tool_call_id)
            for message in self._since({"assistant"})
            if message.role == "tool"
        )

    @cached_property
    def awaits_tool_answer(self) -> bool:
        """Whether a tool result came after everything that the user and the model said."""
        return any(message.role == "tool" for message in self._since({"assistant", "user"}))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the model and the messages, the source of every id in the answer."""
        said = [
            [message.role, message.content, message.tool_call_id]
            + [[call.name, call.arguments_json] for call in message.tool_calls]
            for message in self.messages
        ]
        return hashlib.blake2b(json.dumps([self.model, said]).encode(), digest_size=12).hexdigest()

    def _since(self, roles: Iterable[str]) -> tuple[Message, ...]:
        last = max((index for index, message in enumerate(self.messages) if message.role in roles), default=-1)
        return self.messages[last + 1 :]


def _dump(arguments: Mapping[str, object]) -> str:
    return json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False)
