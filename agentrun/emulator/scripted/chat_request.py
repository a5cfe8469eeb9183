"""A chat completion request: read, checked as the real services check it, and turned into a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

from agentrun._serving.openai_error import bad_request
from agentrun.emulator.scripted.conversation import Conversation, Message, Role, ToolCall
from agentrun.emulator.scripted.fields import (
    array,
    array_of,
    boolean,
    given,
    object_of,
    one_of,
    optional_string,
    read_model,
    required,
    string,
)
from agentrun.emulator.scripted.schema import OutputFormat
from agentrun.emulator.scripted.transcript import Parts, Transcript, read_arguments

_ROLES: tuple[Role, ...] = get_args(Role)
_PARTS = Parts({"text": "text", "refusal": "refusal"}, ("image_url", "input_audio", "file"))
_FORMATS = ("text", "json_object", "json_schema")


@dataclass(frozen=True)
class ChatRequest:
    """A conversation and how its answer is to be sent."""

    conversation: Conversation
    stream: bool = False
    include_usage: bool = False


def read_chat_request(fields: Mapping[str, object]) -> ChatRequest:
    """Read the fields of a request; raise ApiError 400 that names the one at fault."""
    model = read_model(fields)
    _check_choices(fields)
    stream = boolean(fields.get("stream"), "stream")
    options = object_of(fields.get("stream_options") or {}, "stream_options")
    usage = boolean(options.get("include_usage"), "stream_options.include_usage")
    return ChatRequest(_read_conversation(fields, model), stream, usage)


def _check_choices(fields: Mapping[str, object]) -> None:
    if fields.get("n") not in (None, 1):
        raise bad_request("A scripted model answers with one choice: leave out n.", "unsupported_value", "n")


def _read_conversation(fields: Mapping[str, object], model: str) -> Conversation:
    transcript = _read_messages(fields)
    return Conversation(
        messages=tuple(transcript.messages),
        model=model,
        tools=tuple(array_of(_read_tool)(given(fields, "tools", []), "tools")),
        parameters={name: value for name, value in fields.items() if name not in ("messages", "model")},
        notes=tuple(transcript.notes),
        output=_read_format(fields),
    )


def _read_messages(fields: Mapping[str, object]) -> Transcript:
    listed = array(required(fields, "messages"), "messages")
    if not listed:
        raise bad_request("messages is empty: send at least one message.", "empty_array", "messages")
    transcript = Transcript()
    for index, message in enumerate(listed):
        _read_message(transcript, object_of(message, f"messages[{index}]"), f"messages[{index}]")
    transcript.check_answered("the end of messages")
    return transcript


def _read_message(transcript: Transcript, fields: Mapping[str, object], where: str) -> None:
    role = cast("Role", one_of(fields.get("role"), f"{where}.role", _ROLES))
    calls = array_of(_read_call)(given(fields, "tool_calls", []), f"{where}.tool_calls") if role == "assistant" else []
    silent = role == "assistant" and fields.get("content") is None
    content = "" if silent else transcript.read_content(fields.get("content"), f"{where}.content", _PARTS)
    name = optional_string(fields.get("name"), f"{where}.name")
    if role == "tool":
        call_id = string(fields.get("tool_call_id"), f"{where}.tool_call_id")
        transcript.add_result(Message(role, content, tool_call_id=call_id), f"{where}.tool_call_id")
    else:
        transcript.add(Message(role, content, tuple(calls), name=name), where)


def _read_call(value: object, where: str) -> ToolCall:
    call = object_of(value, where)
    function = object_of(call.get("function"), f"{where}.function")
    name = string(function.get("name"), f"{where}.function.name")
    arguments = string(function.get("arguments"), f"{where}.function.arguments")
    return ToolCall(name, read_arguments(arguments), string(call.get("id"), f"{where}.id"))


def _read_tool(value: object, where: str) -> str:
    tool = object_of(value, where)
    one_of(tool.get("type"), f"{where}.type", ("function",))
    function = object_of(tool.get("function"), f"{where}.function")
    return string(function.get("name"), f"{where}.function.name")


def _read_format(fields: Mapping[str, object]) -> OutputFormat | None:
    wanted = object_of(given(fields, "response_format", {"type": "text"}), "response_format")
    kind = one_of(wanted.get("type"), "response_format.type", _FORMATS)
    if kind != "json_schema":
        return OutputFormat.any_object("response_format") if kind == "json_object" else None
    described = object_of(wanted.get("json_schema"), "response_format.json_schema")
    string(described.get("name"), "response_format.json_schema.name")
    schema = object_of(described.get("schema", {}), "response_format.json_schema.schema")
    return OutputFormat(schema, "response_format.json_schema.schema")
