"""When a rule applies: conditions on a conversation, each of which can say why it does not hold."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TypeAlias

from agentrun.emulator.scripted.conversation import Conversation, ToolResult

Text: TypeAlias = str | re.Pattern[str]
"""A text to look for: a string is looked for as it is, a compiled pattern by `search`."""


class Condition(ABC):
    """A question to a conversation; subclass it for questions that `When` does not know."""

    @abstractmethod
    def holds(self, conversation: Conversation) -> bool:
        """Whether the answer is yes."""

    @abstractmethod
    def why_not(self, conversation: Conversation) -> str:
        """The reason, as half a sentence, why it does not hold."""

    def nearness(self, conversation: Conversation) -> float:
        """How near it is to holding, from 0.0 to 1.0; only used to name the nearest rule."""
        return float(self.holds(conversation))

    def __or__(self, other: Condition) -> AnyOf:
        return AnyOf((self, other))


@dataclass(frozen=True)
class AnyOf(Condition):
    """Holds when one of its conditions holds; written `a | b`."""

    conditions: tuple[Condition, ...]

    def holds(self, conversation: Conversation) -> bool:
        """Whether one of them holds."""
        return any(condition.holds(conversation) for condition in self.conditions)

    def why_not(self, conversation: Conversation) -> str:
        """The reasons of all of them."""
        return ", and ".join(condition.why_not(conversation) for condition in self.conditions)

    def nearness(self, conversation: Conversation) -> float:
        """The nearness of the nearest."""
        return max(condition.nearness(conversation) for condition in self.conditions)

    def __str__(self) -> str:
        return " or ".join(str(condition) for condition in self.conditions)


@dataclass(frozen=True)
class When(Condition):
    """Holds when everything that is given holds; `When()` always does.

    user: what the last user message contains. It is about the question, so it rests while a tool result awaits an
        answer: a rule that calls a tool does not fire again at its result. Give `tool`, `result` or `turn` as well
        to reach that moment.
    system: what the system and developer messages contain.
    tool: the name of a tool whose result came since the model spoke last; a string is the whole name.
    result: what that result contains; `""` is any result.
    turn: the number of the answer that is due, 1 for the first.
    model: the model that was asked; a string is the whole name.
    check: a function of the conversation, for everything else.
    """

    user: Text | None = None
    system: Text | None = None
    tool: Text | None = None
    result: Text | None = None
    turn: int | None = None
    model: Text | None = None
    check: Callable[[Conversation], bool] | None = None
    parts: tuple[Condition, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self._compile()))

    def holds(self, conversation: Conversation) -> bool:
        """Whether every given part holds."""
        return all(part.holds(conversation) for part in self.parts)

    def why_not(self, conversation: Conversation) -> str:
        """The reasons of the parts that do not hold."""
        plain = [part for part in self.parts if not isinstance(part, _Check)]
        # The function is blamed only when all else holds: until then it was not asked, and may not expect to be.
        failed = [part for part in plain if not part.holds(conversation)] or self.parts[-1:]
        return " and ".join(part.why_not(conversation) for part in failed)

    def nearness(self, conversation: Conversation) -> float:
        """The mean nearness of the parts."""
        if not self.parts:
            return 1.0
        return sum(part.nearness(conversation) for part in self.parts) / len(self.parts)

    def __str__(self) -> str:
        return " and ".join(str(part) for part in self.parts) or "always"

    def _compile(self) -> Iterator[Condition]:
        if self.turn is not None:
            yield _OnTurn(self.turn)
        if self.model is not None:
            yield _AskedModel(self.model)
        if self.user is not None:
            yield _UserSays(self.user, rests=self.tool is None and self.result is None and self.turn is None)
        if self.system is not None:
            yield _SystemSays(self.system)
        if self.tool is not None or self.result is not None:
            yield _ToolAnswered(self.tool, self.result)
        # Last, so that a slow or careless function is asked only when everything else holds.
        if self.check is not None:
            yield _Check(self.check)


Trigger: TypeAlias = Text | int | Condition | Callable[[Conversation], bool]
"""What a rule accepts as `when`: a text in the question, a turn, a condition or a function."""


def as_condition(trigger: Trigger) -> Condition:
    """Spell out a short form of `when`; raise TypeError for anything that is none."""
    if isinstance(trigger, Condition):
        return trigger
    if isinstance(trigger, (str, re.Pattern)):
        return When(user=trigger)
    if isinstance(trigger, int) and not isinstance(trigger, bool):
        return When(turn=trigger)
    if callable(trigger):
        return When(check=trigger)
    raise TypeError(f"when={trigger!r} is no text, pattern, turn, When or function; When() matches always")


@dataclass(frozen=True)
class _UserSays(Condition):
    text: Text
    rests: bool

    def holds(self, conversation: Conversation) -> bool:
        return not (self.rests and conversation.awaits_tool_answer) and contains(conversation.last_user, self.text)

    def why_not(self, conversation: Conversation) -> str:
        if not contains(conversation.last_user, self.text):
            return _why_absent("the last user message", conversation.last_user, self.text)
        name = conversation.tool_results[-1].name
        return f"the question was answered by a tool call whose result is due: match that with When(tool={name!r})"

    def nearness(self, conversation: Conversation) -> float:
        return 1.0 if self.holds(conversation) else 0.9 * _likeness(self.text, conversation.last_user)

    def __str__(self) -> str:
        return f"user says {_shown(self.text)}"


@dataclass(frozen=True)
class _SystemSays(Condition):
    text: Text

    def holds(self, conversation: Conversation) -> bool:
        return contains(conversation.system, self.text)

    def why_not(self, conversation: Conversation) -> str:
        return _why_absent("the system prompt", conversation.system, self.text)

    def nearness(self, conversation: Conversation) -> float:
        return _likeness(self.text, conversation.system)

    def __str__(self) -> str:
        return f"system says {_shown(self.text)}"


@dataclass(frozen=True)
class _ToolAnswered(Condition):
    name: Text | None
    content: Text | None

    def holds(self, conversation: Conversation) -> bool:
        return any(self._is_named(result) and self._is_filled(result) for result in conversation.tool_results)

    def why_not(self, conversation: Conversation) -> str:
        if not conversation.tool_results:
            return "no tool result came since the model spoke last"
        named = [result for result in conversation.tool_results if self._is_named(result)]
        if not named or self.content is None:
            names = ", ".join(repr(result.name) for result in conversation.tool_results)
            return f"the tool results are of {names}, not of {_shown(self.name or '')}"
        return _why_absent(f"the result of {named[0].name!r}", named[0].content, self.content)

    def nearness(self, conversation: Conversation) -> float:
        return max((self._nearness_of(result) for result in conversation.tool_results), default=0.0)

    def __str__(self) -> str:
        tool = "a tool" if self.name is None else _shown(self.name)
        return f"{tool} answered" if self.content is None else f"{tool} answered {_shown(self.content)}"

    def _is_named(self, result: ToolResult) -> bool:
        return self.name is None or _is_name(result.name, self.name)

    def _is_filled(self, result: ToolResult) -> bool:
        return self.content is None or contains(result.content, self.content)

    def _nearness_of(self, result: ToolResult) -> float:
        name = 1.0 if self.name is None else _likeness(self.name, result.name)
        content = 1.0 if self.content is None else _likeness(self.content, result.content)
        return (name + content) / 2


@dataclass(frozen=True)
class _OnTurn(Condition):
    number: int

    def holds(self, conversation: Conversation) -> bool:
        return conversation.turn == self.number

    def why_not(self, conversation: Conversation) -> str:
        return f"this is turn {conversation.turn}, not {self.number}"

    def __str__(self) -> str:
        return f"turn {self.number}"


@dataclass(frozen=True)
class _AskedModel(Condition):
    name: Text

    def holds(self, conversation: Conversation) -> bool:
        return _is_name(conversation.model, self.name)

    def why_not(self, conversation: Conversation) -> str:
        return f"the model is {conversation.model!r}, not {_shown(self.name)}"

    def __str__(self) -> str:
        return f"model {_shown(self.name)}"


@dataclass(frozen=True)
class _Check(Condition):
    function: Callable[[Conversation], bool]

    def holds(self, conversation: Conversation) -> bool:
        return bool(self.function(conversation))

    def why_not(self, conversation: Conversation) -> str:
        return f"{self} is false"

    def nearness(self, conversation: Conversation) -> float:
        # Not asked again: a function may count its calls.
        return 0.0

    def __str__(self) -> str:
        return f"{getattr(self.function, '__name__', type(self.function).__name__)}(conversation)"


def contains(seen: str, text: Text) -> bool:
    """Whether a text is found in another."""
    return text in seen if isinstance(text, str) else text.search(seen) is not None


def _is_name(seen: str, name: Text) -> bool:
    return seen == name if isinstance(name, str) else name.search(seen) is not None


def _shown(text: Text) -> str:
    return repr(text) if isinstance(text, str) else f"/{text.pattern}/"


def _why_absent(where: str, seen: str, text: Text) -> str:
    if isinstance(text, re.Pattern):
        return f"{where} has no match of {_shown(text)}"
    if text.casefold() in seen.casefold():
        return f"{where} contains {text!r} in another case only"
    return f"{where} does not contain {text!r}"


def _likeness(text: Text, seen: str) -> float:
    """How much of a text another contains in long pieces, 0.0 to 1.0; works without word boundaries, so for any script.

    Squares reward few long pieces over many single letters, which every sentence has.
    """
    wanted = text if isinstance(text, str) else re.sub(r"\\\w|\W", " ", text.pattern)
    if not wanted.strip():
        return 0.0
    blocks = SequenceMatcher(None, wanted[:200], seen[:1000], autojunk=False).get_matching_blocks()
    return float(sum(block.size**2 for block in blocks) / len(wanted[:200]) ** 2)
