"""Waiting for several descriptors in a process of one thread."""

from __future__ import annotations

import select
from collections.abc import Callable


class Reactor:
    """Calls what was registered for a descriptor whenever that has something to read."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}

    def add(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call back whenever the descriptor can be read, or its other side is gone."""
        self._callbacks[descriptor] = callback
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Stop calling; must come before the descriptor is closed."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def run(self) -> None:
        """Go on until nothing is registered any more."""
        while self._callbacks:
            for descriptor, _ in self._epoll.poll():
                callback = self._callbacks.get(descriptor)
                if callback is not None:
                    callback()
