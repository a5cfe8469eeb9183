"""The messages of a request as a chat: turns of a user and an assistant, with calls and results where they belong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from agentrun.errors import InvalidInputError
from agentrun.server.protocols.agent_api.model import (
    AnyContent,
    AudioContent,
    DataContent,
    FileContent,
    ImageContent,
    Message,
    RefusalContent,
    TextContent,
    VideoContent,
)
from agentrun.server.protocols.agent_api.outputs import json_text, plain_output

ChatMessage = dict[str, Any]


def chat_messages(messages: Iterable[Message]) -> list[ChatMessage]:
    """A conversation in the shape of OpenAI's chats.

    What an assistant thought, said and called at once, which are messages of their own on the wire, is one message
    here. Raises InvalidInputError for a message without content, or of a type that nobody can say.
    """
    chat: list[ChatMessage] = []
    for number, message in enumerate(messages):
        _say(chat, message, f"input.{number}")
    return chat


def _say(chat: list[ChatMessage], message: Message, path: str) -> None:
    say = _SAYINGS.get(message.type)
    if say is None:
        raise InvalidInputError(
            f"{path}.type: {message.type!r} is no type of message", field=path, hint=f"Known are: {', '.join(_SAYINGS)}"
        )
    if say is not _say_nothing and message.content is None:
        raise InvalidInputError(
            f"{path}.content: the message has no content",
            field=f"{path}.content",
            hint="Give its parts, or [], or leave the message out",
        )
    say(chat, message, path)


def _say_nothing(chat: list[ChatMessage], message: Message, path: str) -> None:
    """What is between the server and its caller: the agent has no use for it."""


def _say_message(chat: list[ChatMessage], message: Message, path: str) -> None:
    said: ChatMessage = {"id": message.id, "role": message.role or "user", "content": _content(message, path)}
    turn = _assistant_turn(chat)
    if said["role"] != "assistant" or turn is None or turn["content"] is not None or "tool_calls" in turn:
        chat.append(said)
    else:  # The turn began with a thought.
        turn.update(said)


def _say_reasoning(chat: list[ChatMessage], message: Message, path: str) -> None:
    thought = "".join(part.text or "" for part in message.content or () if isinstance(part, TextContent))
    turn = _assistant_turn(chat)
    if turn is None or turn["content"] is not None or "tool_calls" in turn:
        chat.append({"id": message.id, "role": "assistant", "content": None, "reasoning_content": thought})
    else:
        turn["reasoning_content"] += thought


def _say_call(chat: list[ChatMessage], message: Message, path: str) -> None:
    turn = _assistant_turn(chat)
    if turn is None:
        turn = ChatMessage(id=message.id, role="assistant", content=None)
        chat.append(turn)
    turn.setdefault("tool_calls", []).extend(_call(body, path) for body in _bodies(message, path))


def _call(body: dict[str, Any], path: str) -> dict[str, Any]:
    identity = _named(body, path, "call_id", "id")
    function = {"name": _named(body, path, "name"), "arguments": json_text(body.get("arguments") or "{}")}
    return {"id": identity, "type": "function", "function": function}


def _say_output(chat: list[ChatMessage], message: Message, path: str) -> None:
    for body in _bodies(message, path):
        said = {"id": message.id, "role": "tool", "tool_call_id": _named(body, path, "call_id")}
        name = {"name": body["name"]} if body.get("name") else {}
        chat.append({**said, **name, "content": plain_output(body.get("output"))})


def _say_approval(chat: list[ChatMessage], message: Message, path: str) -> None:
    for body in _bodies(message, path):
        question = _named(body, path, "approval_request_id")
        answer = {name: body[name] for name in ("approve", "reason") if body.get(name) is not None}
        said = {"id": message.id, "role": "tool", "tool_call_id": question}
        chat.append({**said, "content": json_text(answer)})


_SAYINGS: dict[str, Callable[[list[ChatMessage], Message, str], None]] = {
    "message": _say_message,
    "reasoning": _say_reasoning,
    "function_call": _say_call,
    "function_call_output": _say_output,
    "plugin_call": _say_call,
    "plugin_call_output": _say_output,
    "component_call": _say_call,
    "component_call_output": _say_output,
    "mcp_call": _say_call,
    "mcp_call_output": _say_output,
    "mcp_approval_request": _say_call,
    "mcp_approval_response": _say_approval,
    "mcp_list_tools": _say_nothing,
    "a2ui_response": _say_message,
    "a2ui_action": _say_message,
    "heartbeat": _say_nothing,
    "error": _say_nothing,
}


def _assistant_turn(chat: list[ChatMessage]) -> ChatMessage | None:
    """What the assistant says last, while nobody else has said something."""
    return chat[-1] if chat and chat[-1]["role"] == "assistant" else None


def _bodies(message: Message, path: str) -> list[dict[str, Any]]:
    bodies = [part.data for part in message.content or () if isinstance(part, DataContent) and part.data is not None]
    if not bodies:
        hint = 'Its body is a part {"type": "data", "data": {...}}'
        raise InvalidInputError(f"{path}.content: a {message.type} has a body", field=f"{path}.content", hint=hint)
    return bodies


def _named(body: dict[str, Any], path: str, *names: str) -> str:
    for name in names:
        if isinstance(body.get(name), str) and body[name]:
            return cast("str", body[name])
    field = f"{path}.content.data.{names[0]}"
    raise InvalidInputError(f"{field} is missing", field=field, hint="It is a text that is not empty")


def _content(message: Message, path: str) -> str | list[dict[str, Any]]:
    """Text alone is a string; where there is more, every part is an object of its own."""
    parts = [_part(part, f"{path}.content.{number}") for number, part in enumerate(message.content or ())]
    if not parts:
        return ""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return cast("str", parts[0]["text"])
    return parts


def _part(part: AnyContent, path: str) -> dict[str, Any]:
    needed = _PAYLOADS.get(part.type, ())
    if needed and not any(getattr(part, name) for name in needed):
        names = " or ".join(needed)
        raise InvalidInputError(
            f"{path}: the {part.type} has no {names}", field=path, hint="Say where it is, or send it"
        )
    return _PARTS[part.type](part)


_PAYLOADS = {
    "image": ("image_url",),
    "audio": ("data",),
    "video": ("video_url",),
    "file": ("file_url", "file_id", "file_data"),
}


def _text_part(part: TextContent) -> dict[str, Any]:
    return {"type": "text", "text": part.text or ""}


def _refusal_part(part: RefusalContent) -> dict[str, Any]:
    return {"type": "refusal", "refusal": part.refusal or ""}


def _data_part(part: DataContent) -> dict[str, Any]:
    return {"type": "text", "text": json_text(part.data or {})}


def _image_part(part: ImageContent) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": part.image_url}}


def _audio_part(part: AudioContent) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}


def _video_part(part: VideoContent) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": part.video_url}}


def _file_part(part: FileContent) -> dict[str, Any]:
    names = ("file_url", "file_id", "filename", "file_data")
    return {"type": "file", "file": {name: value for name in names if (value := getattr(part, name)) is not None}}


_PARTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "text": _text_part,
    "data": _data_part,
    "image": _image_part,
    "audio": _audio_part,
    "video": _video_part,
    "file": _file_part,
    "refusal": _refusal_part,
}
