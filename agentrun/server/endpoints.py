"""Routes of an application's own that stream what a generator gives."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import Any

from agentrun.server.protocols.protocol import dumps
from agentrun.server.streaming import EventStream
from agentrun.server.threads import iterate_in_thread


def streaming(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The function of a route that streams what a generator gives; None for what is no generator."""
    if inspect.isasyncgenfunction(function):
        items: Callable[..., AsyncGenerator[Any, None]] = function
    elif inspect.isgeneratorfunction(function):
        items = functools.partial(_in_thread, function)
    else:
        return None

    @functools.wraps(function)
    async def answer(*args: Any, **kwargs: Any) -> EventStream:
        return EventStream(_frames(items(*args, **kwargs)))

    described: dict[str, Any] = vars(answer)
    del described["__wrapped__"]  # FastAPI would take it for a generator that it has to stream itself.
    described["__signature__"] = inspect.signature(function, eval_str=True).replace(return_annotation=Any)
    return answer


def _in_thread(
    function: Callable[..., Generator[Any, None, None]], *args: Any, **kwargs: Any
) -> AsyncGenerator[Any, None]:
    return iterate_in_thread(lambda: function(*args, **kwargs))


async def _frames(items: AsyncGenerator[Any, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(items):
        async for item in items:
            yield b"data: %b\n\n" % dumps(item)
