"""The HTTP endpoint of a scripted model: the OpenAI API, for chat completions and models."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypedDict

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from agentrun.emulator.scripted.chat_request import ChatRequest, read_chat_request
from agentrun.emulator.scripted.completion import Completion, encode
from agentrun.emulator.scripted.conversation import Conversation
from agentrun.emulator.scripted.errors import DO_NOT_RETRY, ApiError
from agentrun.emulator.scripted.reply import Reply, ReplyError
from agentrun.emulator.scripted.script import Script, ScriptError, ScriptMismatchError

_log = logging.getLogger(__name__)

_ROUTE = re.compile(r"/v1/(chat/completions|models|models/(?P<model>.+))$")
_ABSENT = re.compile(r"/v1/(completions|embeddings|responses|images/.+|audio/.+|files.*|batches.*)$")

# Between so many events of a stream the loop runs: other requests get their turn, and a client that left is noticed.
_EVENTS_PER_TURN = 16


class ModelFields(TypedDict):
    """One model in the list of models; `created` is 0, for a script has no date."""

    id: str
    object: str
    created: int
    owned_by: str


class ScriptedModel:
    """An ASGI application that answers `.../v1/chat/completions` and `.../v1/models` from a script.

    `script` may be replaced at any time; without one the model repeats the user. `models` are the names that exist,
    any name without it. `api_keys` are the keys that are accepted, any non-empty key without it. `clock` tells the
    seconds since 1970 that answers carry. Nothing is kept between two requests.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        models: Sequence[str] | None = None,
        api_keys: Collection[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.script = Script() if script is None else script
        self._models = models
        self._api_keys = api_keys
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other kinds of connections are left alone."""
        if scope["type"] != "http":
            return
        try:
            await self._serve(Request(scope, receive), send)
        except ApiError as error:
            await _send_json(send, error.status, error.body(), error.headers)
        except ClientDisconnect:
            return

    async def _serve(self, request: Request, send: Send) -> None:
        route = _find_route(request)
        _check_key(request.headers.get("authorization", ""), self._api_keys)
        if route.chat:
            await self._complete(request, send)
        elif route.model:
            self._check_model(route.model)
            await _send_json(send, 200, _describe_model(route.model))
        else:
            models = [_describe_model(name) for name in self._models or ["scripted"]]
            await _send_json(send, 200, {"object": "list", "data": models})

    async def _complete(self, request: Request, send: Send) -> None:
        asked = read_chat_request(await request.body())
        self._check_model(asked.conversation.model)
        reply = _answer(self.script, asked.conversation)
        completion = Completion(asked.conversation, reply, int(self._clock()))
        if reply.delay or asked.stream:
            await _answer_present(request.receive, send, asked, completion)
        else:
            await _send_whole(send, completion)

    def _check_model(self, name: str) -> None:
        if self._models is not None and name not in self._models:
            known = ", ".join(repr(model) for model in self._models) or "none"
            text = f"The model {name!r} does not exist; there are: {known}."
            raise ApiError(404, text, "model_not_found", "model")


@dataclass(frozen=True)
class _Route:
    chat: bool
    model: str


class _Presence:
    """Whether the client is still there; it listens until `leave` is called."""

    def __init__(self, receive: Receive) -> None:
        self._gone = asyncio.ensure_future(_wait_disconnect(receive))

    async def stays(self, seconds: float) -> bool:
        """Wait, and return whether the client is still there; return at once when it leaves."""
        if seconds:
            await asyncio.wait({self._gone}, timeout=seconds)
        else:
            await asyncio.sleep(0)
        return not self._gone.done()

    def leave(self) -> None:
        """Stop listening."""
        self._gone.cancel()


async def _answer_present(receive: Receive, send: Send, asked: ChatRequest, completion: Completion) -> None:
    """Answer after the delay of the reply, for as long as the client is there."""
    presence = _Presence(receive)
    try:
        if not await presence.stays(completion.reply.delay):
            return
        if asked.stream and completion.reply.error is None:
            await _send_stream(send, presence, completion, include_usage=asked.include_usage)
        else:
            await _send_whole(send, completion)
    finally:
        presence.leave()


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_whole(send: Send, completion: Completion) -> None:
    if completion.reply.error is not None:
        raise _as_api_error(completion.reply.error)
    await _send_json(send, 200, completion.body(), _notes(completion.conversation))


async def _send_stream(send: Send, presence: _Presence, completion: Completion, *, include_usage: bool) -> None:
    headers = {"cache-control": "no-cache", **_notes(completion.conversation)}
    await send(_start(200, "text/event-stream; charset=utf-8", headers))
    for number, event in enumerate(completion.events(include_usage=include_usage), start=1):
        await send({"type": "http.response.body", "body": event, "more_body": True})
        if number % _EVENTS_PER_TURN == 0 and not await presence.stays(0):
            return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_json(send: Send, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
    body = encode(value)
    await send(_start(status, "application/json", {"content-length": str(len(body)), **(headers or {})}))
    await send({"type": "http.response.body", "body": body})


def _start(status: int, content_type: str, headers: Mapping[str, str]) -> Message:
    pairs = {"content-type": content_type, **headers}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs.items()]
    return {"type": "http.response.start", "status": status, "headers": raw}


def _notes(conversation: Conversation) -> dict[str, str]:
    return {"x-agentrun-notes": "; ".join(conversation.notes)} if conversation.notes else {}


def _find_route(request: Request) -> _Route:
    path = request.scope["path"]
    found = _ROUTE.search(path)
    if found is None:
        raise _no_route(path)
    chat = found[1] == "chat/completions"
    allowed = "POST" if chat else "GET"
    if request.method != allowed:
        text = f"{request.method} {path} is not allowed: use {allowed}."
        raise ApiError(405, text, "method_not_allowed", headers={"allow": allowed})
    return _Route(chat, found["model"] or "")


def _no_route(path: str) -> ApiError:
    if _ABSENT.search(path):
        text = f"A scripted model does not serve {path}: it serves /v1/chat/completions and /v1/models."
        return ApiError(501, text, "not_implemented", type="server_error", headers=DO_NOT_RETRY)
    return ApiError(404, f"There is nothing at {path}: a path ends in /v1/chat/completions or /v1/models.", "not_found")


def _check_key(authorization: str, accepted: Collection[str] | None) -> None:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError(401, "There is no API key: send the header 'Authorization: Bearer KEY'.", "missing_api_key")
    if accepted is not None and not _is_one_of(key.strip(), accepted):
        raise ApiError(401, "The API key is not one of the accepted keys.", "invalid_api_key")


def _is_one_of(key: str, accepted: Collection[str]) -> bool:
    return any(secrets.compare_digest(key.encode(), each.encode()) for each in accepted)


def _answer(script: Script, conversation: Conversation) -> Reply:
    try:
        return script.answer(conversation)
    except ScriptMismatchError as error:
        # Logged as well, because many agents hide what a model answered.
        _log.error("%s", error)
        raise ApiError(400, str(error), "script_mismatch", error.param) from error
    except ScriptError as error:
        _log.error("%s", error)
        raise ApiError(500, str(error), "script_error", type="server_error", headers=DO_NOT_RETRY) from error


def _as_api_error(error: ReplyError) -> ApiError:
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        # The standard header knows whole seconds only; the openai client prefers the one in milliseconds.
        headers = {"retry-after": str(ceil(error.retry_after)), "retry-after-ms": str(round(error.retry_after * 1000))}
    return ApiError(error.status, error.message, error.code, error.param, error.type, headers)


def _describe_model(name: str) -> ModelFields:
    return {"id": name, "object": "model", "created": 0, "owned_by": "agentrun"}
