"""What ADK asks a model, in the words of OpenAI's chat API."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from agentrun.errors import UnsupportedError
from agentrun.integration._extra import framework
from agentrun.integration._outcome import as_text
from agentrun.integration.google_adk import NO_JSON

with framework("google_adk", "google"):
    from google.adk.models.llm_request import LlmRequest
    from google.genai import types

# What is called the same by both, but for the name.
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
}
_CHOICES = {types.FunctionCallingConfigMode.ANY: "required", types.FunctionCallingConfigMode.NONE: "none"}


def asked(request: LlmRequest) -> dict[str, Any]:
    """The arguments of a chat completion for a request, without the model's name."""
    config = request.config
    values = {name: getattr(config, field) for field, name in _OPTIONS.items()}
    given = {name: value for name, value in values.items() if value is not None}
    given["messages"] = [*_instruction(config), *(told for content in request.contents for told in _messages(content))]
    tools = [tool for entry in config.tools or () for tool in _tools(entry)]
    if tools:
        given["tools"] = tools
        choice = config.tool_config and config.tool_config.function_calling_config
        if choice and choice.mode in _CHOICES:
            given["tool_choice"] = _CHOICES[choice.mode]
    wanted = _response_format(config)
    return {**given, "response_format": wanted} if wanted else given


def _instruction(config: types.GenerateContentConfig) -> Iterator[dict[str, Any]]:
    said = config.system_instruction
    if isinstance(said, types.Content):
        said = "\n\n".join(part.text for part in said.parts or () if part.text)
    if said:
        yield {"role": "system", "content": said}


def _messages(content: types.Content) -> Iterator[dict[str, Any]]:
    """A content may be several messages: each result of a tool is one of its own."""
    parts = [part for part in content.parts or () if not part.thought]
    for part in parts:
        if part.function_response is not None:
            yield from _result(part.function_response)
    if content.role == "model":
        yield from _answer(parts)
        return
    shown = [piece for part in parts if (piece := _shown(part)) is not None]
    if shown:
        only_text = all(piece["type"] == "text" for piece in shown)
        yield {"role": "user", "content": "\n".join(piece["text"] for piece in shown) if only_text else shown}


def _answer(parts: list[types.Part]) -> Iterator[dict[str, Any]]:
    text = "\n".join(said for part in parts if (said := _text(part)))
    calls = [_call(part.function_call) for part in parts if part.function_call is not None]
    if text or calls:
        yield {"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})}


def _call(call: types.FunctionCall) -> dict[str, Any]:
    written = call.args or {}
    arguments = written[NO_JSON] if NO_JSON in written else json.dumps(written)
    return {"id": call.id or call.name, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _result(response: types.FunctionResponse) -> Iterator[dict[str, Any]]:
    yield {"role": "tool", "tool_call_id": response.id or response.name, "content": as_text(response.response or {})}
    # The results of tools are text in this protocol; what they made to look at follows as if the user showed it.
    blobs = [part.inline_data for part in response.parts or () if part.inline_data is not None]
    pictures = [_picture(blob.mime_type, blob.data) for blob in blobs]
    if pictures:
        yield {"role": "user", "content": [{"type": "text", "text": f"From {response.name}:"}, *pictures]}


def _text(part: types.Part) -> str | None:
    if part.executable_code is not None:
        return f"```python\n{part.executable_code.code}\n```"
    if part.code_execution_result is not None:
        return f"```tool_output\n{part.code_execution_result.output}\n```"
    return part.text


def _shown(part: types.Part) -> dict[str, Any] | None:
    if part.inline_data is not None:
        return _picture(part.inline_data.mime_type, part.inline_data.data)
    if part.file_data is not None:
        return _picture_at(part.file_data)
    text = _text(part)
    return {"type": "text", "text": text} if text else None


def _picture(media_type: str | None, data: bytes | None) -> dict[str, Any]:
    media_type = media_type or ""
    if media_type.startswith("text/"):
        return {"type": "text", "text": (data or b"").decode(errors="replace")}
    if not media_type.startswith("image/"):
        raise _unsupported(media_type)
    return {
        "type": "image_url",
        "image_url": {"url": f"data:{media_type};base64,{base64.b64encode(data or b'').decode()}"},
    }


def _picture_at(file: types.FileData) -> dict[str, Any]:
    if not (file.mime_type or "").startswith("image/") or not (file.file_uri or "").startswith("http"):
        raise _unsupported(f"{file.mime_type} at {file.file_uri}")
    return {"type": "image_url", "image_url": {"url": file.file_uri}}


def _unsupported(what: str) -> UnsupportedError:
    return UnsupportedError(501, f"{what} cannot be shown to this model", hint="Give it as text or as a picture")


def _tools(entry: Any) -> Iterator[dict[str, Any]]:
    for declared in entry.function_declarations or () if isinstance(entry, types.Tool) else ():
        schema = declared.parameters_json_schema
        if schema is None and declared.parameters is not None:
            schema = _json_schema(declared.parameters)
        # A tool without arguments need not say so to ADK.
        parameters = schema or {"type": "object", "properties": {}}
        described = {"name": declared.name, "description": declared.description or "", "parameters": parameters}
        yield {"type": "function", "function": described}


def _json_schema(schema: types.Schema) -> dict[str, Any]:
    plain: dict[str, Any] = schema.json_schema.model_dump(mode="json", by_alias=True, exclude_none=True)
    return plain


def _response_format(config: types.GenerateContentConfig) -> dict[str, Any] | None:
    schema: Any = config.response_json_schema or config.response_schema
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        schema = schema.model_json_schema()
    elif isinstance(schema, types.Schema):
        schema = _json_schema(schema)
    if isinstance(schema, dict):
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return {"type": "json_object"} if config.response_mime_type == "application/json" else None
