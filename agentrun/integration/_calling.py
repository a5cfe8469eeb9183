"""Calls a function of the user's, whichever kind it is, in whichever mode: none of them ever stops an event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextvars import copy_context
from typing import Any

from agentrun._core import background
from agentrun._core.blocking import is_blocking, unblocked
from agentrun._core.progress import report_progress
from agentrun.errors import BlockingError
from agentrun.integration._outcome import as_text
from agentrun.integration._signature import innermost

_loop: background.BackgroundLoop | None = None  # Kept for good: what functions open there is bound to it.
_starting = threading.Lock()


def must_be_awaited(function: Callable[..., Any]) -> bool:
    """Whether a call gives something to await, or to iterate over with `async for`."""
    return any(
        check(each)
        for each in (inspect.unwrap(innermost(function)), getattr(function, "__call__", None))  # noqa: B004  # Its kind, not whether.
        for check in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    )


async def called(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a function gives, at its end; what a generator yields before is told as progress.

    On an event loop a plain function runs in a thread; called synchronously, an asynchronous one runs on a loop in the
    background. Either way it sees the caller's context variables. A generator's result is what it returns, or else
    everything that it yielded: as one text, when all of it is text.
    """
    if is_blocking():
        return await _called_in_place(function, args, kwargs)
    if must_be_awaited(function):
        return await _finished(function(*args, **kwargs))
    return await _finished(await asyncio.to_thread(_run, function, args, kwargs))


async def _called_in_place(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = _run(function, args, kwargs)
    if inspect.isawaitable(result) or inspect.isasyncgen(result):
        return await _in_background(result)
    return result


def _run(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with unblocked():
        result = function(*args, **kwargs)
        return _collected(result) if inspect.isgenerator(result) else result


async def _finished(result: Any) -> Any:
    if inspect.isasyncgen(result):
        return await _collected_async(result)
    return await result if inspect.isawaitable(result) else result


def _collected(values: Generator[Any, Any, Any]) -> Any:
    seen: list[Any] = []
    while True:
        try:
            seen.append(next(values))
        except StopIteration as end:
            return _whole(seen) if end.value is None else end.value
        report_progress(len(seen), None, as_text(seen[-1]))


async def _collected_async(values: AsyncIterator[Any]) -> Any:
    seen: list[Any] = []
    async for value in values:
        seen.append(value)
        report_progress(len(seen), None, as_text(value))
    return _whole(seen)


def _whole(values: list[Any]) -> Any:
    return "".join(values) if values and all(isinstance(value, str) for value in values) else values


async def _in_background(result: Any) -> Any:
    """What there is at the end of something to await, or to iterate over, that goes on in the background."""
    with unblocked():
        context = copy_context()

    async def in_context(_: background.Tell) -> Any:
        # A task made within a context runs in a copy of it; `create_task(context=...)` came with Python 3.11.
        return await context.run(asyncio.get_running_loop().create_task, _finished(result))

    loop = _background_loop()
    if _is_running(loop):
        if inspect.iscoroutine(result):
            result.close()  # Otherwise it would be reported as never awaited.
        raise BlockingError(
            "an asynchronous tool function calls another one synchronously, which would stop both",
            hint="Await call_async within asynchronous functions",
        )
    return await background.cross(loop, in_context)


def _background_loop() -> background.BackgroundLoop:
    global _loop
    with _starting:
        if _loop is None or not _loop.is_current:
            _loop = background.acquire()
        return _loop


def _is_running(loop: background.BackgroundLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop.loop
    except RuntimeError:
        return False
