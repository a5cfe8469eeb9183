"""The messages of a request in their order, with tool calls and their results paired, and what is left unread."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from agentrun._serving.openai_error import bad_request
from agentrun.emulator.scripted.conversation import Message, ToolCall
from agentrun.emulator.scripted.fields import array, object_of, one_of, string, wrong_type


@dataclass(frozen=True)
class Parts:
    """The kinds of parts a content may have: the field of each that holds its text, and those not looked at."""

    texts: Mapping[str, str]
    ignored: tuple[str, ...]

    def text_of(self, part: Mapping[str, object], where: str) -> str | None:
        """Return the text of a part, or None for a part that is not looked at."""
        kind = one_of(part.get("type"), f"{where}.type", (*self.texts, *self.ignored))
        return string(part.get(self.texts[kind]), f"{where}.{self.texts[kind]}") if kind in self.texts else None


@dataclass
class Transcript:
    """The messages read so far, and the tool calls among them that have no result yet: id to name of the tool."""

    messages: list[Message] = field(default_factory=list[Message])
    notes: list[str] = field(default_factory=list[str])
    unanswered: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, message: Message, where: str) -> None:
        """Add a message that answers no tool call."""
        self.check_answered(where)
        self.unanswered.update((call.id or "", call.name) for call in message.tool_calls)
        self.messages.append(message)

    def add_result(self, result: Message, where: str) -> None:
        """Add the result of a tool call that came before; `where` is the field with its id."""
        if result.tool_call_id not in self.unanswered:
            text = f"{where} is {result.tool_call_id!r}, which no tool call without a result before it has as id."
            raise bad_request(text, "invalid_value", where)
        self.messages.append(replace(result, name=self.unanswered.pop(result.tool_call_id)))

    def add_call(self, call: ToolCall) -> None:
        """Add a tool call to what the model said last, or as its first words."""
        self.unanswered[call.id or ""] = call.name
        if self.messages and self.messages[-1].role == "assistant":
            last = self.messages.pop()
            self.messages.append(replace(last, tool_calls=(*last.tool_calls, call)))
        else:
            self.messages.append(Message("assistant", tool_calls=(call,)))

    def check_answered(self, where: str) -> None:
        """Refuse a tool call without a result, as the real services do."""
        if self.unanswered:
            ids = ", ".join(self.unanswered)
            raise bad_request(f"{where}: the tool calls {ids} before it have no result.", "invalid_value", where)

    def read_content(self, content: object, where: str, known: Parts) -> str:
        """Read a content, a string or an array of parts, and note the parts that are not looked at."""
        if isinstance(content, str):
            return content
        if content is None:
            raise wrong_type(where, "a string or an array of parts", content)
        parts = [object_of(part, f"{where}[{i}]") for i, part in enumerate(array(content, where))]
        texts = [known.text_of(part, f"{where}[{i}]") for i, part in enumerate(parts)]
        self._note(where, (str(part["type"]) for part, text in zip(parts, texts, strict=True) if text is None))
        return "\n".join(text for text in texts if text is not None)

    def _note(self, where: str, ignored: Iterable[str]) -> None:
        self.notes += [f"{where}: {count} {kind} not looked at" for kind, count in Counter(ignored).items()]


def read_arguments(text: str) -> Mapping[str, object] | str:
    """Return the decoded object, or the text when it is none: a model may have written it."""
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text
    return cast("dict[str, object]", value) if isinstance(value, dict) else text


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
