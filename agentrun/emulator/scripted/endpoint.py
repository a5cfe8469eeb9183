"""The HTTP endpoint of a scripted model: the OpenAI API, with the rerank that others add to it."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from agentrun._serving.openai_error import DO_NOT_RETRY, ApiError
from agentrun.emulator.scripted.chat_request import read_chat_request
from agentrun.emulator.scripted.completion import Completion
from agentrun.emulator.scripted.conversation import Conversation
from agentrun.emulator.scripted.embeddings import embed
from agentrun.emulator.scripted.fields import given, read_body, read_model, string
from agentrun.emulator.scripted.moderation import DEFAULT_MODEL, moderate
from agentrun.emulator.scripted.reply import Reply
from agentrun.emulator.scripted.rerank import rerank
from agentrun.emulator.scripted.response import Response
from agentrun.emulator.scripted.response_request import read_response_request
from agentrun.emulator.scripted.script import Script, ScriptError, ScriptMismatchError
from agentrun.emulator.scripted.sending import send_answer, send_json

_Answerer: TypeAlias = Callable[[Mapping[str, object], Receive, Send], Awaitable[None]]
_log = logging.getLogger(__name__)

_ROUTE = re.compile(
    r"/v1/(?P<asked>chat/completions|responses|embeddings|rerank|moderations)$|/v1/models(/(?P<model>.+))?$"
)
_ABSENT = re.compile(r"/v1/(completions|responses/.+|images/.+|audio/.+|files.*|batches.*)$")
_CHAT_FIELDS: Mapping[str, str] = {}
_RESPONSE_FIELDS = {"messages": "input", "response_format": "text.format"}
_SERVED = "/v1/chat/completions, /v1/responses, /v1/embeddings, /v1/rerank, /v1/moderations or /v1/models"


class ModelFields(TypedDict):
    """One model in the list of models; `created` is 0, for a script has no date."""

    id: str
    object: str
    created: int
    owned_by: str


class ScriptedModel:
    """An ASGI application that answers `.../v1/chat/completions`, `.../v1/responses` and the like from a script.

    `script` may be replaced at any time; without one the model repeats the user. `api_keys` are the keys that are
    accepted, any non-empty key without it. `clock` tells the seconds since 1970 that answers carry. Nothing is kept
    between two requests.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        api_keys: Collection[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.script = Script() if script is None else script
        self._api_keys = api_keys
        self._clock = clock
        self._answers: Mapping[str, _Answerer] = {
            "chat/completions": self._complete,
            "responses": self._respond,
            "embeddings": self._embed,
            "rerank": self._rerank,
            "moderations": self._moderate,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other kinds of connections are left alone."""
        if scope["type"] != "http":
            return
        try:
            await self._serve(Request(scope, receive), send)
        except ApiError as error:
            await send_json(send, error.status, error.body(), error.headers)
        except ClientDisconnect:
            return

    async def _serve(self, request: Request, send: Send) -> None:
        route = _find_route(request)
        _check_key(request.headers.get("authorization", ""), self._api_keys)
        if route.asked:
            await self._answers[route.asked](read_body(await request.body()), request.receive, send)
        elif route.model:
            self._script_of(route.model)
            await send_json(send, 200, _describe_model(route.model))
        else:
            names = ["scripted"] if self.script.models is None else self.script.models
            await send_json(send, 200, {"object": "list", "data": [_describe_model(name) for name in names]})

    async def _complete(self, fields: Mapping[str, object], receive: Receive, send: Send) -> None:
        asked = read_chat_request(fields)
        reply = self._reply(asked.conversation)
        answer = Completion(asked.conversation, reply, int(self._clock()), asked.include_usage)
        await send_answer(receive, send, answer, stream=asked.stream)

    async def _respond(self, fields: Mapping[str, object], receive: Receive, send: Send) -> None:
        asked = read_response_request(fields)
        reply = self._reply(asked.conversation, _RESPONSE_FIELDS)
        answer = Response(asked.conversation, reply, int(self._clock()))
        await send_answer(receive, send, answer, stream=asked.stream)

    async def _embed(self, fields: Mapping[str, object], _: Receive, send: Send) -> None:
        await send_json(send, 200, embed(self._existing(read_model(fields)), fields))

    async def _rerank(self, fields: Mapping[str, object], _: Receive, send: Send) -> None:
        await send_json(send, 200, rerank(self._existing(read_model(fields)), fields))

    async def _moderate(self, fields: Mapping[str, object], _: Receive, send: Send) -> None:
        model = string(given(fields, "model", DEFAULT_MODEL), "model")
        script = self._script_of(model) if fields.get("model") else self.script
        await send_json(send, 200, moderate(script.moderation, model, fields))

    def _reply(self, conversation: Conversation, names: Mapping[str, str] = _CHAT_FIELDS) -> Reply:
        """Ask the script; `names` say what the request calls a field that chat calls otherwise."""
        script = self._script_of(conversation.model)
        try:
            return script.answer(conversation)
        except ScriptMismatchError as error:
            # Logged as well, because many agents hide what a model answered.
            _log.error("%s", error)
            raise ApiError(400, str(error), "script_mismatch", names.get(error.param, error.param)) from error
        except ScriptError as error:
            _log.error("%s", error)
            raise ApiError(500, str(error), "script_error", type="server_error", headers=DO_NOT_RETRY) from error

    def _existing(self, model: str) -> str:
        self._script_of(model)
        return model

    def _script_of(self, model: str) -> Script:
        """Return the script of a model; raise ApiError 404 when there is no such model."""
        script = self.script.of_model(model)
        if script is None:
            known = ", ".join(repr(name) for name in self.script.models or ()) or "none"
            raise ApiError(404, f"The model {model!r} does not exist; there are: {known}.", "model_not_found", "model")
        return script


@dataclass(frozen=True)
class _Route:
    asked: str
    model: str


def _find_route(request: Request) -> _Route:
    path = request.scope["path"]
    found = _ROUTE.search(path)
    if found is None:
        raise _no_route(path)
    allowed = "POST" if found["asked"] else "GET"
    if request.method != allowed:
        text = f"{request.method} {path} is not allowed: use {allowed}."
        raise ApiError(405, text, "method_not_allowed", headers={"allow": allowed})
    return _Route(found["asked"] or "", found["model"] or "")


def _no_route(path: str) -> ApiError:
    if _ABSENT.search(path):
        text = f"A scripted model does not serve {path}: it serves {_SERVED}."
        return ApiError(501, text, "not_implemented", type="server_error", headers=DO_NOT_RETRY)
    return ApiError(404, f"There is nothing at {path}: a path ends in {_SERVED}.", "not_found")


def _check_key(authorization: str, accepted: Collection[str] | None) -> None:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError(401, "There is no API key: send the header 'Authorization: Bearer KEY'.", "missing_api_key")
    if accepted is not None and not _is_one_of(key.strip(), accepted):
        raise ApiError(401, "The API key is not one of the accepted keys.", "invalid_api_key")


def _is_one_of(key: str, accepted: Collection[str]) -> bool:
    return any(secrets.compare_digest(key.encode(), each.encode()) for each in accepted)


def _describe_model(name: str) -> ModelFields:
    return {"id": name, "object": "model", "created": 0, "owned_by": "agentrun"}
