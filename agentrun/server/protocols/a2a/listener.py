"""What happens to a task, on its way to one client: not faster than it is read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

_MOST_WAITING = 64


class Listener:
    """Takes updates without waiting, and gives them to one who iterates."""

    def __init__(self) -> None:
        self._updates: deque[dict[str, Any]] = deque()
        self._ended = False
        self._has_some = asyncio.Event()
        self._has_room = asyncio.Event()

    def offer(self, update: dict[str, Any]) -> None:
        """One more."""
        self._updates.append(update)
        self._has_some.set()

    def end(self) -> None:
        """There are no more, or nobody takes them."""
        self._ended = True
        self._has_some.set()
        self._has_room.set()

    async def room(self) -> None:
        """Wait until most of what was offered is taken."""
        while len(self._updates) >= _MOST_WAITING and not self._ended:
            self._has_room.clear()
            await self._has_room.wait()

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while self._updates or not self._ended:
            while self._updates:
                update = self._updates.popleft()
                self._has_room.set()
                yield update
            if not self._ended:
                self._has_some.clear()
                await self._has_some.wait()
