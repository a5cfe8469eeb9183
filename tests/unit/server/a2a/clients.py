"""The clients of `a2a-sdk`, whichever of its two lines is installed, and what they hear in one shape.

The 1.x line speaks both versions of the protocol, the 0.3 line its own.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module, metadata
from typing import Any, TypeVar

import anyio
import httpx

from tests.unit.server.serving import PATIENCE, Served

T = TypeVar("T")
Json = dict[str, Any]

FIRST_LINE = metadata.version("a2a-sdk").startswith("0.")
LINES = ["0.3"] if FIRST_LINE else ["1.0", "0.3"]
PNG = "iVBORw0KGgo="


class RefusedError(Exception):
    """The server answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass
class Heard:
    """A task, or one thing that happened to it, in the words of 1.0."""

    kind: str  # task, status or artifact
    task_id: str
    context_id: str
    state: str = ""
    parts: list[Json] = field(default_factory=list[Json])  # Of the artifact, or of the status' message.
    about: Json = field(default_factory=dict[str, Any])  # The metadata of the status' message.
    document: Json = field(default_factory=dict[str, Any])

    @property
    def text(self) -> str:
        return "".join(part.get("text", "") for part in self.parts)

    @property
    def history(self) -> list[Json]:
        return [_message(message) for message in self.document.get("history", [])]

    @property
    def usage(self) -> Any:
        return self.document.get("metadata", {}).get("usage")


def heard(document: Json) -> Heard:
    """What either line says."""
    for name in ("task", "statusUpdate", "artifactUpdate"):
        if name in document:
            document = document[name]
    if "artifact" in document:
        return _of(document, "artifact", parts=document["artifact"]["parts"])
    message = document["status"].get("message", {})
    state = document["status"]["state"].removeprefix("TASK_STATE_").lower().replace("_", "-")
    if "taskId" in document:
        return _of(document, "status", state, message.get("parts", []), message.get("metadata", {}))
    artifacts = [part for artifact in document.get("artifacts", []) for part in artifact["parts"]]
    parts = artifacts or message.get("parts", [])
    return _of(document, "task", state, parts, message.get("metadata", {}))


def _of(document: Json, kind: str, state: str = "", parts: list[Json] | None = None, about: Any = None) -> Heard:
    task_id = document.get("taskId") or document["id"]
    return Heard(kind, task_id, document["contextId"], state, [_part(part) for part in parts or ()], about, document)


def _part(part: Json) -> Json:
    if "kind" not in part:
        return part
    names = {"bytes": "raw", "uri": "url", "mimeType": "mediaType", "name": "filename"}
    file = {names[name]: value for name, value in part.get("file", {}).items()}
    return {**{name: value for name, value in part.items() if name not in ("kind", "file")}, **file}


def _message(message: Json) -> Json:
    role = message["role"].removeprefix("ROLE_").lower()
    return {**message, "role": role, "parts": [_part(part) for part in message["parts"]]}


def text(words: str) -> Json:
    return {"text": words}


class Speaker:
    """A client that speaks one version of the protocol; parts are given in the words of 1.0."""

    def __init__(self, client: Any, line: str) -> None:
        self._client, self._line = client, line

    async def send(self, *parts: Json, waits: bool = True, history: int | None = None, **message: Any) -> Heard:
        """The task that an answer in one piece is."""
        return [each async for each in self._say(parts, message, False, waits, history)][-1]

    def stream(self, *parts: Json, **message: str) -> AsyncIterator[Heard]:
        """All that comes of a message."""
        return self._say(parts, message, True, True, None)

    async def _say(
        self, parts: Any, message: Json, streams: bool, waits: bool, history: int | None
    ) -> AsyncIterator[Heard]:
        self._client._config.streaming = streams
        self._client._config.polling = not waits
        said = {"messageId": "m1", **message}
        with refusing():
            async for each in (_ask_first if FIRST_LINE else _ask_second)(self._client, parts, said, history):
                yield heard(each)

    async def get(self, task_id: str, history: int | None = None) -> Heard:
        return await self._task("get_task", id=task_id, **({} if history is None else {"historyLength": history}))

    async def cancel(self, task_id: str) -> Heard:
        return await self._task("cancel_task", id=task_id)

    async def _task(self, method: str, **params: Any) -> Heard:
        models = {
            "get_task": ("TaskQueryParams", "GetTaskRequest"),
            "cancel_task": ("TaskIdParams", "CancelTaskRequest"),
        }
        with refusing():
            return heard(plain(await getattr(self._client, method)(request(models[method], params))))

    async def resubscribe(self, task_id: str) -> AsyncIterator[Heard]:
        asked = request(("TaskIdParams", "SubscribeToTaskRequest"), {"id": task_id})
        with refusing():
            async for each in self._client.resubscribe(asked) if FIRST_LINE else self._client.subscribe(asked):
                yield heard(plain((each[1] or each[0]) if FIRST_LINE else each))

    async def list(self, **params: Any) -> Json:
        with refusing():
            return plain(await self._client.list_tasks(request(("", "ListTasksRequest"), params)))

    async def set_push(self, task_id: str) -> None:
        settings = {"url": "https://page.test", "id": "1"}
        params = {"taskId": task_id, **({"pushNotificationConfig": settings} if FIRST_LINE else settings)}
        asked = request(("TaskPushNotificationConfig", "TaskPushNotificationConfig"), params)
        with refusing():
            name = "set_task_callback" if FIRST_LINE else "create_task_push_notification_config"
            await getattr(self._client, name)(asked)


