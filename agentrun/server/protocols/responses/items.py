"""The items of an input: given a common form, and said as a chat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun._serving.openai_error import bad_request
from agentrun.integration._outcome import as_text
from agentrun.server.model import Message
from agentrun.server.protocols.reading import validated
from agentrun.server.protocols.responses.item_writer import COMPLETED, new_id

Item = dict[str, Any]
ChatMessage = dict[str, Any]

_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fco"}
_ROLES = {"developer": "system"}


def normalized(given: str | list[Any], path: str) -> list[Item]:
    """Items that all have a type and an id, messages a list of parts; raises ApiError for what is no item."""
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    return [_normalized(item, f"{path}[{number}]") for number, item in enumerate(given)]


def _normalized(item: Any, path: str) -> Item:
    if not is_object(item):
        raise bad_request(f"{path} is a {type(item).__name__}, not an object", "invalid_type", path)
    kind = item.get("type") or ("message" if "role" in item else None)
    if not isinstance(kind, str) or kind not in _SAYINGS:
        message = f"{path}.type: {kind!r} is no type of item that is known here; known are {', '.join(_SAYINGS)}"
        raise bad_request(message, "invalid_value", f"{path}.type")
    found = {**item, "id": item.get("id") or new_id(_PREFIXES.get(kind, "item")), "type": kind}
    if kind == "message":
        found["content"] = _parts(item, path)
        found.setdefault("status", COMPLETED)
    return found


def _parts(item: Item, path: str) -> list[Any]:
    content = item.get("content")
    if isinstance(content, str):
        kind = "output_text" if item.get("role") == "assistant" else "input_text"
        return [{"type": kind, "text": content, **({"annotations": []} if kind == "output_text" else {})}]
    if not is_list(content):
        raise bad_request(f"{path}.content is to be a text or a list of parts", "invalid_type", f"{path}.content")
    return content


def chat(groups: Mapping[str, Iterable[Item]]) -> list[Message]:
    """Items as turns of a chat, in groups by where they stand; raises ApiError.

    What an assistant thought, said and called at once is one turn.
    """
    said: list[ChatMessage] = []
    for path, items in groups.items():
        for number, item in enumerate(items):
            _SAYINGS[item["type"]](said, item, f"{path}[{number}]")
    return [Message.model_validate(message) for message in said]


def _say_message(said: list[ChatMessage], item: Item, path: str) -> None:
    role = item.get("role")
    message = {"id": item["id"], "role": _ROLES.get(str(role), role), "content": _content(item, path)}
    validated(Message, message, path)
    turn = _turn(said)
    if role != "assistant" or turn is None or turn.get("content") is not None or "tool_calls" in turn:
        said.append(message)
    else:  # The turn began with a thought.
        turn.update(message)


def _say_reasoning(said: list[ChatMessage], item: Item, path: str) -> None:
    parts = item.get("content") or item.get("summary") or ()
    thought = "".join(str(part.get("text") or "") for part in parts if is_object(part))
    if not thought:
        return  # An encrypted thought is between a model and its maker.
    turn = _turn(said)
    if turn is None or turn.get("content") is not None or "tool_calls" in turn:
        said.append({"id": item["id"], "role": "assistant", "content": None, "reasoning_content": thought})
    else:
        turn["reasoning_content"] += thought


def _say_call(said: list[ChatMessage], item: Item, path: str) -> None:
    arguments = item.get("arguments", item.get("input"))
    function = {"name": _named(item, path, "name"), "arguments": as_text(arguments) if arguments else "{}"}
    call = {"id": _named(item, path, "call_id", "id"), "type": "function", "function": function}
    turn = _turn(said)
    if turn is None:
        turn = ChatMessage(id=item["id"], role="assistant", content=None)
        said.append(turn)
    turn.setdefault("tool_calls", []).append(call)


def _say_output(said: list[ChatMessage], item: Item, path: str) -> None:
    call_id = _named(item, path, "call_id")
    said.append({"id": item["id"], "role": "tool", "tool_call_id": call_id, "content": _output(item, path)})


def _say_mcp_call(said: list[ChatMessage], item: Item, path: str) -> None:
    _say_call(said, {**item, "call_id": item["id"]}, path)
    output = item.get("output") or item.get("error")
    if output is not None:
        _say_output(said, {**item, "call_id": item["id"], "output": output}, path)


def _say_approval(said: list[ChatMessage], item: Item, path: str) -> None:
    answer = {name: item[name] for name in ("approve", "reason") if item.get(name) is not None}
    call_id = _named(item, path, "approval_request_id")
    said.append({"id": item["id"], "role": "tool", "tool_call_id": call_id, "content": as_text(answer)})


def _say_image(said: list[ChatMessage], item: Item, path: str) -> None:
    """An image that was generated before, which the assistant has shown."""
    if item.get("result"):
        url = f"data:image/{item.get('output_format') or 'png'};base64,{item['result']}"
        parts = [{"type": "image_url", "image_url": {"url": url}}]
        said.append({"id": item["id"], "role": "assistant", "content": parts})


def _say_nothing(said: list[ChatMessage], item: Item, path: str) -> None:
    """What an agent has no use for."""


_SAYINGS: dict[str, Callable[[list[ChatMessage], Item, str], None]] = {
    "message": _say_message,
    "reasoning": _say_reasoning,
    "function_call": _say_call,
    "function_call_output": _say_output,
    "custom_tool_call": _say_call,
    "custom_tool_call_output": _say_output,
    "mcp_call": _say_mcp_call,
    "mcp_list_tools": _say_nothing,
    "mcp_approval_request": _say_call,
    "mcp_approval_response": _say_approval,
    "image_generation_call": _say_image,
}


def _turn(said: list[ChatMessage]) -> ChatMessage | None:
    """What the assistant says last, while nobody else has said something."""
    return said[-1] if said and said[-1]["role"] == "assistant" else None


def _named(item: Item, path: str, *names: str) -> str:
    for name in names:
        found = item.get(name)
        if isinstance(found, str) and found:
            return found
    field = f"{path}.{names[0]}"
    raise bad_request(f"{field} is missing: it is a text that is not empty", "missing_required_parameter", field)


def _content(item: Item, path: str) -> str | list[dict[str, Any]]:
    """Text alone is a string; where there is more, every part is an object of its own."""
    parts = [_part(part, f"{path}.content[{number}]") for number, part in enumerate(item["content"])]
    if all(part["type"] == "text" for part in parts) and len(parts) <= 1:
        return "".join(part["text"] for part in parts)
    return parts


def _output(item: Item, path: str) -> str | list[dict[str, Any]]:
    output = item.get("output")
    if not is_list(output):
        return as_text("" if output is None else output)
    if not all(is_object(part) and part.get("type") in _PARTS for part in output):
        return as_text(output)
    return _content({"content": output}, f"{path}.output")


def _part(part: Any, path: str) -> dict[str, Any]:
    kind = part.get("type") if is_object(part) else None
    if not isinstance(kind, str) or kind not in _PARTS:
        message = f"{path}.type: {kind!r} is no type of part; known are {', '.join(_PARTS)}"
        raise bad_request(message, "invalid_value", f"{path}.type")
    return _PARTS[kind](part, path)


def _text_part(part: Item, path: str) -> dict[str, Any]:
    text = part.get("text")
    if not isinstance(text, str):
        raise bad_request(f"{path}.text is to be a text", "invalid_type", f"{path}.text")
    return {"type": "text", "text": text}


def _refusal_part(part: Item, path: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": str(part.get("refusal") or "")}


def _image_part(part: Item, path: str) -> dict[str, Any]:
    url = part.get("image_url")
    if is_object(url):  # As chats have it.
        return {"type": "image_url", "image_url": url}
    if url is None and part.get("file_id"):
        return {"type": "file", "file": {"file_id": part["file_id"]}}
    where = _named(part, path, "image_url")
    detail = {"detail": part["detail"]} if part.get("detail") else {}
    return {"type": "image_url", "image_url": {"url": where, **detail}}


def _audio_part(part: Item, path: str) -> dict[str, Any]:
    sound = part.get("input_audio", part)
    if not is_object(sound) or not sound.get("data"):
        raise bad_request(f"{path}: the audio has no data", "missing_required_parameter", f"{path}.input_audio.data")
    return {"type": "input_audio", "input_audio": {name: sound[name] for name in ("data", "format") if name in sound}}


def _video_part(part: Item, path: str) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": _named(part, path, "video_url")}}


def _file_part(part: Item, path: str) -> dict[str, Any]:
    _named(part, path, "file_id", "file_data", "file_url")
    names = ("file_id", "file_data", "file_url", "filename")
    return {"type": "file", "file": {name: part[name] for name in names if part.get(name) is not None}}


_PARTS: dict[str, Callable[[Item, str], dict[str, Any]]] = {
    "input_text": _text_part,
    "output_text": _text_part,
    "text": _text_part,
    "summary_text": _text_part,
    "reasoning_text": _text_part,
    "refusal": _refusal_part,
    "input_image": _image_part,
    "input_audio": _audio_part,
    "output_audio": _audio_part,
    "input_video": _video_part,
    "input_file": _file_part,
    "output_file": _file_part,
}
