"""How many calls may be under way at once, and who waits for how long when more want to be."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import anyio

from agentrun._serving.openai_error import ApiError
from agentrun.gateway.limits.rate_limits import retry_after
from agentrun.gateway.plan import Plan, Target
from agentrun.gateway.state.base import State
from agentrun.model.policies import QueuePolicy

# Nobody knows when a call ends; clients that are refused again wait longer by themselves.
_TRY_AGAIN_SECONDS = 1.0
# How long who waits for other processes to leave pauses between two questions; at random, so that none is always first.
_PAUSES = (0.01, 0.05)


@dataclass(frozen=True)
class Place:
    """A call that is under way, of a proxy or to a target; it has no lease where there is no limit."""

    key: str
    lease: str | None = None


@dataclass(frozen=True)
class Load:
    """How many calls are under way, and how many wait, in this process."""

    in_flight: int = 0
    queued: int = 0


@dataclass
class _Gate:
    """What this process has under way under one key; `users` are inside, asking or waiting."""

    users: int = 0
    waiting: deque[asyncio.Event] = field(default_factory=deque[asyncio.Event])
    leases: set[str] = field(default_factory=set[str])
    full_until: float = -math.inf

    def wake(self) -> None:
        """Let the first of those who wait try again."""
        if self.waiting:
            self.waiting[0].set()

    @property
    def load(self) -> Load:
        return Load(self.users - len(self.waiting), len(self.waiting))


class Places:
    """The places of all proxies and targets; each place that was entered has to be left.

    In a state of this process alone waiting calls are let in in the order in which they came; between processes that
    share a state nobody is first. There a place is a lease of `lease_seconds`, renewed while the call lasts, so that
    a process that was killed does not hold it for ever.
    """

    def __init__(
        self, state: State, clock: Callable[[], float] = time.monotonic, *, lease_seconds: float = 30.0
    ) -> None:
        self._state = state
        self._clock = clock
        self._lease_seconds = lease_seconds if state.shared else math.inf
        self._gates: dict[str, _Gate] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def enter_proxy(self, plan: Plan) -> Place:
        """Begin a call of a proxy, when there is room; raises ApiError (429) when the queue is full or time over."""
        limit = plan.policies.concurrency_limit
        return await self._enter(_proxy(plan), limit, plan.gateway.queue, f"proxy {plan.name!r}")

    async def enter_target(self, plan: Plan, target: Target) -> Place:
        """Begin a call to a target, when there is room; raises ApiError (429) when the queue is full or time over."""
        limit = target.concurrency_limit
        return await self._enter(_target(target), limit, plan.gateway.queue, f"endpoint {target.name!r}")

    async def try_target(self, target: Target) -> Place | None:
        """Begin a call to a target if there is room now, which nobody waits for."""
        if not self.has_room(target):
            return None
        key = _target(target)
        gate = self._arrive(key)
        place = None
        try:
            place = await self._ask(key, gate, target.concurrency_limit)
        finally:
            if place is None:
                self._go(key, gate)
        return place

    def has_room(self, target: Target) -> bool:
        """Whether a target is likely to have room: with shared state others may be faster."""
        limit, gate = target.concurrency_limit, self._gates.get(_target(target))
        if limit is None or gate is None:
            return True
        return gate.users < limit and not gate.waiting and self._clock() >= gate.full_until

    async def leave(self, place: Place) -> None:
        """End a call."""
        gate = self._gates[place.key]
        if place.lease is not None:
            gate.leases.discard(place.lease)
            gate.full_until = -math.inf
        self._go(place.key, gate)
        if place.lease is not None:
            try:
                await self._state.leave(place.key, place.lease)
            finally:
                gate.wake()

    def proxy_load(self, plan: Plan) -> Load:
        """How busy a proxy is."""
        gate = self._gates.get(_proxy(plan))
        return gate.load if gate else Load()

    def target_load(self, target: Target) -> Load:
        """How busy a target is."""
        gate = self._gates.get(_target(target))
        return gate.load if gate else Load()

    async def close(self) -> None:
        """End what goes on in the background; places that are not left yet are free when their leases are over."""
        if self._renewing:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing

    def _arrive(self, key: str) -> _Gate:
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = _Gate()
        gate.users += 1
        return gate

    def _go(self, key: str, gate: _Gate) -> None:
        gate.users -= 1
        if not gate.users:
            del self._gates[key]

    async def _enter(self, key: str, limit: int | None, queue: QueuePolicy, name: str) -> Place:
        gate = self._arrive(key)
        try:
            # Who comes while others wait, waits behind them.
            place = None if gate.waiting else await self._ask(key, gate, limit)
            return place or await self._wait(key, gate, limit, queue, name)
        except BaseException:
            self._go(key, gate)
            raise

    async def _ask(self, key: str, gate: _Gate, limit: int | None) -> Place | None:
        if limit is None:
            return Place(key)
        lease = await self._state.enter(key, limit, self._lease_seconds)
        if lease is None:
            gate.full_until = self._clock() + _PAUSES[1] if self._state.shared else -math.inf
            return None
        gate.leases.add(lease)
        if self._state.shared and self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._renew())
        return Place(key, lease)

    async def _wait(self, key: str, gate: _Gate, limit: int | None, queue: QueuePolicy, name: str) -> Place:
        if len(gate.waiting) >= queue.size:
            raise _refusal(name, limit, f"{len(gate.waiting)} more wait, which is the most that may")
        turn = asyncio.Event()
        gate.waiting.append(turn)
        try:
            with anyio.move_on_after(queue.timeout_seconds):
                return await self._take_turn(key, gate, limit, turn)
        finally:
            gate.waiting.remove(turn)
            gate.wake()
        raise _refusal(name, limit, f"none of them ended within {queue.timeout_seconds:g} s")

    async def _take_turn(self, key: str, gate: _Gate, limit: int | None, turn: asyncio.Event) -> Place:
        while True:
            turn.clear()
            first = gate.waiting[0] is turn
            if first and (place := await self._ask(key, gate, limit)):
                return place
            pause = random.uniform(*_PAUSES) if first and self._state.shared else math.inf
            with anyio.move_on_after(pause):
                await turn.wait()

    async def _renew(self) -> None:
        """Renew all leases again and again, until there are none."""
        try:
            while True:
                await asyncio.sleep(self._lease_seconds / 3)
                held = {key: list(gate.leases) for key, gate in self._gates.items() if gate.leases}
                if not held:
                    return
                for key, leases in held.items():
                    await self._state.renew(key, leases, self._lease_seconds)
        finally:
            self._renewing = None  # The next who enters begins it anew, whatever has ended it.


def _proxy(plan: Plan) -> str:
    return f"proxy:{plan.key}"


def _target(target: Target) -> str:
    return f"target:{target.key}"


def _refusal(name: str, limit: int | None, reason: str) -> ApiError:
    message = f"Concurrency limit reached for {name}: {limit} calls are under way at once, and {reason}."
    return ApiError(
        429, message, "concurrency_limit_exceeded", type="requests", headers=retry_after(_TRY_AGAIN_SECONDS)
    )
