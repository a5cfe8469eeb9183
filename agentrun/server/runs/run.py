"""One run of an agent, which may be interrupted from elsewhere on its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from enum import Enum

from agentrun.server.events import AgentEvent, EventType

# How long an interrupted run may wait for its reader before it counts as over.
_STALLED_SECONDS = 1.0


class Interruption(str, Enum):
    """Why a run ends before its agent is done."""

    STOPPED = "stopped"  # Somebody asked for it.
    LATE = "late"  # It took longer than it may.
    LOST = "lost"  # Another run has the session, as nothing was heard of this one for too long.


class RefusedError(Exception):
    """A run does not begin; `event` says why."""

    def __init__(self, event: AgentEvent) -> None:
        super().__init__(event.data)
        self.event = event


class Run:
    """Gives the events of an agent until it is interrupted; the agent meets that as a CancelledError.

    An agent whose events nobody takes stands still. It cannot be told before somebody does, or goes away: until then
    `stalled` is called, once.
    """

    def __init__(self, ends: Mapping[Interruption, AgentEvent], stalled: Callable[[], None] = lambda: None) -> None:
        self._ends = ends
        self.interruption: Interruption | None = None
        self._stalled = stalled
        self._waiting: asyncio.Task[object] | None = None  # Waits for the agent; nobody does while an event is told.
        self._cancelled = 0
        self._is_over = False

    def interrupt(self, why: Interruption) -> None:
        """Interrupt the agent, at its next `await` when it is not at one."""
        self.interruption = self.interruption or why
        if self._waiting is not None:
            self._cancel(self._waiting)
        elif not self._is_over:
            asyncio.get_running_loop().call_later(_STALLED_SECONDS, self._check)

    def _cancel(self, task: asyncio.Task[object]) -> None:
        self._cancelled += 1
        task.cancel()

    def _check(self) -> None:
        if self._waiting is None and not self._is_over:
            self._stalled()

    async def events(
        self, agent: AsyncGenerator[AgentEvent, None], during: AbstractAsyncContextManager[None]
    ) -> AsyncGenerator[AgentEvent, None]:
        """What the agent gives, then how it ended if it was interrupted; `during` is entered first, and may refuse."""
        try:
            async with during, aclosing(agent):
                self._wait()
                async for event in agent:
                    if self.interruption is not None:
                        break
                    self._waiting = None
                    yield event
                    self._wait()
                await self._settle()
        except RefusedError as refused:
            yield refused.event
        except asyncio.CancelledError:
            if not self._was_interrupted():
                raise
        finally:
            self._waiting = None
            self._is_over = True
        if self.interruption is not None:
            yield self._ends[self.interruption].model_copy(deep=True)

    def _wait(self) -> None:
        task = asyncio.current_task()
        self._waiting = task
        if self.interruption is not None and task is not None:
            self._cancel(task)

    async def _settle(self) -> None:
        """Take in a cancellation that has not met the agent, which may have ended first."""
        self._waiting = None
        if self._cancelled:
            await asyncio.sleep(0)
            self._was_interrupted()

    def _was_interrupted(self) -> bool:
        """Whether the task was cancelled by an interruption, and by nobody else; Python 3.10 cannot tell the second."""
        task = asyncio.current_task()
        uncancel: Callable[[], int] = getattr(task, "uncancel", lambda: 0)
        others = [uncancel() for _ in range(self._cancelled)]
        self._cancelled = 0
        return self.interruption is not None and not (others and others[-1])


def error_event(code: str, message: str, status: int) -> AgentEvent:
    """How a run ends that is no success."""
    return AgentEvent(event=EventType.ERROR, data={"code": code, "message": message, "status": status})
