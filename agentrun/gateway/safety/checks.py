"""Checks of content: by patterns, or by asking somebody; and what they find."""

from __future__ import annotations

import importlib
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from inspect import isawaitable
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from agentrun.gateway.plan import PlanError
from agentrun.model.policies import SafetyAction

SAFETY_HEADER = "x-agentrun-safety"

Where: TypeAlias = Literal["request", "response"]

LONGEST_MATCH = 4096
"""No text longer than so many characters is found, redacted or held back as one."""

_LOOKAHEAD = re.compile(r"\(\?[=!]")
_SHORT_LOOKAHEAD = re.compile(r"\(\?[=!](?:\[[^\]\\]*(?:\\\w[^\]\\]*)*\]|\\\w|\w)\)")


@dataclass(frozen=True)
class Verdict:
    """What a check found in a text, and what happens to it; `reason` never holds the text itself."""

    action: SafetyAction = SafetyAction.BLOCK
    reason: str = ""
    check: str = ""


Answer: TypeAlias = "Verdict | bool | str | None"
CheckFunction: TypeAlias = Callable[[str, Where], "Answer | Awaitable[Answer]"]
"""Is given a text; True, a reason, or a Verdict when it finds something, else None, False or an empty text."""
Moderate: TypeAlias = Callable[[str, str], Awaitable[Sequence[str]]]
"""Asks a model service, by its name, which categories of harmful content a text has."""


class CheckFailedError(Exception):
    """A check could not be made; the text names it."""


@dataclass(frozen=True)
class Pattern:
    """A compiled expression; `longest` is how many characters it can match, None when there is no end to that.

    `accept` looks at what was matched and has the last word.
    """

    regex: re.Pattern[str]
    longest: int | None = None
    accept: Callable[[str], bool] | None = None

    @classmethod
    def compile(cls, source: str, accept: Callable[[str], bool] | None = None) -> Pattern:
        """A pattern from its source; raises ValueError when it is none, or matches everywhere."""
        try:
            regex = re.compile(source)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"the pattern {source!r} is not valid: {error}") from error
        if regex.match(""):
            raise ValueError(f"the pattern {source!r} matches the empty text")
        return cls(regex, _longest(source), accept)


@dataclass(frozen=True)
class PatternCheck:
    """Looks for patterns; with `untrusted` only in what users and tools say, not in what the developer wrote."""

    name: str
    patterns: tuple[Pattern, ...]
    action: SafetyAction = SafetyAction.BLOCK
    request: bool = True
    response: bool = True
    untrusted: bool = False

    @classmethod
    def of(
        cls, name: str, sources: Iterable[str], action: SafetyAction, *, request: bool = True, response: bool = True
    ) -> PatternCheck:
        """A check by expressions; raises PlanError that names the check and the pattern that is none."""
        try:
            patterns = tuple(map(Pattern.compile, sources))
        except ValueError as error:
            raise PlanError(f"content check {name!r}: {error}") from error
        return cls(name, patterns, action, request, response)


@dataclass(frozen=True)
class AskingCheck:
    """Asks a function about a text; `piece` is the longest text that it is asked about, in characters."""

    name: str
    function: CheckFunction
    action: SafetyAction = SafetyAction.BLOCK
    request: bool = True
    response: bool = True
    piece: int | None = None

    async def verdict(self, text: str, where: Where) -> Verdict | None:
        """What the function says; raises CheckFailedError where a failure must not let the text pass."""
        size = self.piece or len(text)
        for at in range(0, len(text), size):
            if found := await self._asked(text[at : at + size], where):
                return found
        return None

    async def _asked(self, text: str, where: Where) -> Verdict | None:
        try:
            answer = self.function(text, where)
            return self._verdict(await answer if isawaitable(answer) else answer)
        except Exception as error:
            # Whatever goes wrong in there, a check that blocks has not let anything pass.
            if self.action == SafetyAction.FLAG:
                return Verdict(SafetyAction.FLAG, f"failed: {type(error).__name__}", self.name)
            raise CheckFailedError(f"The content check {self.name!r} could not be made.") from error

    def _verdict(self, answer: Answer) -> Verdict | None:
        if isinstance(answer, Verdict):
            # A function does not say what to replace.
            action = SafetyAction.BLOCK if answer.action == SafetyAction.REDACT else answer.action
            return replace(answer, check=self.name, action=action)
        return Verdict(self.action, answer if isinstance(answer, str) else "", self.name) if answer else None


def moderation(service: str, moderate: Moderate) -> CheckFunction:
    """The function of a check that asks a moderation model; its reason is the categories."""

    async def categories(text: str, _where: Where) -> Answer:
        return ", ".join(await moderate(service, text))

    return categories


def safety_header(verdicts: Iterable[Verdict]) -> str:
    """Verdicts as the value of a header: `NAME=action`, each once, in the order in which they were found."""
    return ",".join(dict.fromkeys(f"{quote(verdict.check)}={verdict.action.value}" for verdict in verdicts))


def _longest(source: str) -> int | None:
    # What is looked ahead at is not counted among what is matched; one character is always waited for.
    if _LOOKAHEAD.search(_SHORT_LOOKAHEAD.sub("", source)):
        return None
    # The parser has no public name; without it a pattern is one whose length nobody knows.
    for name in ("re._parser", "sre_parse"):
        try:
            longest: Any = importlib.import_module(name).parse(source).getwidth()[1]
        except (ImportError, AttributeError):
            continue
        return longest if isinstance(longest, int) and longest <= LONGEST_MATCH else None
    return None
