"""Scripts as YAML: each key means what it means in Python, and what is wrong is named."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from agentrun.emulator.script_file import ScriptFileError, load_script
from agentrun.emulator.scripted import (
    Conversation,
    Latency,
    Message,
    Reply,
    ReplyError,
    Rule,
    Script,
    ToolCall,
    Usage,
    When,
    document,
)

WHOLE = r"""
strict: false
default: I do not know.
latency: {first_token: 0.2, tokens_per_second: 50}
moderation:
  violence: [hurt, {regex: 'kill(s|ed)?'}]
  hate: despise
models:
  small:
  large:
    rules:
      - {when: {}, reply: large}
rules:
  - name: weather
    when: weather
    reply:
      reasoning: I need a tool.
      tool_calls:
        - name: get_weather
          arguments: {city: Hangzhou}
        - {name: broken, arguments: '{"unfinished', id: call_mine}
  - when: {tool: get_weather, result: {regex: '\d+ degrees'}}
    reply: {content: warm, usage: {prompt_tokens: 9, completion_tokens: 2, cached_tokens: 3}, finish_reason: length}
  - when: {regex: 'order \d+'}
    reply: {error: {status: 429, retry_after: 2}, delay: 0.5}
  - when: [5, {system: pirate, model: small}]
    reply: {json: {name: [Long, John]}}
  - when: {user: {regex: ^schema}, turn: 1}
    reply: {from_schema: true, latency: {tokens_per_second: 5}}
  - when: breaks
    reply: {content: one two, break_after: 1}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return load_script(write(tmp_path, WHOLE))


def asked(text: str, *more: Message, model: str = "small", system: str = "") -> Conversation:
    return Conversation((Message("system", system), Message("user", text), *more), model=model)


DEFAULT = Latency(0.2, 50)
CALLS = (ToolCall("get_weather", {"city": "Hangzhou"}), ToolCall("broken", '{"unfinished', "call_mine"))
RESULT = (Message("assistant", tool_calls=CALLS[:1]), Message("tool", "21 degrees", name="get_weather"))


@pytest.mark.parametrize(
    ("conversation", "reply"),
    [
        (asked("the weather"), Reply(tool_calls=list(CALLS), reasoning="I need a tool.", latency=DEFAULT)),
        (asked("x", *RESULT), Reply("warm", usage=Usage(9, 2, 3), finish_reason="length", latency=DEFAULT)),
        (asked("order 66"), Reply(error=ReplyError(429, retry_after=2), delay=0.5, latency=DEFAULT)),
        (asked("x", system="a pirate"), Reply(json={"name": ["Long", "John"]}, latency=DEFAULT)),
        (asked("x", *[Message("assistant")] * 4), Reply(json={"name": ["Long", "John"]}, latency=DEFAULT)),
        (asked("this breaks"), Reply("one two", break_after=1, latency=DEFAULT)),
        (asked("something else"), Reply("I do not know.", latency=DEFAULT)),
    ],
)
def test_rules(script: Script, conversation: Conversation, reply: Reply) -> None:
    assert script.answer(conversation) == reply


def test_the_rest(script: Script) -> None:
    found = script.find(asked("schema, please"))
    assert found is not None
    assert found.reply == Reply(json=Reply.from_schema().json, latency=Latency(tokens_per_second=5))
    assert script.moderation.result("he kills")["categories"]["violence"]
    assert script.moderation.result("I despise it")["categories"]["hate"]
    large = script.of_model("large")
    assert large is not None
    assert large.answer(asked("x")) == Reply("large")
    assert (script.of_model("small"), script.of_model("other")) == (script, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rules: [", "is no YAML"),
        ("- x", "script must be an object"),
        ("", "script must be an object, not null"),
        ("rule: []", "script has no key rule: did you mean rules?"),
        ("rules: {}", "script.rules must be an array"),
        ("rules: [{when: x}]", "rules[0]: missing a required argument: 'reply'"),
        ("rules: [{name: w, when: x, replay: x}]", "rules[0] 'w' has no key replay: did you mean reply?"),
        ("rules: [{when: {usr: x}, reply: x}]", "rules[0].when has no key usr: did you mean user?"),
        ("rules: [{when: yes, reply: x}]", "rules[0].when must be a string, not true"),
        ("rules: [{when: {regex: '('}, reply: x}]", "rules[0].when: '(' is no regular expression"),
        ("rules: [{when: [x, {trun: 1}], reply: x}]", "rules[0].when[1] has no key trun: did you mean turn?"),
        ("rules: [{when: x, reply: 5}]", "rules[0].reply must be a string, not 5"),
        ("rules: [{when: x, reply: {text: x}}]", "rules[0].reply has no key text: there are content, tool_calls"),
        ("rules: [{when: x, reply: {json: 2000-01-01}}]", "rules[0].reply.json must be an object or an array"),
        ("rules: [{when: x, reply: {json: {date: 2000-01-01}}}]", "rules[0].reply: Object of type date is not JSON"),
        ("rules: [{when: x, reply: {tool_calls: [{nam: f}]}}]", "rules[0].reply.tool_calls[0] has no key nam"),
        ("rules: [{when: x, reply: {error: {status: 200}}}]", "rules[0].reply.error: status=200"),
        ("rules: [{when: x, reply: {finish_reason: done}}]", 'finish_reason is "done"; it must be one of stop, length'),
        ("rules: [{when: x, reply: {latency: {first: 1}}}]", "rules[0].reply.latency has no key first: did you mean"),
        ("latency: {tokens_per_second: 0}", "script.latency: tokens_per_second=0: a rate is more than 0"),
        ("moderation: {violense: x}", "'violense' is no category: did you mean 'violence'?"),
        ("models: {m: {rules: [{name: r, wen: x}]}}", "models.m.rules[0] 'r' has no key wen: did you mean when?"),
        ("{strict: true, default: x}", "a strict script has no default"),
        ("rules: !!python/object/apply:os.getcwd []", "is no YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ScriptFileError) as raised:
        load_script(path)
    assert str(raised.value).startswith(str(path))
    assert expected in str(raised.value)


def names(kind: type) -> set[str]:
    return {each.name for each in fields(kind) if each.init}


def test_every_field_has_a_key() -> None:
    assert names(When) - {"check"} == set(document.WHEN)
    assert names(Reply) == set(document.REPLY)
    assert names(ReplyError) == set(document.ERROR)
    assert names(Rule) == set(document.RULE)
    assert names(ToolCall) == set(document.TOOL_CALL)
    assert names(Usage) == set(document.USAGE)
    assert names(Latency) == set(document.LATENCY)
    make: Callable[..., Script] = Script
    assert set(inspect.signature(make).parameters) == set(document.SCRIPT)
