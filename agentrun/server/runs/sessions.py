"""One run at a time for each session, and an end to it on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import anyio

from agentrun.errors import StorageError
from agentrun.server.events import AgentEvent
from agentrun.server.model import AgentRequest
from agentrun.server.runs.interrupts import InterruptBackend, LocalInterruptBackend
from agentrun.server.runs.run import Interruption, RefusedError, Run, error_event

T = TypeVar("T")

_STOP_SECONDS = 1.0
_STOP_POLL_SECONDS = 0.01


class Sessions:
    """Lets one run at a time have a session, which is a pair of a user and a session id, and stops it.

    A session whose user is unknown is one of the user whose id is that of the session, as in the Agent API. A run
    without a session id stands for itself.
    """

    def __init__(self, backend: InterruptBackend | None = None) -> None:
        self._backend: InterruptBackend = LocalInterruptBackend() if backend is None else backend
        self._loop: asyncio.AbstractEventLoop | None = None
        self._freeing: set[asyncio.Task[None]] = set()

    def around(
        self, request: AgentRequest, events: AsyncGenerator[AgentEvent, None]
    ) -> AsyncGenerator[AgentEvent, None]:
        """The events of a run, or one ERROR while the session has another one."""
        if not request.session_id:
            return events
        session = _name(request.user_id, request.session_id)
        tokens: list[str] = []
        run = Run(_ENDS, lambda: self._free(session, tokens))
        return run.events(events, self._held(request, session, run, tokens))

    async def stop(self, user_id: str | None, session_id: str) -> bool:
        """Interrupt the run of a session, wherever it runs, and say whether there was one.

        It returns when the run is over, or after a second. The stream of the run ends with the code CancelledError.
        May be called from any event loop. Raises StorageError when the backend is away.
        """
        return await self._at_home(self._stop(_name(user_id, session_id)))

    async def close(self) -> None:
        """Give up what the backend holds."""
        await self._backend.close()
        self._loop = None

    @asynccontextmanager
    async def _held(
        self, request: AgentRequest, session: str, run: Run, tokens: list[str]
    ) -> AsyncGenerator[None, None]:
        """While this lasts the session is the run's; raises RefusedError."""
        self._loop = asyncio.get_running_loop()
        try:
            token = await self._backend.begin(session, run.interrupt)
        except StorageError as error:
            message = f"The runs of sessions cannot be told apart: {error}"
            raise RefusedError(error_event("SESSIONS_UNAVAILABLE", message, 503)) from error
        if token is None:
            raise RefusedError(_busy(request))
        tokens.append(token)
        try:
            yield
        finally:
            await self._backend.end(session, token)

    def _free(self, session: str, tokens: list[str]) -> None:
        """Free the session of a run that is stopped and cannot end, as nobody takes its events."""
        for token in tokens:
            task = asyncio.get_running_loop().create_task(self._backend.end(session, token))
            self._freeing.add(task)
            task.add_done_callback(self._freeing.discard)

    async def _stop(self, session: str) -> bool:
        token = await self._backend.stop(session)
        if token is None:
            return False
        with anyio.move_on_after(_STOP_SECONDS):
            await self._until_over(session, token)
        return True

    async def _until_over(self, session: str, token: str) -> None:
        while True:
            if not await self._backend.is_running(session, token):
                return
            await anyio.sleep(_STOP_POLL_SECONDS)

    async def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the event loop of the server, where that is another one."""
        home = self._loop
        if home is None or home.is_closed() or home is asyncio.get_running_loop():
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, home))


def _name(user_id: str | None, session_id: str) -> str:
    return f"{quote(user_id or session_id, safe='')}:{quote(session_id, safe='')}"


def _busy(request: AgentRequest) -> AgentEvent:
    whose = f" of user {request.user_id!r}" if request.user_id else ""
    what = f"Session {request.session_id!r}{whose} has a run already"
    message = f"{what}; wait until it is over, or stop it and send this again"
    return error_event("SESSION_BUSY", message, 409)


_ENDS = {
    Interruption.STOPPED: error_event(asyncio.CancelledError.__name__, "The agent was interrupted", 500),
    Interruption.LOST: error_event(
        "SESSION_LOST", "The server was not heard of for too long, and another run has the session", 409
    ),
}
