"""A script as data: the form that scripts have in YAML, key by key what `Script`, `Rule` and `Reply` take in Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, TypeVar, get_args

from agentrun._core.values import is_list
from agentrun._serving.openai_error import bad_request
from agentrun.emulator.scripted.condition import AnyOf, Condition, Text, Trigger, When, as_condition
from agentrun.emulator.scripted.conversation import ToolCall
from agentrun.emulator.scripted.fields import (
    Reader,
    array,
    array_of,
    boolean,
    check_keys,
    integer,
    is_object,
    number,
    object_of,
    one_of,
    string,
    wrong_type,
)
from agentrun.emulator.scripted.latency import Latency
from agentrun.emulator.scripted.reply import FROM_SCHEMA, FinishReason, Reply, ReplyError, Usage
from agentrun.emulator.scripted.script import Rule, Script

T = TypeVar("T")


def read_script(value: object, where: str = "script") -> Script:
    """Make the script that a value describes; raises ApiError that names the rule and the key at fault."""
    return _build(Script, value, where, SCRIPT)


def _build(make: Callable[..., T], value: object, where: str, readers: Mapping[str, Reader[object]]) -> T:
    """Call with what the value has of these keys; what it has not stays as the callable has it."""
    fields = object_of(value, where)
    check_keys(fields, readers, where)
    read = {key: readers[key](field, f"{where}.{key}") for key, field in fields.items()}
    try:
        signature(make).bind(**read)  # What is missing is said here in words that are not about Python.
        return make(**read)
    except (TypeError, ValueError) as error:
        raise bad_request(f"{where}: {error}", "invalid_value", where) from error


def _read_models(value: object, where: str) -> list[str] | dict[str, Script | None]:
    if is_list(value):
        return array_of(string)(value, where)
    scripts = object_of(value, where)
    return {name: None if each is None else read_script(each, f"{where}.{name}") for name, each in scripts.items()}


def _read_rules(value: object, where: str) -> list[Rule]:
    place = where.removeprefix("script.")
    return [_build(Rule, rule, _place(rule, f"{place}[{i}]"), RULE) for i, rule in enumerate(array(value, where))]


def _place(rule: object, where: str) -> str:
    """Where a rule is, with the name by which its author knows it."""
    name = rule.get("name") if is_object(rule) else None
    return f"{where} {name!r}" if isinstance(name, str) else where


def _read_when(value: object, where: str) -> Trigger:
    """Read a text, a turn, `{regex: ...}`, the parts of a `When`, or several of these, of which one must hold."""
    if is_list(value):
        return AnyOf(tuple(_read_condition(each, f"{where}[{i}]") for i, each in enumerate(value)))
    if is_object(value) and "regex" not in value:
        return _build(When, value, where, WHEN)
    return value if isinstance(value, int) and not isinstance(value, bool) else _read_text(value, where)


def _read_condition(value: object, where: str) -> Condition:
    return as_condition(_read_when(value, where))


def _read_text(value: object, where: str) -> Text:
    return _build(_compile, value, where, {"regex": string}) if is_object(value) else string(value, where)


def _compile(regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except re.error as error:
        raise ValueError(f"{regex!r} is no regular expression: {error}") from error


def _read_texts(value: object, where: str) -> Text | list[Text]:
    return array_of(_read_text)(value, where) if is_list(value) else _read_text(value, where)


def _read_reply(value: object, where: str) -> str | Reply:
    if not is_object(value):
        return string(value, where)
    return _build(_make_reply, value, where, {**REPLY, "from_schema": boolean})


def _make_reply(*, from_schema: bool = False, **fields: Any) -> Reply:
    return Reply(**fields, json=FROM_SCHEMA) if from_schema else Reply(**fields)


def _read_json(value: object, where: str) -> object:
    if not (is_object(value) or is_list(value)):
        raise wrong_type(where, "an object or an array", value)
    return value


def _read_arguments(value: object, where: str) -> Mapping[str, object] | str:
    return value if isinstance(value, str) else object_of(value, where)


def _reader_of(make: Callable[..., object], readers: Mapping[str, Reader[object]]) -> Reader[object]:
    return lambda value, where: _build(make, value, where, readers)


# A reader for each field; a test holds the keys against the classes. What only Python can say has no key.
LATENCY: Mapping[str, Reader[object]] = {"first_token": number, "tokens_per_second": number}
_read_latency = _reader_of(Latency, LATENCY)
USAGE: Mapping[str, Reader[object]] = {
    "prompt_tokens": integer,
    "completion_tokens": integer,
    "cached_tokens": integer,
    "reasoning_tokens": integer,
}
ERROR: Mapping[str, Reader[object]] = {
    "status": integer,
    "message": string,
    "code": string,
    "type": string,
    "param": string,
    "retry_after": number,
}
TOOL_CALL: Mapping[str, Reader[object]] = {"name": string, "arguments": _read_arguments, "id": string}
REPLY: Mapping[str, Reader[object]] = {
    "content": string,
    "tool_calls": array_of(_reader_of(ToolCall, TOOL_CALL)),
    "finish_reason": lambda value, where: one_of(value, where, get_args(FinishReason)),
    "usage": _reader_of(Usage, USAGE),
    "error": _reader_of(ReplyError, ERROR),
    "delay": number,
    "reasoning": string,
    "json": _read_json,
    "latency": _read_latency,
    "break_after": integer,
}
WHEN: Mapping[str, Reader[object]] = {
    "user": _read_text,
    "system": _read_text,
    "tool": _read_text,
    "result": _read_text,
    "turn": integer,
    "model": _read_text,
}
RULE: Mapping[str, Reader[object]] = {"when": _read_when, "reply": _read_reply, "name": string}
SCRIPT: Mapping[str, Reader[object]] = {
    "rules": _read_rules,
    "strict": boolean,
    "default": _read_reply,
    "latency": _read_latency,
    "moderation": lambda value, where: {
        category: _read_texts(texts, f"{where}.{category}") for category, texts in object_of(value, where).items()
    },
    "models": _read_models,
}
