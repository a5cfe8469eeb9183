"""State that several processes share, in Redis 5 or newer, or what speaks like it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from agentrun._serving.redis_client import Commands, Script, open_pool
from agentrun.gateway.state.base import Spending, Take, Taken
from agentrun.gateway.state.memory import MemoryState

_log = logging.getLogger(__name__)
_SCRIPTS = Path(__file__).with_name("lua")
_MOST_KNOWN_SUMS = 10_000
# Seconds between attempts to reach a Redis that cannot be reached; meanwhile no call waits for one.
_PAUSE = 1.0
# A wait is a hair longer than computed, so that it is over when it has passed.
_ROUNDING = 1e-6

T = TypeVar("T")


class _AwayError(Exception):
    """Redis cannot be reached, or cannot do what it was asked."""


_TAKE, _CORRECT, _ENTER, _RENEW, _SPEND, _KEEP, _EJECT, _EJECTED = (
    Script(_SCRIPTS, ("now", name))
    for name in ("take", "correct", "enter", "renew", "spend", "keep", "eject", "ejected")
)


class RedisState:
    """State in Redis, each operation one script there; `url` is redis://, rediss:// or unix://.

    While Redis cannot be reached, calls go on: limits and ejections are counted by each process for itself, budgets
    go by what was last known and what this process has spent since, which is added later, and nothing is cached.
    No operation takes longer than `timeout_seconds`.
    """

    shared = True

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "agentrun:",
        timeout_seconds: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = prefix
        self._timeout = timeout_seconds
        self._clock = clock
        pool = open_pool(url)  # `_ask` bounds the time.
        self._pool = pool
        self._redis = cast(Commands, Redis(connection_pool=pool))
        self._local = MemoryState(clock)
        self._away_until: float | None = None
        self._known: dict[str, int] = {}
        self._owed: dict[str, Spending] = {}
        self._finishing: set[asyncio.Task[Any]] = set()

    async def take(self, takes: Sequence[Take]) -> Taken:
        """Take from all of these windows, or from none when one is full."""
        arguments = [value for take in takes for value in (take.limit, take.seconds, take.amount)]
        try:
            at, *answer = await self._run(_TAKE, [f"window:{take.key}" for take in takes], arguments)
        except _AwayError:
            return await self._local.take(takes)
        waits = [float(value) for value in answer[2::3]]
        wait = max(waits, default=0.0)
        left, resets = tuple(map(int, answer[0::3])), tuple(map(float, answer[1::3]))
        return Taken(float(at), left, resets, waits.index(wait) if wait else None, wait and wait + _ROUNDING)

    async def correct(self, takes: Sequence[Take], at: float, amount: int) -> None:
        """Count so much more in these windows from now on, or give back of what was taken `at`, when negative."""
        await self._finish(self._correct(takes, at, amount))

    async def _correct(self, takes: Sequence[Take], at: float, amount: int) -> None:
        try:
            keys = [f"window:{take.key}" for take in takes]
            await self._run(_CORRECT, keys, [at, amount, *(take.seconds for take in takes)])
        except _AwayError:
            # Times of the two clocks are too far apart to be mistaken for each other: nothing wrong is given back.
            await self._local.correct(takes, at, amount)

    async def enter(self, key: str, limit: int, lease_seconds: float) -> str | None:
        """Occupy one of `limit` places, until it is left or its lease is over; None when all are occupied."""
        lease = secrets.token_hex(8)
        try:
            return lease if await self._run(_ENTER, [f"places:{key}"], [limit, lease_seconds, lease]) else None
        except _AwayError:
            return await self._local.enter(key, limit, lease_seconds)
        except asyncio.CancelledError:
            self._begin(self._leave(key, lease))  # Nobody will know the lease, and it may be in force.
            raise

    async def renew(self, key: str, leases: Sequence[str], lease_seconds: float) -> None:
        """Occupy places for so many seconds from now, also where a lease was over."""
        try:
            await self._run(_RENEW, [f"places:{key}"], [lease_seconds, *leases])
        except _AwayError:
            await self._local.renew(key, leases, lease_seconds)

    async def leave(self, key: str, lease: str) -> None:
        """Leave a place."""
        await self._finish(self._leave(key, lease))

    async def _leave(self, key: str, lease: str) -> None:
        await self._local.leave(key, lease)
        with suppress(_AwayError):  # It is over by itself, soon.
            await self._ask("ZREM", f"{self._prefix}places:{key}", lease)

    async def spend(self, spendings: Sequence[Spending]) -> None:
        """Add to what was spent; what cannot be added now is added later."""
        await self._finish(self._spend(spendings))

    async def _spend(self, spendings: Sequence[Spending]) -> None:
        if not spendings:
            return
        owed, self._owed = self._owed, {}
        due = _sums([*owed.values(), *spendings])
        arguments = [value for one in due for value in (one.amount, one.ttl_seconds)]
        try:
            await self._run(_SPEND, [f"spent:{one.key}" for one in due], arguments)
        except _AwayError:
            self._owed = {one.key: one for one in _sums([*self._owed.values(), *due])}

    async def spent(self, keys: Sequence[str]) -> list[int]:
        """What was spent under these keys; what was last known of it while Redis cannot be reached."""
        if not keys:
            return []
        with suppress(_AwayError):
            found = await self._ask("MGET", *[f"{self._prefix}spent:{key}" for key in keys])
            self._learn({key: int(value or 0) for key, value in zip(keys, found, strict=True)})
        owed = self._owed
        return [self._known.get(key, 0) + (owed[key].amount if key in owed else 0) for key in keys]

    def _learn(self, sums: Mapping[str, int]) -> None:
        if len(self._known) > _MOST_KNOWN_SUMS:
            self._known.clear()
        self._known.update(sums)

    async def find(self, key: str) -> bytes | None:
        """A cached value."""
        try:
            value: bytes | None = await self._ask("GET", f"{self._prefix}value:{key}")
        except _AwayError:
            return None
        return value

    async def keep(self, key: str, value: bytes, ttl_seconds: float, group: str, group_bytes: int) -> None:
        """Cache a value; the oldest of its group go when the group is larger than `group_bytes`."""
        with suppress(_AwayError):  # The next call asks the model again.
            keys = [f"value:{key}", f"group:{group}", f"sizes:{group}"]
            await self._run(_KEEP, keys, [value, ttl_seconds, group_bytes])

    async def eject(self, target: str, seconds: float) -> None:
        """Say that a target is left out for some seconds; 0 takes that back."""
        await self._local.eject(target, seconds)
        with suppress(_AwayError):  # This process knows it.
            await self._run(_EJECT, ["ejected"], [target, seconds])

    async def ejected(self) -> Mapping[str, float]:
        """The targets that are left out, and for how many seconds still."""
        try:
            answer = await self._run(_EJECTED, ["ejected"], [])
        except _AwayError:
            return await self._local.ejected()
        return {target.decode(): float(seconds) for target, seconds in zip(answer[::2], answer[1::2], strict=True)}

    async def close(self) -> None:
        """Finish what was begun, and give up connections."""
        await asyncio.gather(*self._finishing, return_exceptions=True)
        await self._pool.disconnect()

    async def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        rest = (len(keys), *[self._prefix + key for key in keys], *arguments)
        try:
            return await self._ask("EVALSHA", script.digest, *rest)
        except NoScriptError:
            return await self._ask("EVAL", script.text, *rest)

    async def _ask(self, *command: Any) -> Any:
        """Send one command; raises _AwayError at once while Redis cannot be reached."""
        if self._away_until is not None:
            now = self._clock()
            if now < self._away_until:
                raise _AwayError
            self._away_until = now + _PAUSE  # One call finds out, the others do not wait for it.
        try:
            with anyio.fail_after(self._timeout):
                answer = await self._redis.execute_command(*command)
        except NoScriptError:
            self._found()  # It answers, as a new server does.
            raise
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
            raise _AwayError from error
        self._found()
        return answer

    def _lost(self, error: Exception) -> None:
        if self._away_until is None:
            reason = str(error) or type(error).__name__
            _log.warning("Redis cannot be used (%s); until it can, each process counts for itself", reason)
        self._away_until = self._clock() + _PAUSE

    def _found(self) -> None:
        if self._away_until is not None:
            _log.warning("Redis can be used again")
        self._away_until = None

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something to its end, even if the caller goes away: it is about what has happened already."""
        return await asyncio.shield(self._begin(work))

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        return task


def _sums(spendings: Sequence[Spending]) -> list[Spending]:
    """The same, with one for each key."""
    sums: dict[str, Spending] = {}
    for one in spendings:
        before = sums[one.key].amount if one.key in sums else 0
        sums[one.key] = Spending(one.key, before + one.amount, one.ttl_seconds)
    return list(sums.values())
