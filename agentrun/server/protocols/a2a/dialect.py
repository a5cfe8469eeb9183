"""The two lines of the protocol: the same tasks in the words of each."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from agentrun._core.values import is_object
from agentrun.server.protocols.a2a.rpc import NO_EXTENDED_CARD, UNSUPPORTED_OPERATION, RpcError
from agentrun.server.protocols.a2a.states import AT_REST

Json = dict[str, Any]


class Dialect:
    """The words of 1.0, in which tasks are kept."""

    no_extended_card = UNSUPPORTED_OPERATION
    streams_errors_of: Collection[str] = ()

    def task(self, task: Json) -> Json:
        """A task as it is."""
        return task

    def sent(self, task: Json) -> Json:
        """A task as the answer to a message."""
        return {"task": task}

    def update(self, update: Json) -> Json:
        """One thing that happened to a task."""
        return update

    def error(self, error: RpcError) -> Json:
        """Why something cannot be done."""
        return {"code": error.code, "message": error.message, "data": error.details()}

    def history_length(self, asked: int | None) -> int | None:
        """How many messages of a task are shown, None for all."""
        return asked


class OldDialect(Dialect):
    """The words of 0.3."""

    no_extended_card = NO_EXTENDED_CARD
    # Clients of this line read nothing else than a stream in answer to these.
    streams_errors_of = ("message/stream", "tasks/resubscribe")

    def task(self, task: Json) -> Json:
        """A task as it is."""
        return _task(task)

    def sent(self, task: Json) -> Json:
        """A task as the answer to a message."""
        return _task(task)

    def update(self, update: Json) -> Json:
        """One thing that happened to a task."""
        if "artifactUpdate" in update:
            told = update["artifactUpdate"]
            return {"kind": "artifact-update", **told, "artifact": _with_parts(told["artifact"])}
        told = update["statusUpdate"]
        is_final = told["status"]["state"] in AT_REST
        return {"kind": "status-update", **told, "status": _status(told["status"]), "final": is_final}

    def error(self, error: RpcError) -> Json:
        """Why something cannot be done."""
        return {"code": error.code, "message": error.message}

    def history_length(self, asked: int | None) -> int | None:
        """How many messages of a task are shown; 0 is all of them in this line."""
        return asked or None


def _task(task: Json) -> Json:
    told: Json = {"kind": "task", **task, "status": _status(task["status"])}
    if "history" in task:
        told["history"] = [_message(message) for message in task["history"]]
    if "artifacts" in task:
        told["artifacts"] = [_with_parts(artifact) for artifact in task["artifacts"]]
    return told


def _status(status: Json) -> Json:
    told: Json = {**status, "state": status["state"].removeprefix("TASK_STATE_").lower().replace("_", "-")}
    if "message" in status:
        told["message"] = _message(status["message"])
    return told


def _message(message: Json) -> Json:
    role = message["role"].removeprefix("ROLE_").lower()
    return {"kind": "message", **_with_parts(message), "role": role}


def _with_parts(holder: Json) -> Json:
    return {**holder, "parts": [_part(part) for part in holder["parts"]]}


def _part(part: Json) -> Json:
    more = {"metadata": part["metadata"]} if "metadata" in part else {}
    if "text" in part:
        return {"kind": "text", "text": part["text"], **more}
    if "data" in part:
        data = part["data"]
        return {"kind": "data", "data": data if is_object(data) else {"value": data}, **more}
    names = {"raw": "bytes", "url": "uri", "mediaType": "mimeType", "filename": "name"}
    return {"kind": "file", "file": {old: part[name] for name, old in names.items() if name in part}, **more}
