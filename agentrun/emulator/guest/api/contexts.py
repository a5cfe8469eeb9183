"""`/contexts`: interpreters that keep their state, and the code they execute."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentrun.emulator.guest import fields
from agentrun.emulator.guest.contexts import Context, Contexts, Execution
from agentrun.emulator.guest.errors import BadRequest, Exhausted, GuestError
from agentrun.emulator.guest.events import CallerGone, EventStream
from agentrun.emulator.guest.interpreter import Ending, Outcome
from agentrun.emulator.guest.outputs import Entry
from agentrun.emulator.guest.paths import resolve
from agentrun.emulator.guest.replies import Failure, Reply
from agentrun.emulator.guest.results import DEFAULT_TIMEOUT, MAX_TIMEOUT, ending, entries
from agentrun.emulator.guest.sources import Sources

QUICK = 0.05  # seconds until it is worth while to watch whether the caller is still there
PAUSE = 0.01  # seconds in which small pieces of output gather
LANGUAGE = "python"
DISCARD_DELAY = 0.01


class Answer(Response):
    """JSON of what code has produced, which may be no proper Unicode."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """One document."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class ContextsAPI:
    """The handlers of `/contexts`."""

    def __init__(self, home: Path, sources: Sources) -> None:
        self._contexts = Contexts(home, sources)

    async def open(self) -> None:
        """Get ready for the first execution."""
        await self._contexts.open()

    def close(self) -> None:
        """End all contexts."""
        self._contexts.close()

    def routes(self) -> list[Route]:
        """The table of this part of the interface."""
        return [
            Route("/contexts/execute", self._execute, methods=["POST"]),
            Route("/contexts", self._create, methods=["POST"]),
            Route("/contexts", self._list, methods=["GET"]),
            Route("/contexts/{context_id}", self._show, methods=["GET"]),
            Route("/contexts/{context_id}", self._delete, methods=["DELETE"]),
            Route("/contexts/{context_id}/restart", self._restart, methods=["POST"]),
            Route("/contexts/{context_id}/interrupt", self._interrupt, methods=["POST"]),
            Route("/contexts/{context_id}/checkpoint", self._checkpoint, methods=["POST"]),
            Route("/contexts/{context_id}/checkpoints", self._checkpoints, methods=["GET"]),
            Route("/contexts/{context_id}/checkpoints/{checkpoint_id}", self._forget, methods=["DELETE"]),
            Route("/contexts/{context_id}/rollback", self._rollback, methods=["POST"]),
            Route("/contexts/{context_id}/fork", self._fork, methods=["POST"]),
        ]

    def _named(self, request: Request) -> Context:
        return self._contexts.get(request.path_params["context_id"])

    async def _create(self, request: Request) -> Response:
        body = await fields.body(request, ("language", "cwd"))
        cwd = body.optional("cwd", str, "")
        context = await self._contexts.create(body.optional("language", str, LANGUAGE), resolve(cwd) if cwd else None)
        return Answer(context.describe())

    async def _list(self, _request: Request) -> Response:
        return Answer([context.describe() for context in self._contexts.all()])

    async def _show(self, request: Request) -> Response:
        return Answer(self._named(request).describe())

    async def _delete(self, request: Request) -> Response:
        self._contexts.delete(request.path_params["context_id"])
        return Response(status_code=204)

    async def _restart(self, request: Request) -> Response:
        context = self._named(request)
        await context.restart()
        return Answer(context.describe())

    async def _interrupt(self, request: Request) -> Response:
        return Answer({"interrupted": self._named(request).interrupt()})

    async def _checkpoint(self, request: Request) -> Response:
        return Answer(await self._named(request).checkpoint())

    async def _checkpoints(self, request: Request) -> Response:
        return Answer(self._named(request).checkpoints.all())

    async def _forget(self, request: Request) -> Response:
        self._named(request).checkpoints.remove(request.path_params["checkpoint_id"])
        return Response(status_code=204)

    async def _rollback(self, request: Request) -> Response:
        body = await fields.body(request, ("checkpointId",))
        context = self._named(request)
        await context.rollback(body.required("checkpointId", str))
        return Answer(context.describe())

    async def _fork(self, request: Request) -> Response:
        body = await fields.body(request, ("count",))
        forks = await self._contexts.fork(request.path_params["context_id"], body.optional("count", int, 1))
        return Answer([fork.describe() for fork in forks])

    async def _execute(self, request: Request) -> Response:
        body = await fields.body(request, ("code", "timeout", "language", "contextId", "stream"))
        code, timeout = body.required("code", str), _timeout(body)
        context_id, stream = body.optional("contextId", str, ""), body.optional("stream", bool, False)
        execution = self._begin(context_id, body.optional("language", str, ""), code, timeout)
        if stream:
            return EventStream(_events(execution, timeout, context_id))
        results = await _results(request, execution, timeout)
        return Answer({"results": results, "contextId": context_id or None})

    def _begin(self, context_id: str, language: str, code: str, timeout: float) -> Execution:
        if context_id:
            context = self._contexts.get(context_id)
            context.check_language(language)
            return Execution(context, code, timeout)
        context = self._contexts.make(language or LANGUAGE)
        execution = Execution(context, code, timeout)
        # Ending a process takes longer than its answer may.
        loop = asyncio.get_running_loop()
        execution.over.add_done_callback(lambda _: loop.call_later(DISCARD_DELAY, context.close))
        return execution


async def _results(request: Request, execution: Execution, timeout: float) -> list[Entry]:
    """Everything at its end; CallerGone when the caller has gone away, who takes the execution along."""
    await asyncio.wait([execution.over], timeout=QUICK)
    if not execution.over.done():
        await _watch(request, execution)
    outcome = await execution.over
    return entries(execution.output, outcome, timeout)


async def _watch(request: Request, execution: Execution) -> None:
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([execution.over, gone], return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not execution.over.done():
            execution.abandon()
    if gone.done() and not execution.over.done():
        raise CallerGone


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _events(execution: Execution, timeout: float, context_id: str) -> AsyncGenerator[Entry]:
    """Everything as it happens, small pieces together; to close it before its end abandons the execution."""
    try:
        while not execution.over.done():
            await execution.output.changed.wait()
            await asyncio.wait([execution.over], timeout=PAUSE)
            for entry in execution.output.take():
                yield entry
        for entry in execution.output.take(final=True):
            yield entry
        for entry in await _end(execution, timeout):
            yield entry if entry["type"] != "endOfExecution" else {**entry, "contextId": context_id or None}
    finally:
        execution.abandon()


async def _end(execution: Execution, timeout: float) -> list[Entry]:
    """How it ended; a refusal is an entry too, because the answer has begun."""
    try:
        return ending(await execution.over, timeout)
    except GuestError as error:
        failure = Failure(error.code, str(error), str(error))
    except OSError as error:
        failure = Failure(Exhausted.code, str(error), f"the interpreter could not be started: {error}")
    return ending(Outcome(Ending.ERROR, Reply(error=failure)), timeout)


def _timeout(body: fields.Fields) -> float:
    seconds = body.optional("timeout", float, DEFAULT_TIMEOUT)
    if not 0 < seconds <= MAX_TIMEOUT:
        raise BadRequest(f"the timeout must be above 0 and at most {MAX_TIMEOUT:g} seconds, not {seconds:g}")
    return seconds
