"""Waiting for several descriptors, and for moments, in a process of one thread."""

from __future__ import annotations

import select
import time
from collections.abc import Callable


class Reactor:
    """Calls what was registered for a descriptor whenever that has something to read, and the rest in time."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._later: list[tuple[float, Callable[[], None]]] = []

    def add(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call back whenever the descriptor can be read, or its other side is gone."""
        self._callbacks[descriptor] = callback
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Stop calling; must come before the descriptor is closed."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back once, after so many seconds."""
        self._later.append((time.monotonic() + seconds, callback))

    def run(self) -> None:
        """Go on until nothing is registered any more."""
        while self._callbacks:
            self.turn()

    def turn(self) -> None:
        """Wait for what comes next, and call back for all of it."""
        for descriptor, _ in self._epoll.poll(self._patience()):
            callback = self._callbacks.get(descriptor)
            if callback is not None:
                callback()
        if self._later:
            self._call_what_is_due()

    def _patience(self) -> float | None:
        """Seconds until something is due, None without end."""
        return max(0.0, min(due for due, _ in self._later) - time.monotonic()) if self._later else None

    def _call_what_is_due(self) -> None:
        now = time.monotonic()
        due = [callback for moment, callback in self._later if moment <= now]
        self._later = [(moment, callback) for moment, callback in self._later if moment > now]
        for callback in due:
            callback()
