"""What was asked and how it was answered: one entry per request, without bodies and without secrets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

KEPT = 10_000


@dataclass(frozen=True)
class Entry:
    """One request: time in seconds since 1970, duration in milliseconds."""

    number: int
    time: float
    plane: str
    operation: str
    method: str
    path: str
    status: int
    request_id: str
    duration_ms: float
    account: str
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The entry for the wire."""
        return asdict(self)


class Journal:
    """The last ten thousand requests, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._count = 0
        self._listeners: list[Callable[[Entry], None]] = []

    def add(
        self,
        time: float,
        plane: str,
        operation: str,
        method: str,
        path: str,
        status: int,
        request_id: str,
        duration_ms: float,
        account: str,
        remarks: Iterable[str] = (),
    ) -> None:
        """Note a request; `path` must be without its query, which may carry what nobody should read."""
        self._count += 1
        entry = Entry(
            self._count, time, plane, operation, method, path, status, request_id, duration_ms, account, tuple(remarks)
        )
        self._entries.append(entry)
        for listener in self._listeners:
            listener(entry)

    def entries(self, after: int = 0, *, operation: str | None = None, account: str | None = None) -> list[Entry]:
        """The entries whose number is above `after`, of one operation and account if named."""
        return [
            entry
            for entry in self._entries
            if entry.number > after
            and (operation is None or entry.operation == operation)
            and (account is None or entry.account == account)
        ]

    def listen(self, listener: Callable[[Entry], None]) -> Callable[[], None]:
        """Call `listener` with each new entry; returns the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def clear(self) -> None:
        """Forget everything; numbers go on."""
        self._entries.clear()
