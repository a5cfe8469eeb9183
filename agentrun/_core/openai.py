"""The OpenAI chat protocol: agents answer it, and so do model providers.

Requests go through our own session. The answers are the types of the `openai` package, which is imported when the
first answer is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from agentrun._core.api import DataAPI, parsed
from agentrun._core.streams import Stream
from agentrun.errors import ConfigError, HTTPError, InvalidResponseError, from_response

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    from agentrun._core.session import ByteStream

    Completion: TypeAlias = ChatCompletion | Stream[ChatCompletionChunk]

# Arguments of a call that are not part of its body, named as in the `openai` package.
_OF_THE_CALL = ("config", "timeout", "extra_headers", "extra_body")


def _types() -> tuple[type[ChatCompletion], type[ChatCompletionChunk]]:
    try:
        from openai.types.chat import ChatCompletion, ChatCompletionChunk
    except ImportError as error:
        raise ConfigError(
            "the types of chat completions are not installed", hint="pip install 'agentrun[model]'"
        ) from error
    return ChatCompletion, ChatCompletionChunk


class ChatAPI(DataAPI):
    """Something below whose URL the chat protocol is answered."""

    async def _chat(self, path: str, arguments: Mapping[str, Any]) -> Completion:
        """A completion, or a stream of chunks when `stream` is true.

        `arguments` are those of the protocol; beside them `timeout` (seconds of silence), `extra_headers`,
        `extra_body` and `config` say how to call.
        """
        kind, chunk = _types()
        body = {name: value for name, value in arguments.items() if name not in _OF_THE_CALL}
        body.update(arguments.get("extra_body") or {})
        options: dict[str, Any] = {
            "body": body,
            "headers": arguments.get("extra_headers"),
            "timeout": arguments.get("timeout"),
            "config": arguments.get("config"),
        }
        if not body.get("stream"):
            return _completion(kind, await self._call("POST", path, **options))
        stream = await self._open("POST", path, **options)
        await _check_streams(stream)
        chunks: Stream[ChatCompletionChunk] = Stream[Any].of_events(stream, lambda text: _chunk(chunk, text))
        return chunks


def _completion(kind: type[ChatCompletion], answer: Any) -> ChatCompletion:
    # Lenient, as the openai client is: what is missing or unknown does not hurt until somebody uses it.
    return kind.model_construct(None, **_fields(answer))


def _chunk(kind: type[ChatCompletionChunk], text: str) -> ChatCompletionChunk:
    return kind.model_construct(None, **_fields(parsed(text.encode())))


def _fields(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise InvalidResponseError(f"the answer is not in the OpenAI chat protocol: {answer!r:.200}")
    fields = cast("dict[str, Any]", answer)
    if fields.get("error"):
        raise _failure(fields)
    return fields


def _failure(fields: dict[str, Any]) -> HTTPError:
    """The error that a body or a chunk carries although the status was 200."""
    found = fields["error"]
    error = cast("dict[str, Any]", found) if isinstance(found, dict) else {"message": found}
    code = error.get("code") or error.get("type")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    text = str(error.get("message") or "the model failed without saying why")
    return from_response(status, text, error_code=None if code is None else str(code), body=fields)


async def _check_streams(stream: ByteStream) -> None:
    """Raise what a whole answer says when a stream was asked for."""
    if "json" not in stream.headers.get("content-type", ""):
        return
    _fields(parsed(await stream.read()))
    raise InvalidResponseError("a stream was asked for, and one whole answer came")
