"""An answer to a chat, which is one object or many chunks: put together from the one, taken apart into the other.

Both directions refuse what they do not know. An answer that was not understood as a whole must not be told again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentrun._core.values import is_list, is_object

_TEXTS = ("reasoning_content", "reasoning", "content", "refusal")
_KNOWN_MESSAGE = frozenset((*_TEXTS, "role", "tool_calls", "function_call"))
_KNOWN_CHOICE = frozenset(("index", "delta", "message", "logprobs", "finish_reason", "stop_reason"))
_LOGPROBS = ("content", "refusal")
# Differs from chunk to chunk and says nothing: random bytes against guessing from the length of packets.
_NOISE = "obfuscation"
# Some endpoints give each chunk its own; the first one stands for all.
_FIRST_WINS = ("id", "created", "model", "system_fingerprint", "service_tier")


class UnknownPartError(ValueError):
    """An answer has a part that has no known counterpart in the other form; the text names it."""


class ChatJoin:
    """Puts a completion together from its chunks."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._usage: Any = None
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Mapping[str, Any]) -> None:
        """One more chunk; raises UnknownPartError."""
        self._usage = chunk.get("usage") or self._usage
        for name, value in chunk.items():
            if name not in ("choices", "usage", "object", _NOISE) and value is not None:
                self._keep(name, value)
        for choice in _objects(chunk.get("choices"), "choices"):
            if not isinstance(index := choice.get("index", 0), int):
                raise UnknownPartError("the index of a choice is no number")
            self._choices.setdefault(index, _Choice(index)).add(choice)

    def whole(self) -> dict[str, Any]:
        """The completion; without usage when no chunk had one."""
        choices = [choice.whole() for _, choice in sorted(self._choices.items())]
        usage = {"usage": self._usage} if self._usage else {}
        return {**self._head, "object": "chat.completion", "choices": choices, **usage}

    def _keep(self, name: str, value: Any) -> None:
        if self._head.setdefault(name, value) != value and name not in _FIRST_WINS:
            raise UnknownPartError(f"{name} is not the same in all chunks")


class _Choice:
    def __init__(self, index: int) -> None:
        self._fields: dict[str, Any] = {"index": index, "logprobs": None, "finish_reason": None}
        self._message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, choice: Mapping[str, Any]) -> None:
        _check_known(choice, _KNOWN_CHOICE)
        for name in ("finish_reason", "stop_reason"):
            if choice.get(name) is not None:
                self._fields[name] = choice[name]
        if is_object(logprobs := choice.get("logprobs")):
            self._add_logprobs(logprobs)
        if is_object(delta := choice.get("delta")):
            self._add_delta(delta)

    def whole(self) -> dict[str, Any]:
        calls = [call for _, call in sorted(self._calls.items())]
        return {**self._fields, "message": {**self._message, **({"tool_calls": calls} if calls else {})}}

    def _add_delta(self, delta: Mapping[str, Any]) -> None:
        _check_known(delta, _KNOWN_MESSAGE)
        self._message["role"] = delta.get("role") or self._message["role"]
        for name in _TEXTS:
            if delta.get(name) is not None:
                self._message[name] = (self._message.get(name) or "") + _text(delta[name], name)
        for call in _objects(delta.get("tool_calls"), "tool_calls"):
            self._add_call(call)
        if function := delta.get("function_call"):
            _add_function(self._message.setdefault("function_call", {}), function)

    def _add_call(self, delta: Mapping[str, Any]) -> None:
        _check_known(delta, frozenset(("index", "id", "type", "function")))
        if not isinstance(index := delta.get("index"), int):
            raise UnknownPartError("a tool call has no index")
        call = self._calls.setdefault(index, {"id": "", "type": "function", "function": {}})
        for name in ("id", "type"):
            if delta.get(name):
                _set_once(call, name, delta[name])
        _add_function(call["function"], delta.get("function") or {})

    def _add_logprobs(self, logprobs: Mapping[str, Any]) -> None:
        _check_known(logprobs, frozenset(_LOGPROBS))
        kept = self._fields["logprobs"] = self._fields["logprobs"] or dict.fromkeys(_LOGPROBS)
        for name in _LOGPROBS:
            if logprobs.get(name) is not None:
                kept[name] = [*(kept[name] or []), *logprobs[name]]


def chunks_of(completion: Mapping[str, Any], *, with_usage: bool) -> Iterator[dict[str, Any]]:
    """The chunks of a completion, as few as there can be; raises UnknownPartError."""
    left_out = ("choices", "usage", "object")
    head = {name: value for name, value in completion.items() if name not in left_out}
    head["object"] = "chat.completion.chunk"
    for choice in _objects(completion.get("choices"), "choices"):
        for part in _parts_of(choice):
            yield {**head, "choices": [{"index": choice.get("index", 0), **part}]}
    if with_usage and completion.get("usage"):
        yield {**head, "choices": [], "usage": completion["usage"]}


def _parts_of(choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    _check_known(choice, _KNOWN_CHOICE)
    if not is_object(message := choice.get("message")):
        raise UnknownPartError("a choice has no message")
    logprobs = choice.get("logprobs")
    for delta in _deltas_of(message):
        spoken, logprobs = (logprobs, None) if delta.get("content") else (None, logprobs)
        yield {"delta": delta, "logprobs": spoken, "finish_reason": None}
    stop_reason = {"stop_reason": choice["stop_reason"]} if choice.get("stop_reason") is not None else {}
    yield {"delta": {}, "logprobs": logprobs, "finish_reason": choice.get("finish_reason"), **stop_reason}


def _deltas_of(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    _check_known(message, _KNOWN_MESSAGE)
    empty = {name: "" for name in _TEXTS if message.get(name) == ""}
    yield {"role": message.get("role") or "assistant", **empty}
    for name in _TEXTS:
        if text := message.get(name):
            yield {name: _text(text, name)}
    for index, call in enumerate(_objects(message.get("tool_calls"), "tool_calls")):
        yield {"tool_calls": [{"index": index, **call}]}
    if message.get("function_call"):
        yield {"function_call": message["function_call"]}


def _add_function(function: dict[str, Any], delta: Mapping[str, Any]) -> None:
    _check_known(delta, frozenset(("name", "arguments")))
    if delta.get("name"):
        _set_once(function, "name", delta["name"])
    function["arguments"] = function.get("arguments", "") + _text(delta.get("arguments") or "", "arguments")


def _set_once(fields: dict[str, Any], name: str, value: Any) -> None:
    # An endpoint that gives two calls one index would have them told as one.
    if fields.get(name) and fields[name] != value:
        raise UnknownPartError(f"a tool call has two values of {name}")
    fields[name] = value


def _check_known(fields: Mapping[str, Any], known: frozenset[str]) -> None:
    for name, value in fields.items():
        if name not in known and value not in (None, "", [], {}):
            raise UnknownPartError(f"nothing is known of {name}")


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise UnknownPartError(f"{name} is not a text")
    return value


def _objects(value: Any, name: str) -> list[dict[str, Any]]:
    entries: Any = [] if value is None else value
    if not is_list(entries) or not all(is_object(entry) for entry in entries):
        raise UnknownPartError(f"{name} is not a list of objects")
    return entries
