"""Sandboxes to be attacked from: a new one each time, or where one is slow to come the same while it is as new."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress

import httpx

from tests.emulator.hostile import containers, inventory
from tests.emulator.hostile.grounds import Ground
from tests.emulator.hostile.inventory import Inventory
from tests.emulator.inside import Inside

PATIENCE = 8.0
A_MOMENT = 1.0
# Whoever asks for the end of all processes is left out, and so is the agent.
CLEAR = "kill -9 -1; find ~ /tmp /dev/shm -mindepth 1 -delete && cp -R /etc/skel/. ~"


class Attackers:
    """Hands them out, and looks after each use for what is left of it."""

    def __init__(self, ground: Ground, bystander: str) -> None:
        self._ground = ground
        self._bystander = bystander
        self._kept: tuple[Inside, Inventory] | None = None

    @contextmanager
    def one(self) -> Generator[Inside]:
        """An attacker; in the end either nothing is there that was not before, or it is deleted and nothing is left."""
        attacker, without = self._kept or self._made()
        self._kept, before = None, self._take()
        try:
            yield attacker
        finally:
            if self._ground.reuses and is_as_new(attacker) and not self._left(before, A_MOMENT):
                self._kept = attacker, without
            else:
                self._delete(attacker, without)

    def close(self) -> None:
        """Delete the one that was kept; after all tests, so the emulator's fixture tells if that is gone."""
        with suppress(httpx.TransportError):
            if self._kept:
                self._delete(*self._kept)

    def _made(self) -> tuple[Inside, Inventory]:
        before = self._take()
        attacker = self._ground.sandbox()
        if self._ground.reuses:
            containers.wait_for(self._ground.pid, attacker.id)
        return attacker, before

    def _delete(self, attacker: Inside, without: Inventory) -> None:
        self._ground.delete(attacker)
        assert not (left := self._left(without)), left

    def _take(self) -> Inventory:
        return inventory.take(self._ground, self._bystander)

    def _left(self, before: Inventory, seconds: float = PATIENCE) -> list[str]:
        return inventory.leftovers_after(self._ground, before, self._bystander, seconds)


def is_as_new(attacker: Inside) -> bool:
    """Whether everything could be ended and removed that a test has left in it."""
    try:
        contexts = attacker.call("GET", "contexts")
        ended = [attacker.call("DELETE", f"contexts/{context['id']}") for context in _listed(contexts)]
        cleared = attacker.call("POST", "processes/cmd", {"command": CLEAR, "timeout": 5})
    except httpx.HTTPError:
        return False
    good = all(answer.is_success for answer in (contexts, *ended, cleared))
    return good and cleared.json()["result"]["exitCode"] == 0


def _listed(answer: httpx.Response) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = answer.json() if answer.is_success else []
    return listed
