"""Sandboxes that live: what each one is at the moment, when it has to end, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
from collections import OrderedDict
from collections.abc import AsyncGenerator, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from agentrun.emulator.backends.base import BackendError, NotCapable, RunningSandbox
from agentrun.emulator.clock import iso
from agentrun.emulator.owners import Owner, Owners
from agentrun.emulator.resources import Resources
from agentrun.emulator.store import Record, Scope
from agentrun.emulator.wire.envelope import ServiceError, conflict, not_found, unsupported

READY, PAUSED, TERMINATED = "READY", "PAUSED", "TERMINATED"
# The clock may be turned by hand, so that nobody can tell how long to sleep until something is due.
_SWEEP_SECONDS = 1.0
_REMEMBERED_ENDS = 4096

Key: TypeAlias = tuple[Scope, str]
log = logging.getLogger("agentrun.emulator")


@dataclass(eq=False)
class Live:
    """A sandbox that runs: its record as it is in the store, and what only matters while it runs.

    `used` is when it was last used, `busy` how many use it now; `turn` keeps pausing and resuming in order.
    """

    record: Record
    running: RunningSandbox
    used: float
    owner: Owner | None = None
    busy: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    watcher: asyncio.Task[None] | None = None

    @property
    def key(self) -> Key:
        """Whose it is and its id."""
        return self.record.scope, self.record.id

    @property
    def paused(self) -> bool:
        """Whether it is frozen."""
        return self.record.status == PAUSED

    @property
    def due(self) -> float:
        """When it ends if nothing happens to it; idle time does not run while it is paused or used."""
        document = self.record.document
        expires: float = document["expires"]
        if self.busy or self.paused:
            return expires
        idle: float = document["sandboxIdleTimeoutSeconds"]
        return min(expires, self.used + idle)

    def reason_at(self, now: float) -> str:
        """Why it ends when it is due."""
        document = self.record.document
        if now >= document["expires"]:
            return f"its life of {round(document['expires'] - document['started'])} s was over"
        return f"it was idle for {document['sandboxIdleTimeoutSeconds']:g} s"


class LiveSandboxes:
    """All sandboxes that live."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._clock = resources.clock
        self._live: dict[Key, Live] = {}
        self._sessions: dict[Key, Live] = {}
        self._stopping: dict[Key, asyncio.Task[None]] = {}
        self._reasons: OrderedDict[Key, str] = OrderedDict()
        self._owners = Owners(self._owner_ended)
        self._background: set[asyncio.Task[None]] = set()
        # No sandbox is due before this, so that to look costs nothing most of the time.
        self._next_due = math.inf

    def __len__(self) -> int:
        return len(self._live)

    # Finding

    def find(self, scope: Scope, sandbox_id: str) -> Live | None:
        """A sandbox that lives; one whose time is over begins to end here."""
        live = self._live.get((scope, sandbox_id))
        if live is not None and live.due <= (now := self._clock.now()):
            self._leave(live, live.reason_at(now))
            return None
        return live

    def find_by_session(self, scope: Scope, key: str) -> Live | None:
        """The sandbox of a session."""
        live = self._sessions.get((scope, key))
        return live and self.find(*live.key)

    def record(self, scope: Scope, sandbox_id: str) -> Record:
        """What is known of a sandbox, also after its end. Raises ServiceError (404)."""
        live = self.find(scope, sandbox_id)
        return live.record if live else self._resources.get(scope, sandbox_id)

    def get(self, scope: Scope, sandbox_id: str) -> Live:
        """A sandbox that lives. Raises ServiceError: none (404), it has ended (410)."""
        live = self.find(scope, sandbox_id)
        if live is not None:
            return live
        record = self._resources.find(scope, sandbox_id)
        if record is None:
            raise not_found("sandbox", sandbox_id)
        reason = record.document.get("endReason", "it is not running")
        raise ServiceError(410, "ERR_SANDBOX_TERMINATED", f"sandbox {sandbox_id} is {record.status}: {reason}")

    def ended_reason(self, scope: Scope, sandbox_id: str) -> str | None:
        """Why a sandbox ended, also when it was deleted a moment ago; None while it lives or when there was none."""
        if (scope, sandbox_id) in self._live:
            return None
        reason = self._reasons.get((scope, sandbox_id))
        record = None if reason else self._resources.find(scope, sandbox_id)
        return record.document.get("endReason") if record else reason

    # Living

    def find_owner(self, pid: int, start_time: str | None) -> Owner:
        """The process that is to own a sandbox; raises OwnerGoneError."""
        return self._owners.find(pid, start_time)

    def add(self, record: Record, running: RunningSandbox, owner: Owner | None = None) -> Live:
        """A sandbox that has just come to life; its death is noticed from now on."""
        live = Live(record, running, self._clock.now(), owner)
        self._live[live.key] = live
        if session := record.document.get("sessionKey"):
            self._sessions[record.scope, session] = live
        if owner is not None:
            self._owners.watch(owner)
        live.watcher = asyncio.get_running_loop().create_task(self._watch(live))
        self._note_due(live)
        return live

    def change(self, live: Live, status: str | None = None, **fields: Any) -> Record:
        """Write changes to the record of a sandbox that lives."""
        changed = replace(live.record, status=status or live.record.status)
        live.record = changed.with_document(**fields, lastUpdatedAt=iso(self._clock.now()))
        self._resources.save(live.record)
        self._note_due(live)
        return live.record

    @contextlib.asynccontextmanager
    async def in_use(self, scope: Scope, sandbox_id: str) -> AsyncGenerator[RunningSandbox, None]:
        """A sandbox that is not idle inside the block; one that is paused is resumed first where its record says so.

        Raises ServiceError: none (404), paused and to stay so (409), it has ended (410).
        """
        live = self.get(scope, sandbox_id)
        live.busy += 1
        try:
            if live.paused:
                await self._wake(live)
            yield live.running
        finally:
            live.busy -= 1
            live.used = self._clock.now()
            self._note_due(live)

    async def pause(self, live: Live) -> Record:
        """Freeze every process of a sandbox; nothing happens to one that is frozen."""
        async with live.turn:
            if not live.paused:
                await self._asked(live, live.running.pause())
                self.change(live, PAUSED, pausedAt=iso(self._clock.now()))
        return live.record

    async def resume(self, live: Live) -> Record:
        """Let a frozen sandbox go on; to do so is to use it."""
        async with live.turn:
            live.used = self._clock.now()
            if live.paused:
                await self._asked(live, live.running.resume())
                self.change(live, READY, pausedAt=None)
        return live.record

    async def _wake(self, live: Live) -> None:
        if not live.record.document.get("autoResume", True):
            raise conflict(f"sandbox {live.record.id} is PAUSED; resume it first")
        await self.resume(live)

    async def _asked(self, live: Live, work: Coroutine[Any, Any, None]) -> None:
        """Let a backend do something with a sandbox, which may end meanwhile."""
        try:
            await work
        except NotCapable as error:
            raise unsupported(str(error)) from error
        except BackendError as error:
            self.get(*live.key)
            raise conflict(f"sandbox {live.record.id}: {error}") from error
        self.get(*live.key)

    # Ending

    async def end(self, live: Live, reason: str, *, forget: bool = False) -> Record:
        """End a sandbox and return when nothing of it runs; its record says why, unless it is to be forgotten."""
        record = self._leave(live, reason, forget=forget)
        await self.wait_stopped(*live.key)
        return record

    async def wait_stopped(self, scope: Scope, sandbox_id: str) -> None:
        """Return when nothing of a sandbox that has ended runs any more."""
        stopping = self._stopping.get((scope, sandbox_id))
        if stopping is not None:
            # Whoever asked may go away; what has begun to end must end.
            await asyncio.shield(stopping)

    async def end_all(self, reason: str, account: str | None = None) -> None:
        """End every sandbox, of one account or of all."""
        leaving = [live for live in self._live.values() if account in (None, live.record.scope.account)]
        for live in leaving:
            self._leave(live, reason)
        await asyncio.gather(*self._background)

    def end_due(self) -> None:
        """Begin to end what is idle for too long or has lived long enough; costs nothing while none is due."""
        now = self._clock.now()
        if now < self._next_due:
            return
        for live in [live for live in self._live.values() if live.due <= now]:
            self._leave(live, live.reason_at(now))
        self._next_due = min((live.due for live in self._live.values()), default=math.inf)

    async def sweep(self) -> None:
        """End what is due and what nobody owns any more; forever."""
        while True:
            await asyncio.sleep(max(0.0, min(_SWEEP_SECONDS, self._next_due - self._clock.now())))
            try:
                self.end_due()
                self._owners.check()
            except Exception:
                log.exception("the sweep over the sandboxes failed")
                await asyncio.sleep(_SWEEP_SECONDS)

    def ended(self, record: Record, reason: str) -> Record:
        """The record of a sandbox that has ended."""
        now = iso(self._clock.now())
        terminated = replace(record, status=TERMINATED)
        return terminated.with_document(endedAt=now, lastUpdatedAt=now, endReason=reason, pausedAt=None)

    async def discard(self, running: RunningSandbox) -> None:
        """Stop a sandbox that has not come to life, also when whoever asked for it goes away."""
        await asyncio.shield(self._begin(running.stop()))

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something to its end, whoever goes away."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _leave(self, live: Live, reason: str, *, forget: bool = False) -> Record:
        """Take a sandbox out of those that live, at once, and begin to stop it."""
        if self._live.pop(live.key, None) is None:
            return live.record
        self._forget_uses(live)
        self._remember(live.key, reason)
        live.record = self.ended(live.record, reason)
        if forget:
            self._resources.store.delete(live.record)
        else:
            self._resources.save(live.record)
        self._stopping[live.key] = self._begin(self._stop(live))
        return live.record

    def _forget_uses(self, live: Live) -> None:
        session = live.record.scope, live.record.document.get("sessionKey", "")
        if self._sessions.get(session) is live:
            del self._sessions[session]
        if live.owner is not None:
            self._owners.release(live.owner)

    def _remember(self, key: Key, reason: str) -> None:
        self._reasons[key] = reason
        if len(self._reasons) > _REMEMBERED_ENDS:
            self._reasons.popitem(last=False)

    async def _stop(self, live: Live) -> None:
        if live.watcher is not None and live.watcher is not asyncio.current_task():
            live.watcher.cancel()
        try:
            await live.running.stop()
        except BackendError:
            log.exception("sandbox %s could not be stopped cleanly", live.record.id)
        finally:
            del self._stopping[live.key]

    async def _watch(self, live: Live) -> None:
        try:
            reason = f"its processes ended: {exit_text(await live.running.wait_ended())}"
        except BackendError as error:
            reason = f"its processes ended: {error}"
        self._leave(live, reason)

    def _owner_ended(self, owner: Owner) -> None:
        for live in self._owned_by(owner):
            self._leave(live, f"its owner, {owner}, ended")

    def _owned_by(self, owner: Owner) -> Iterable[Live]:
        return [live for live in self._live.values() if live.owner == owner]

    def _note_due(self, live: Live) -> None:
        self._next_due = min(self._next_due, live.due)


def exit_text(code: int) -> str:
    """An exit code in words: a negative one, or one over 128, is a signal."""
    number = -code if code < 0 else code - 128
    with contextlib.suppress(ValueError):
        if number > 0:
            return f"ended by {signal.Signals(number).name}"
    return f"exit code {code}"
