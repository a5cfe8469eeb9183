"""A request of the responses API: read, checked as the real service checks it, and turned into a conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

_ROLES: tuple[Role, ...] = tuple(role for role in cast("tuple[Role, ...]", get_args(Role)) if role != "tool")
_PARTS = Parts(
    {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"},
    ("input_image", "input_file", "input_audio"),
)
_FORMATS = ("text", "json_object", "json_schema")
# What a service could only answer that remembers; nothing is kept here between two requests.
_REMEMBERED = ("previous_response_id", "conversation", "prompt")


@dataclass(frozen=True)
class ResponseRequest:
    """A conversation and how its answer is to be sent."""

    conversation: Conversation
    stream: bool = False


def read_response_request(fields: Mapping[str, object]) -> ResponseRequest:
    """Read the fields of a request; raise ApiError 400 that names the one at fault."""
    model = read_model(fields)
    _check_stateless(fields)
    transcript = _read_input(fields)
    conversation = Conversation(
        messages=tuple(transcript.messages),
        model=model,
        tools=tuple(array_of(_read_tool)(given(fields, "tools", []), "tools")),
        parameters={name: value for name, value in fields.items() if name not in ("input", "model")},
        notes=tuple(transcript.notes),
        output=_read_format(object_of(given(fields, "text", {}), "text")),
    )
    return ResponseRequest(conversation, boolean(fields.get("stream"), "stream"))


def _check_stateless(fields: Mapping[str, object]) -> None:
    for name in _REMEMBERED:
        if fields.get(name) is not None:
            text = f"A scripted model keeps nothing between requests, so it cannot follow {name}: send the whole input."
            raise bad_request(text, "unsupported_parameter", name)
    if boolean(fields.get("background"), "background"):
        text = "A scripted model keeps nothing between requests: leave out background."
        raise bad_request(text, "unsupported_parameter", "background")


def _read_input(fields: Mapping[str, object]) -> Transcript:
    transcript = Transcript()
    if instructions := optional_string(fields.get("instructions"), "instructions"):
        transcript.add(Message("system", instructions), "instructions")
    asked = required(fields, "input")
    if isinstance(asked, str):
        transcript.add(Message("user", asked), "input")
        return transcript
    items = array(asked, "input")
    if not items:
        raise bad_request("input is empty: send at least one item.", "empty_array", "input")
    for index, item in enumerate(items):
        _read_item(transcript, object_of(item, f"input[{index}]"), f"input[{index}]")
    transcript.check_answered("the end of input")
    return transcript


def _read_item(transcript: Transcript, item: Mapping[str, object], where: str) -> None:
    kind = one_of(item.get("type", "message"), f"{where}.type", _ITEMS)
    _ITEMS[kind](transcript, item, where)


def _read_message(transcript: Transcript, item: Mapping[str, object], where: str) -> None:
    role = cast("Role", one_of(item.get("role"), f"{where}.role", _ROLES))
    transcript.add(Message(role, transcript.read_content(item.get("content"), f"{where}.content", _PARTS)), where)


def _read_call(transcript: Transcript, item: Mapping[str, object], where: str) -> None:
    name = string(item.get("name"), f"{where}.name")
    arguments = string(item.get("arguments"), f"{where}.arguments")
    transcript.add_call(ToolCall(name, read_arguments(arguments), string(item.get("call_id"), f"{where}.call_id")))


def _read_result(transcript: Transcript, item: Mapping[str, object], where: str) -> None:
    call_id = string(item.get("call_id"), f"{where}.call_id")
    content = transcript.read_content(item.get("output"), f"{where}.output", _PARTS)
    transcript.add_result(Message("tool", content, tool_call_id=call_id), f"{where}.call_id")


def _read_reasoning(_: Transcript, item: Mapping[str, object], where: str) -> None:
    """Reasoning comes back for the service's own use; a script does not look at it."""
    array(given(item, "summary", []), f"{where}.summary")


_ITEMS: Mapping[str, Callable[[Transcript, Mapping[str, object], str], None]] = {
    "message": _read_message,
    "function_call": _read_call,
    "function_call_output": _read_result,
    "reasoning": _read_reasoning,
}


def _read_tool(value: object, where: str) -> str:
    tool = object_of(value, where)
    one_of(tool.get("type"), f"{where}.type", ("function",))
    return string(tool.get("name"), f"{where}.name")


def _read_format(text: Mapping[str, object]) -> OutputFormat | None:
    wanted = object_of(given(text, "format", {"type": "text"}), "text.format")
    kind = one_of(wanted.get("type"), "text.format.type", _FORMATS)
    if kind != "json_schema":
        return OutputFormat.any_object("text.format") if kind == "json_object" else None
    string(wanted.get("name"), "text.format.name")
    return OutputFormat(object_of(wanted.get("schema"), "text.format.schema"), "text.format.schema")
