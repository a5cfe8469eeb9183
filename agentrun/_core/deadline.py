"""Ends a call when its time is over, in both modes.

httpx bounds the silence between two pieces of an answer, so an answer that trickles could last for ever. On an event
loop the work is cancelled. In blocking mode there is nobody to cancel it, so the sockets look at the time themselves.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import anyio

from agentrun._core.blocking import is_blocking
from agentrun.errors import RequestTimeoutError

T = TypeVar("T")

_deadline: ContextVar[float | None] = ContextVar("agentrun_deadline", default=None)


@contextmanager
def _until(deadline: float) -> Generator[None, None, None]:
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; raises RequestTimeoutError when it takes longer."""
    if is_blocking():
        with _until(time.monotonic() + seconds):
            return await work
    with anyio.move_on_after(seconds):
        return await work
    raise RequestTimeoutError(f"no complete answer in {seconds:g} s", hint="Raise Config(timeout=...)")


def seconds_left() -> float | None:
    """What is left of the time of the blocking call that asks, None when nothing bounds it."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()
