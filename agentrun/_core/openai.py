"""The OpenAI protocol: agents answer it, and so do model providers and proxies.

Requests go through our own session. The answers are the types of the `openai` package, which is imported when the
first question is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast, get_args

from pydantic import ValidationError

from agentrun._core.api import DataAPI, parsed, timeouts
from agentrun._core.signed_client import signed_client
from agentrun._core.streams import Stream
from agentrun.errors import ConfigError, HTTPError, InvalidResponseError, from_response

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
    from openai.types.responses import Response, ResponseStreamEvent

    from agentrun._core.session import ByteStream

    Completion: TypeAlias = ChatCompletion | Stream[ChatCompletionChunk]
    Responded: TypeAlias = Response | Stream[ResponseStreamEvent]

Reader: TypeAlias = Callable[[Any], Any]

# Arguments of a call that are not part of its body, named as in the `openai` package.
_OF_THE_CALL = ("config", "timeout", "extra_headers", "extra_query", "extra_body")


class Readers(NamedTuple):
    """How a whole answer is read, and how a piece of a stream."""

    whole: Reader
    piece: Reader


class Question(NamedTuple):
    """Something that the protocol can be asked: its path, and what loads the readers of its answers."""

    path: str
    readers: Callable[[], Readers]


class OpenAIAPI(DataAPI):
    """Something below whose URL the protocol is answered."""

    async def _exchange(self, question: Question, arguments: Mapping[str, Any], below: str = "") -> Any:
        """The answer to a question, or a stream of its pieces when `stream` is true.

        `arguments` are those of the protocol, without what is None; beside them `timeout` (seconds of silence),
        `extra_headers`, `extra_query`, `extra_body` and `config` say how to call.
        """
        readers = question.readers()
        path = below + question.path
        body = {name: value for name, value in arguments.items() if value is not None and name not in _OF_THE_CALL}
        body.update(arguments.get("extra_body") or {})
        options: dict[str, Any] = {
            "query": arguments.get("extra_query"),
            "body": body,
            "headers": arguments.get("extra_headers"),
            "timeout": arguments.get("timeout"),
            "config": arguments.get("config"),
        }
        if not body.get("stream"):
            return readers.whole(await self._call("POST", path, **options))
        stream = await self._open("POST", path, **options)
        await _check_streams(stream)
        return Stream[Any].of_events(stream, lambda text: readers.piece(parsed(text.encode())))

    def http_client(self, asynchronous: bool | None = None) -> Any:
        """An `httpx` client that signs what an OpenAI client sends with it, for one mode or else that of the call."""
        settings = self._config(None)
        return signed_client(settings.session, self.headers, timeouts(settings), asynchronous)


# What answers are


def _types(module: str = "") -> Any:
    try:
        return import_module(f"openai.types{module}")
    except ImportError as error:
        raise ConfigError(
            "the types of the OpenAI protocol are not installed", hint="pip install 'agentrun[model]'"
        ) from error


def _read_as(kind: Any) -> Reader:
    """Reads leniently, as the `openai` client does: what is missing or unknown does not hurt until somebody uses it."""

    def read(answer: Any) -> Any:
        fields = _fields(answer)
        try:
            # An answer with nothing odd in it is read some twenty times as quickly by pydantic's own way.
            return kind.model_validate(fields)
        except ValidationError:
            return kind.model_construct(None, **fields)

    return read


@lru_cache(maxsize=1)
def _chat() -> Readers:
    types = _types(".chat")
    return Readers(_read_as(types.ChatCompletion), _read_as(types.ChatCompletionChunk))


@lru_cache(maxsize=1)
def _embeddings() -> Readers:
    whole = _read_as(_types().CreateEmbeddingResponse)
    return Readers(whole, whole)


@lru_cache(maxsize=1)
def _responses() -> Readers:
    types = _types(".responses")
    kinds = get_args(get_args(types.ResponseStreamEvent)[0])
    by_type = {name: _read_as(kind) for kind in kinds for name in get_args(kind.model_fields["type"].annotation)}
    # An event that this version of the package does not know yet is one with all its fields.
    unknown = _read_as(import_module("openai").BaseModel)

    def piece(answer: Any) -> Any:
        return by_type.get(_fields(answer).get("type"), unknown)(answer)

    return Readers(_read_as(types.Response), piece)


CHAT = Question("/chat/completions", _chat)
EMBEDDINGS = Question("/embeddings", _embeddings)
RESPONSES = Question("/responses", _responses)


# What went wrong although the status was 200


def _fields(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise InvalidResponseError(f"the answer is not in the OpenAI protocol: {answer!r:.200}")
    fields = cast("dict[str, Any]", answer)
    # A response that failed is an answer like any other, and says so in its status.
    if fields.get("error") and fields.get("object") != "response":
        raise _failure(fields)
    return fields


def _failure(fields: dict[str, Any]) -> HTTPError:
    """The error that a body or a chunk carries."""
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
