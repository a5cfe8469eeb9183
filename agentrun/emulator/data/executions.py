"""Code that is executed once, without a context: asked of a fresh interpreter directly, past the sandbox's agent.

It is what many sandboxes are made for and nothing else, so it is worth while that their agents need not start.
Everything out of the ordinary goes to the agent, which also answers what is wrong with a request.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from agentrun._core.values import is_object
from agentrun.emulator.backends.base import RunningSandbox
from agentrun.emulator.guest.interpreter import Outcome, Worker
from agentrun.emulator.guest.outputs import Entry, Output
from agentrun.emulator.guest.results import DEFAULT_TIMEOUT, MAX_TIMEOUT, entries
from agentrun.emulator.http import Request, Response

PATH = "contexts/execute"
LANGUAGE = "python"
_FIELDS = frozenset(("code", "timeout", "language", "contextId", "stream"))
# Most code is done sooner; only then is it worth while to watch whether the caller is still there.
_QUICK_SECONDS = 0.05
# Ending a process takes longer than its answer may.
_DISCARD_SECONDS = 0.01


@dataclass(frozen=True)
class Execution:
    """What is to be executed, for how many seconds at most."""

    code: str
    timeout: float


class InterpreterLost(Exception):
    """The interpreter ended while it executed."""


def read(body: Any) -> Execution | None:
    """What a request asks for; None when the agent has to look at it."""
    if not is_object(body) or not body.keys() <= _FIELDS or body.get("contextId") or body.get("stream"):
        return None
    code, timeout, language = body.get("code"), body.get("timeout"), body.get("language")
    seconds = DEFAULT_TIMEOUT if timeout is None else timeout
    if not isinstance(code, str) or isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    return Execution(code, seconds) if 0 < seconds <= MAX_TIMEOUT and language in (None, "", LANGUAGE) else None


async def execute(wanted: Execution, running: RunningSandbox, request: Request) -> list[Entry] | None:
    """Execute; None when only the agent can. Raises ConnectionAbortedError when the caller goes away.

    Raises InterpreterLost when the interpreter ended; the sandbox may have ended with it.
    """
    interpreter = await running.python()
    if interpreter is None:
        return None
    output = Output()
    run = asyncio.ensure_future(interpreter.execute(wanted.code, wanted.timeout, output))
    try:
        outcome = await _outcome(run, interpreter, request)
    finally:
        asyncio.get_running_loop().call_later(_DISCARD_SECONDS, interpreter.close, "it was wanted once")
    if not running.alive:
        raise InterpreterLost
    return entries(output, outcome, wanted.timeout)


def answered(results: list[Entry]) -> Response:
    """The answer; what code has produced may be no proper Unicode."""
    content = json.dumps({"results": results, "contextId": None}, ensure_ascii=False, separators=(",", ":"))
    return Response(content.encode("utf-8", "replace"))


async def _outcome(run: asyncio.Task[Outcome], interpreter: Worker, request: Request) -> Outcome:
    await asyncio.wait([run], timeout=_QUICK_SECONDS)
    if run.done():
        return run.result()
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait([run, gone], return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not run.done():
            interpreter.stop()
    if not run.done():
        raise ConnectionAbortedError("the caller went away while its code ran")
    return run.result()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
