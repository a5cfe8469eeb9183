"""Watching, from threads of their own, that an emulator and a neighbouring sandbox answer while something goes on."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx

from tests.emulator.hostile.grounds import PRIVATE, Ground, Neighbour

# What is promised is 0.2 s and 2 s; a busy machine gets some more, and one that several grounds share still more.
SHARED = 2 if "PYTEST_XDIST_WORKER" in os.environ else 1
EMULATOR_SECONDS = 1.0 * SHARED
NEIGHBOUR_SECONDS = 2.0 * SHARED
PATIENCE = 15.0


@dataclass
class Watched:
    """How long the answers of one thing took at most, and what went wrong."""

    slowest: float = 0.0
    answers: int = 0
    failures: list[str] = field(default_factory=list[str])

    def note(self, ask: Callable[[], str | None]) -> None:
        """Ask once; `ask` gives what is wrong."""
        began = time.monotonic()
        try:
            problem = ask()
        except httpx.HTTPError as error:
            problem = repr(error)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.answers += 1
        if problem is not None:
            self.failures.append(problem)


class Watch:
    """Asks both again and again, for as long as a `with` block lasts."""

    def __init__(self, ground: Ground, neighbour: Neighbour) -> None:
        self.emulator = Watched()
        self.neighbour = Watched()
        self._client = httpx.Client(base_url=ground.account.client.base_url, timeout=PATIENCE, trust_env=False)
        self._neighbour = neighbour
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._go_on, args=(self.emulator, self._ask_emulator, 0.02), daemon=True),
            threading.Thread(target=self._go_on, args=(self.neighbour, self._ask_neighbour, 0.1), daemon=True),
        ]

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)
        self._client.close()

    def complaints(self) -> list[str]:
        """What was not as it has to be."""
        found = [*self.emulator.failures[:3], *self.neighbour.failures[:3]]
        for name, watched, most in (
            ("emulator", self.emulator, EMULATOR_SECONDS),
            ("neighbour", self.neighbour, NEIGHBOUR_SECONDS),
        ):
            if watched.slowest > most:
                found.append(f"the {name} took {watched.slowest:.2f} s to answer")
            if not watched.answers:
                found.append(f"the {name} was never asked")
        return found

    def _go_on(self, watched: Watched, ask: Callable[[], str | None], pause: float) -> None:
        while True:
            watched.note(ask)
            if self._over.wait(pause):
                return

    def _ask_emulator(self) -> str | None:
        answer = self._client.get("/_emulator/health")
        return None if answer.status_code == 200 else answer.text

    def _ask_neighbour(self) -> str | None:
        """The neighbour still executes, and has what it was given before the attack."""
        answer = self._neighbour.execute(f"open({PRIVATE!r}).read()")
        results: list[dict[str, Any]] = answer.json()["results"] if answer.status_code == 200 else []
        right = bool(results) and results[0].get("text") == repr(self._neighbour.id)
        return None if right else f"the neighbour answered {answer.status_code} {json.dumps(answer.text)[:300]}"
