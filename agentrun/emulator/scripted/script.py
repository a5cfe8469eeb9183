"""A script: rules that decide what a model answers, the same answer to the same conversation every time.

Example:
    script = Script(
        [
            Rule("weather", Reply(tool_calls=[ToolCall("get_weather", {"city": "Hangzhou"})])),
            Rule(When(tool="get_weather"), lambda conversation: f"It is {conversation.tool_results[0].content}."),
        ],
        strict=True,
    )
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TypeAlias, TypeVar, cast

from agentrun.emulator.scripted.condition import Condition, Text, Trigger, as_condition
from agentrun.emulator.scripted.conversation import Conversation
from agentrun.emulator.scripted.example import NoExampleError
from agentrun.emulator.scripted.latency import Latency
from agentrun.emulator.scripted.moderation import Moderation
from agentrun.emulator.scripted.reply import FROM_SCHEMA, Json, Reply
from agentrun.emulator.scripted.schema import OutputFormat

Answer: TypeAlias = str | Reply | Mapping[str, object] | list[object] | Callable[[Conversation], "Made"]
"""What a rule accepts as `reply`: a text, a reply, JSON, or a function that makes one of them; it must be quick."""

Made: TypeAlias = str | Reply | Mapping[str, object] | list[object]

T = TypeVar("T")


class ScriptError(Exception):
    """The script itself is at fault: a function in it raised, or returned something that is no reply."""


class ScriptMismatchError(ScriptError):
    """The script has no answer to this request: `param` is the request field it does not fit.

    A strict script has no rule for it or calls a tool that was not offered; any script has JSON of another shape.
    """

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class Rule:
    """Answer with `reply` when `when` holds; `name` is how errors call the rule.

    `when` is a string that the user's question contains, a compiled pattern that is searched in it, a turn number
    (1 is the first answer), a `When(...)`, several joined by `|`, or a function of the conversation.
    """

    when: Trigger
    reply: Answer
    name: str = ""
    condition: Condition = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "condition", as_condition(self.when))

    def __str__(self) -> str:
        return f"{self.name!r} ({self.condition})" if self.name else f"({self.condition})"


class Script:
    """Rules in order: the first that matches answers.

    Without a match the `default` answers, which repeats the last user message unless given, or makes the smallest
    JSON that the request asks for. A `strict` script raises ScriptMismatchError instead, and also when a reply calls a
    tool that the request does not offer. Raises ValueError for a strict script with a default, which it would never
    use.

    `latency` is how fast replies are that do not say it themselves. `moderation` gives, for each category to flag, the
    texts that it is flagged for. `models` are the names that exist, any name without it; a mapping gives each a script
    of its own, which knows nothing of this one, or None for this one.
    """

    def __init__(
        self,
        rules: Sequence[Rule] = (),
        *,
        strict: bool = False,
        default: Answer | None = None,
        latency: Latency | None = None,
        moderation: Mapping[str, Text | Sequence[Text]] | None = None,
        models: Sequence[str] | Mapping[str, Script | None] | None = None,
    ) -> None:
        if strict and default is not None:
            raise ValueError("a strict script has no default: use Rule(When(), ...) as the last rule")
        self.rules = tuple(rules)
        self.strict = strict
        self.default: Answer = _repeat if default is None else default
        self.latency = latency
        self.moderation = Moderation(moderation or {})
        self.models = None if models is None else _own_scripts(models)

    def of_model(self, name: str) -> Script | None:
        """Return the script of a model, this one unless it has one of its own; None when there is no such model."""
        if self.models is None:
            return self
        return (self.models[name] or self) if name in self.models else None

    def answer(self, conversation: Conversation) -> Reply:
        """Return the reply to a conversation; raise ScriptMismatchError or ScriptError as described above."""
        rule = self.find(conversation)
        if rule is None and self.strict:
            raise ScriptMismatchError(_describe_mismatch(self.rules, conversation), "messages")
        where = "the default" if rule is None else f"rule {rule}"
        reply = _make_reply(self.default if rule is None else rule.reply, conversation, where)
        if self.strict:
            _check_offered(reply, conversation, where)
        reply = _fit(reply, conversation, where)
        return reply if reply.latency or not self.latency else replace(reply, latency=self.latency)

    def find(self, conversation: Conversation) -> Rule | None:
        """Return the first rule that matches, or None."""
        for rule in self.rules:
            if _guard(rule.condition.holds, conversation, f"the condition of rule {rule}"):
                return rule
        return None


def _own_scripts(models: Sequence[str] | Mapping[str, Script | None]) -> Mapping[str, Script | None]:
    scripts = dict(models) if isinstance(models, Mapping) else dict.fromkeys(models)
    for name, script in scripts.items():
        if script is not None and script.models is not None:
            raise ValueError(f"models: the script of {name!r} has models of its own")
    return scripts


def _repeat(conversation: Conversation) -> Made:
    return Reply.from_schema() if conversation.output else conversation.last_user


def _make_reply(answer: Answer, conversation: Conversation, where: str) -> Reply:
    made: object = answer
    if callable(answer):
        made = _guard(answer, conversation, where)
    if isinstance(made, str):
        return Reply(made)
    if isinstance(made, Reply):
        return made
    if isinstance(made, Mapping | list):
        return _guard(lambda _: Reply(json=cast("Json", made)), conversation, where)
    raise ScriptError(f"{where} returned {type(made).__name__}, not a str, a Reply or JSON")


def _fit(reply: Reply, conversation: Conversation, where: str) -> Reply:
    """Hold JSON against what the request wants, and make it where the reply leaves that to the request."""
    wanted = conversation.output
    if reply.json is FROM_SCHEMA:
        return replace(reply, json=_example(wanted, where))
    if reply.json is not None and wanted is not None and (fault := wanted.fault_of(_as_received(reply))):
        raise ScriptMismatchError(f"{where} gives JSON that does not fit {wanted.where}: {fault}.", wanted.where)
    return reply


def _example(wanted: OutputFormat | None, where: str) -> Json:
    if wanted is None:
        text = f"{where} answers by the schema of the request, which has none."
        raise ScriptMismatchError(text, "response_format")
    try:
        made = wanted.example()
    except NoExampleError as error:
        text = f"{where} finds no value for {wanted.where} ({error}): give one as Reply(json=...)."
        raise ScriptMismatchError(text, wanted.where) from error
    if isinstance(made, Mapping | list):
        return cast("Json", made)
    raise ScriptMismatchError(f"{where} finds {made!r} for {wanted.where}, which is no object.", wanted.where)


def _as_received(reply: Reply) -> object:
    # Tuples are arrays and keys are strings only once it is written.
    return cast("object", json.loads(reply.content))


def _guard(function: Callable[[Conversation], T], conversation: Conversation, where: str) -> T:
    try:
        return function(conversation)
    except Exception as error:  # the user's function may raise anything, and the agent must learn which rule it was
        raise ScriptError(f"{where} raised {type(error).__name__}: {error}") from error


def _check_offered(reply: Reply, conversation: Conversation, where: str) -> None:
    for call in reply.tool_calls:
        if call.name not in conversation.tools:
            raise ScriptMismatchError(_describe_unoffered(call.name, conversation.tools, where), "tools")


def _describe_unoffered(name: str, offered: Sequence[str], where: str) -> str:
    near = get_close_matches(name, offered, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return f"{where} calls the tool {name!r}, but the request offers {_listed(offered)}.{meant}"


def _describe_mismatch(rules: Sequence[Rule], conversation: Conversation) -> str:
    return " ".join(
        [
            f"No rule of the strict script matches turn {conversation.turn}.",
            *_describe_asked(conversation),
            _describe_nearest(rules, conversation),
            "Add a Rule for it, or build the Script with strict=False.",
        ]
    )


def _describe_asked(conversation: Conversation) -> list[str]:
    asked = [f"Last user message: {_cut(conversation.last_user)}."]
    if conversation.system:
        asked.append(f"System prompt: {_cut(conversation.system)}.")
    asked += [f"Result of tool {result.name!r}: {_cut(result.content)}." for result in conversation.tool_results]
    if conversation.tools:
        asked.append(f"Offered tools: {_listed(conversation.tools)}.")
    return [*asked, *(f"Note: {note}." for note in conversation.notes)]


def _describe_nearest(rules: Sequence[Rule], conversation: Conversation) -> str:
    if not rules:
        return "The script has no rules."
    nearest = max(rules, key=lambda rule: rule.condition.nearness(conversation))
    return f"Nearest rule: {nearest}, which does not match because {nearest.condition.why_not(conversation)}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "no tools"


def _cut(text: str, length: int = 300) -> str:
    return repr(text if len(text) <= length else f"{text[:length]}…")
