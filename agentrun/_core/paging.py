"""Lists that are longer than one answer: pages are asked for when somebody looks at them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Hashable, Sequence
from typing import Any, Generic, TypeVar, cast, overload

from agentrun._core.blocking import run
from agentrun.errors import AgentRunError

T = TypeVar("T")

PAGE_SIZE = 50


async def numbered(
    fetch: Callable[[int, int], Awaitable[Sequence[T]]],
    identity: Callable[[T], Hashable],
    page_size: int = PAGE_SIZE,
) -> AsyncIterator[T]:
    """All items of a list with page numbers from 1; the last page is the first that is not full.

    What moves between two pages while they are read is given once.
    """
    seen: set[Hashable] = set()
    number, items = 1, await fetch(1, page_size)
    while True:
        for item in items:
            if (key := identity(item)) not in seen:
                seen.add(key)
                yield item
        if len(items) < page_size:
            return
        number += 1
        items = await fetch(number, page_size)


async def continued(
    fetch: Callable[[str | None], Awaitable[tuple[Sequence[T], str | None]]],
) -> AsyncIterator[T]:
    """All items of a list whose pages name the next one by a token."""
    items, token = await fetch(None)
    while True:
        for item in items:
            yield item
        if not token:
            return
        items, token = await fetch(token)


class _Items(Generic[T]):
    """What was read of a list, and how to read more of it: once, in order, and never a shorter list after a failure."""

    def __init__(self, source: AsyncIterator[T]) -> None:
        self.read: list[T] = []
        self.complete = False
        self._source = source
        self._failure: AgentRunError | None = None
        self._reading = asyncio.Lock()

    async def has(self, position: int) -> bool:
        """Whether there is an item at a position; reads as far as needed."""
        while position >= len(self.read) and not self.complete:
            async with self._reading:
                if position >= len(self.read) and not self.complete:
                    await self._read_one()
        return position < len(self.read)

    async def _read_one(self) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            self.read.append(await anext(self._source))
        except StopAsyncIteration:
            self.complete = True
        except AgentRunError as error:
            self._failure = error
            raise


class LazyList(Sequence[T]):
    """A list that reads its pages as far as somebody looks; `len` and negative indexes read all of them."""

    def __init__(self, items: AsyncIterator[T]) -> None:
        self._items = _Items(items)

    def _fill(self, count: int | None) -> list[T]:
        if count is None or count > 0:
            run(self._items.has(sys.maxsize if count is None else count - 1))
        return self._items.read

    def __len__(self) -> int:
        return len(self._fill(None))

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._fill(_needed(index))[index]

    def __bool__(self) -> bool:
        return bool(self._fill(1))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (list, LazyList)):
            return list(self) == list(cast("Sequence[Any]", other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it compares by content, as lists do

    def __repr__(self) -> str:
        read = self._items.read
        more = "" if self._items.complete else ", ..." if read else "..."
        return f"[{', '.join(map(repr, read))}{more}]"


def _needed(index: int | slice) -> int | None:
    """How many items must be read to answer an index, None when all."""
    if isinstance(index, slice):
        bounds = (index.start or 0, index.stop)
        forward = index.step is None or index.step > 0
        return index.stop if forward and all(bound is not None and bound >= 0 for bound in bounds) else None
    return index + 1 if index >= 0 else None


class AsyncLazyList(Generic[T]):
    """The asynchronous twin: `async for` reads page by page, `await` gives the whole list; both as often as wanted."""

    def __init__(self, items: AsyncIterator[T]) -> None:
        self._items = _Items(items)

    async def __aiter__(self) -> AsyncIterator[T]:
        position = 0
        while await self._items.has(position):
            yield self._items.read[position]
            position += 1

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._all().__await__()

    async def _all(self) -> list[T]:
        return [item async for item in self]