async def _ask_first(client: Any, parts: Any, message: Json, history: int | None) -> AsyncIterator[Json]:
    types: Any = import_module("a2a.types")
    said = {**message, "role": "user", "parts": [_old_part(part) for part in parts]}
    settings = types.MessageSendConfiguration(history_length=history, blocking=not client._config.polling)
    async for each in client.send_message(types.Message.model_validate(said), configuration=settings):
        yield plain(each[1] or each[0])


def _old_part(part: Json) -> Json:
    if "text" in part or "data" in part:
        return {"kind": "text" if "text" in part else "data", **part}
    names = {"raw": "bytes", "url": "uri", "mediaType": "mimeType", "filename": "name"}
    return {"kind": "file", "file": {old: part[name] for name, old in names.items() if name in part}}


async def _ask_second(client: Any, parts: Any, message: Json, history: int | None) -> AsyncIterator[Json]:
    settings = {} if history is None else {"historyLength": history}
    params = {"message": {**message, "role": "ROLE_USER", "parts": list(parts)}, "configuration": settings}
    async for each in client.send_message(request(("", "SendMessageRequest"), params)):
        yield plain(each)


def request(models: tuple[str, str], params: Json) -> Any:
    """One of the models of the package, by the names of its two lines."""
    types: Any = import_module("a2a.types" if FIRST_LINE else "a2a.types.a2a_pb2")
    if FIRST_LINE:
        return getattr(types, models[0]).model_validate(params)
    return import_module("google.protobuf.json_format").ParseDict(params, getattr(types, models[1])())


def plain(model: Any) -> Json:
    """What is on the wire."""
    if FIRST_LINE:
        dumped: Json = model.model_dump(mode="json", by_alias=True, exclude_none=True)
        return dumped
    found: Json = import_module("google.protobuf.json_format").MessageToDict(model)
    return found


class refusing:
    """Errors of either line as one."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: Any, error: Any, __: Any) -> None:
        if error is None:
            return
        if FIRST_LINE:
            found = getattr(getattr(error, "error", None), "error", None) or getattr(error, "error", None)
            code, message = getattr(found, "code", None), str(getattr(found, "message", ""))
        else:
            codes: Any = import_module("a2a.utils.errors").JSON_RPC_ERROR_CODE_MAP
            code, message = codes.get(type(error)), str(error)
        if code is not None:
            raise RefusedError(code, message) from error


@asynccontextmanager
async def speaking(served: Served, line: str = LINES[0], **headers: str) -> AsyncGenerator[Speaker, None]:
    """A client that has read the card."""
    client: Any = import_module("a2a.client")
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False, verify=False, headers=headers) as http:
        card = await client.A2ACardResolver(http, served.root).get_agent_card()
        if not FIRST_LINE:
            kept = [each for each in card.supported_interfaces if each.protocol_version == line]
            del card.supported_interfaces[:]
            card.supported_interfaces.extend(kept)
        yield Speaker(client.ClientFactory(client.ClientConfig(httpx_client=http)).create(card), line)


def talk(served: Served, line: str, conversation: Callable[[Speaker], Coroutine[Any, Any, T]], **headers: str) -> T:
    """What a conversation comes to."""

    async def run() -> T:
        with anyio.fail_after(PATIENCE):
            async with speaking(served, line, **headers) as speaker:
                return await conversation(speaker)

    return asyncio.run(run())


def streamed(served: Served, line: str, *parts: Json, **message: str) -> list[Heard]:
    """All that comes of a message, in order."""

    async def conversation(speaker: Speaker) -> list[Heard]:
        return [each async for each in speaker.stream(*(parts or [text("hi")]), **message)]

    events = talk(served, line, conversation)
    check(events)
    return events


def whole(served: Served, line: str, *parts: Json, **message: Any) -> Heard:
    """The answer to a message in one piece."""
    return talk(served, line, lambda speaker: speaker.send(*(parts or [text("hi")]), **message))


def check(events: list[Heard]) -> None:
    """The order that the protocol asks for: a task first, then what happens to it, and one end."""
    assert [each.kind for each in events[:2]] == ["task", "status"]
    assert [events[0].state, events[1].state] == ["submitted", "working"]
    assert {(each.task_id, each.context_id) for each in events} == {(events[0].task_id, events[0].context_id)}
    assert all(each.state == "working" for each in events[1:-1] if each.kind == "status")
    assert (events[-1].kind, events[-1].state in ("completed", "failed", "canceled", "input-required")) == (
        "status",
        True,
    )
    begun: set[str] = set()
    for each in events:
        if each.kind == "artifact":
            artifact_id = each.document["artifact"]["artifactId"]
            assert each.document.get("append", False) == (artifact_id in begun)
            begun.add(artifact_id)


def raw(part: Json) -> bytes:
    return base64.b64decode(part["raw"])
