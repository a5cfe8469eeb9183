"""Routes to begin tasks, to ask for them and to end them."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, get_type_hints

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from agentrun._core.values import is_object
from agentrun._serving.openai_error import ApiError, bad_request
from agentrun.errors import StorageError
from agentrun.server.protocols.protocol import dumps
from agentrun.server.protocols.reading import validated
from agentrun.server.runs.tasks import Function, TaskRunner
from agentrun.server.streaming import error_answer

DEFAULT_QUEUE = "celery"


def task_routes(path: str, function: Function, tasks: TaskRunner, queue: str = DEFAULT_QUEUE) -> Sequence[BaseRoute]:
    """`POST path`, which gives the function its JSON, then `GET path/ID` and `POST path/ID/cancel`."""
    call = with_body(function)
    tasks.register(call, queue)

    async def submit(request: Request) -> Any:
        body = await _body(request)
        arguments_of(function, body)  # Who sent it can change it; the task could not.
        return submitted(await tasks.submit(call, body), queue)

    async def status(request: Request) -> Any:
        return await tasks.status(request.path_params["task_id"])

    async def cancel(request: Request) -> Any:
        task_id = request.path_params["task_id"]
        return {"task_id": task_id, "canceled": await tasks.cancel(task_id)}

    return [
        Route(path, answering(submit), methods=["POST"]),
        Route(f"{path}/{{task_id}}", answering(status), methods=["GET"]),
        Route(f"{path}/{{task_id}}/cancel", answering(cancel), methods=["POST"]),
    ]


def submitted(task_id: str, queue: str, what: str = "Task") -> dict[str, str]:
    """What is answered to whoever begins a task."""
    return {
        "task_id": task_id,
        "status": "submitted",
        "queue": queue,
        "message": f"{what} submitted successfully",
    }


def answering(answer: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers JSON, or what is wrong."""

    async def endpoint(request: Request) -> Response:
        try:
            return Response(dumps(await answer(request)), media_type="application/json")
        except ApiError as error:
            return error_answer(error)
        except StorageError as error:
            return error_answer(ApiError(503, str(error), "storage_unavailable", type="server_error"))

    return endpoint


def with_body(function: Function) -> Function:
    """A function of the JSON of a request, in place of one of as many arguments as it has."""

    @functools.wraps(function)
    def call(body: Any) -> Any:
        positional, named = arguments_of(function, body)
        return function(*positional, **named)

    return call


def arguments_of(function: Function, body: Any) -> tuple[list[Any], dict[str, Any]]:
    """What to call a function with: nothing, all of the body, or its fields by their names; raises ApiError."""
    signature = inspect.signature(function)
    if not signature.parameters:
        return [], {}
    if len(signature.parameters) == 1:
        return [_as_model(function, next(iter(signature.parameters)), body)], {}
    if not is_object(body):
        raise bad_request(f"The body is a {type(body).__name__}, not a JSON object", "invalid_json")
    try:
        signature.bind(**body)
    except TypeError as error:
        raise bad_request(
            f"The fields are those of {function.__name__}{signature}: {error}", "invalid_value"
        ) from error
    return [], body


def _as_model(function: Function, name: str, body: Any) -> Any:
    try:
        wanted = get_type_hints(function).get(name)
    except NameError:  # What only a type checker imports.
        return body
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return validated(wanted, body, name)
    return body


async def _body(request: Request) -> Any:
    """The JSON of a request, an empty object where there is none; raises ApiError."""
    try:
        return json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is not JSON: {error}", "invalid_json") from error
