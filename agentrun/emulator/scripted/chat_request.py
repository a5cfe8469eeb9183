"""A chat completion request: read, checked as the real services check it, and turned into a conversation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast, get_args

from agentrun.emulator.scripted.conversation import Conversation, Message, Role, ToolCall
from agentrun.emulator.scripted.errors import bad_request

ROLES: tuple[Role, ...] = get_args(Role)
IGNORED_PARTS = ("image_url", "input_audio", "file")


@dataclass(frozen=True)
class ChatRequest:
    """A conversation and how its answer is to be sent."""

    conversation: Conversation
    stream: bool = False
    include_usage: bool = False


def read_chat_request(body: bytes) -> ChatRequest:
    """Read a request body; raise ApiError 400 that names the field at fault."""
    fields = _read_json(body)
    model = _read_model(fields)
    _check_choices(fields)
    stream = _boolean(fields.get("stream"), "stream")
    options = _object(fields.get("stream_options") or {}, "stream_options")
    usage = _boolean(options.get("include_usage"), "stream_options.include_usage")
    return ChatRequest(_read_conversation(fields, model), stream, usage)


@dataclass
class _Transcript:
    """The messages read so far, and the tool calls among them that have no result yet: id to name of the tool."""

    messages: list[Message] = field(default_factory=list[Message])
    notes: list[str] = field(default_factory=list[str])
    unanswered: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, fields: Mapping[str, object], where: str) -> None:
        role = _read_role(fields, where)
        calls = _read_calls(fields.get("tool_calls"), f"{where}.tool_calls") if role == "assistant" else ()
        content = self._read_content(fields, f"{where}.content", optional=role == "assistant")
        message = Message(role, content, calls, name=_optional_string(fields.get("name"), f"{where}.name"))
        if role == "tool":
            message = self._pair(message, fields, where)
        else:
            self.check_answered(where)
        self.unanswered.update((call.id or "", call.name) for call in calls)
        self.messages.append(message)

    def check_answered(self, where: str) -> None:
        """Refuse a tool call without a result, as the real services do."""
        if self.unanswered:
            ids = ", ".join(self.unanswered)
            raise bad_request(f"{where}: the tool calls {ids} before it have no tool message.", "invalid_value", where)

    def _pair(self, result: Message, fields: Mapping[str, object], where: str) -> Message:
        call_id = _string(fields.get("tool_call_id"), f"{where}.tool_call_id")
        if call_id not in self.unanswered:
            text = f"{where} answers {call_id!r}, which no tool call of the assistant message before it has as id."
            raise bad_request(text, "invalid_value", f"{where}.tool_call_id")
        return replace(result, tool_call_id=call_id, name=self.unanswered.pop(call_id))

    def _read_content(self, fields: Mapping[str, object], where: str, *, optional: bool) -> str:
        content = fields.get("content")
        if isinstance(content, str):
            return content
        if content is None and optional:
            return ""
        if content is None:
            raise _wrong_type(where, "a string or an array of parts", content)
        parts = [_object(part, f"{where}[{i}]") for i, part in enumerate(_array(content, where))]
        texts = [_read_part(part, f"{where}[{i}]") for i, part in enumerate(parts)]
        self._note(where, (str(part["type"]) for part, text in zip(parts, texts, strict=True) if text is None))
        return "\n".join(text for text in texts if text is not None)

    def _note(self, where: str, ignored: Iterable[str]) -> None:
        self.notes += [f"{where}: {count} {kind} not looked at" for kind, count in Counter(ignored).items()]


def _read_json(body: bytes) -> Mapping[str, object]:
    try:
        fields: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The request body is not valid JSON: {error}.", "invalid_json") from error
    if not isinstance(fields, dict):
        raise bad_request("The request body must be a JSON object.", "invalid_json")
    return cast("dict[str, object]", fields)


def _read_model(fields: Mapping[str, object]) -> str:
    if not fields.get("model"):
        raise bad_request("The request names no model.", "missing_required_parameter", "model")
    return _string(fields["model"], "model")


def _check_choices(fields: Mapping[str, object]) -> None:
    if fields.get("n") not in (None, 1):
        raise bad_request("A scripted model answers with one choice: leave out n.", "unsupported_value", "n")


def _read_conversation(fields: Mapping[str, object], model: str) -> Conversation:
    transcript = _read_messages(fields)
    return Conversation(
        messages=tuple(transcript.messages),
        model=model,
        tools=_read_tools(fields.get("tools")),
        parameters={name: value for name, value in fields.items() if name not in ("messages", "model")},
        notes=tuple(transcript.notes),
    )


def _read_messages(fields: Mapping[str, object]) -> _Transcript:
    if fields.get("messages") is None:
        raise bad_request("The request has no messages.", "missing_required_parameter", "messages")
    listed = _array(fields["messages"], "messages")
    if not listed:
        raise bad_request("messages is empty: send at least one message.", "empty_array", "messages")
    transcript = _Transcript()
    for index, message in enumerate(listed):
        transcript.add(_object(message, f"messages[{index}]"), f"messages[{index}]")
    transcript.check_answered("the end of messages")
    return transcript


def _read_role(fields: Mapping[str, object], where: str) -> Role:
    for role in ROLES:
        if role == fields.get("role"):
            return role
    known = ", ".join(ROLES)
    text = f"{where}.role is {json.dumps(fields.get('role'))}; it must be one of {known}."
    raise bad_request(text, "invalid_value", f"{where}.role")


def _read_part(part: Mapping[str, object], where: str) -> str | None:
    """Return the text of a part, or None for a part that is not looked at."""
    kind = part.get("type")
    if kind in ("text", "refusal"):
        return _string(part.get(str(kind)), f"{where}.{kind}")
    if kind in IGNORED_PARTS:
        return None
    known = ", ".join(("text", "refusal", *IGNORED_PARTS))
    raise bad_request(f"{where}.type is {json.dumps(kind)}; it must be one of {known}.", "invalid_value", where)


def _read_calls(value: object, where: str) -> tuple[ToolCall, ...]:
    calls = () if value is None else _array(value, where)
    return tuple(_read_call(_object(call, f"{where}[{i}]"), f"{where}[{i}]") for i, call in enumerate(calls))


def _read_call(call: Mapping[str, object], where: str) -> ToolCall:
    function = _object(call.get("function"), f"{where}.function")
    name = _string(function.get("name"), f"{where}.function.name")
    arguments = _string(function.get("arguments"), f"{where}.function.arguments")
    return ToolCall(name, _decode_arguments(arguments), _string(call.get("id"), f"{where}.id"))


def _decode_arguments(text: str) -> Mapping[str, object] | str:
    """Return the decoded object, or the text when it is none: a model may have written it."""
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text
    return cast("dict[str, object]", value) if isinstance(value, dict) else text


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _read_tools(value: object) -> tuple[str, ...]:
    tools = () if value is None else _array(value, "tools")
    return tuple(_read_tool(_object(tool, f"tools[{i}]"), f"tools[{i}]") for i, tool in enumerate(tools))


def _read_tool(tool: Mapping[str, object], where: str) -> str:
    kind = tool.get("type")
    if kind != "function":
        text = f"{where}.type is {json.dumps(kind)}; a scripted model knows only function."
        raise bad_request(text, "invalid_value", f"{where}.type")
    function = _object(tool.get("function"), f"{where}.function")
    return _string(function.get("name"), f"{where}.function.name")


def _object(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _wrong_type(where, "an object", value)
    return cast("dict[str, object]", value)


def _array(value: object, where: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise _wrong_type(where, "an array", value)
    return cast("list[object]", value)


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(where, "a string", value)
    return value


def _optional_string(value: object, where: str) -> str:
    return "" if value is None else _string(value, where)


def _boolean(value: object, where: str) -> bool:
    if not isinstance(value, bool | None):
        raise _wrong_type(where, "a boolean", value)
    return bool(value)


def _wrong_type(where: str, wanted: str, value: object) -> Exception:
    shown = json.dumps(value)
    got = shown if len(shown) <= 60 else f"{shown[:60]}…"
    return bad_request(f"{where} must be {wanted}, not {got}.", "invalid_type", where)
