"""Resources whose state follows from real work: CREATING until what they run answers."""

from __future__ import annotations

import asyncio

from agentrun.emulator.instances import Key, Processes
from agentrun.emulator.lifecycle import CREATE
from agentrun.emulator.resources import Resources
from agentrun.emulator.store import Record
from agentrun.emulator.wire.envelope import ServiceError


class Starting:
    """Brings up what resources of one kind run, and moves them to READY or to their failure."""

    def __init__(self, resources: Resources, running: Processes) -> None:
        self._resources = resources
        self._running = running
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, record: Record, key: Key, verb: str) -> None:
        """Start what a record describes, and move it on when that is done; `verb` is CREATE or UPDATE."""
        task = asyncio.get_running_loop().create_task(self._start(record, key, verb))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self, record: Record, key: Key, verb: str) -> None:
        at_least = asyncio.create_task(asyncio.sleep(self._resources.least_duration(verb)))
        try:
            await self._running.ready(key, record)
            await at_least
        except ServiceError as error:
            await self._running.give_up(key)
            failed = "CREATE_FAILED" if verb == CREATE else "UPDATE_FAILED"
            self._resources.finish(record, failed, error.message)
        else:
            self._resources.finish(record, "READY")
        finally:
            at_least.cancel()

    def recover(self) -> None:
        """Finish what an earlier emulator did not: what was coming up starts at its first call."""
        for record in self._resources.store.every(self._resources.kind.name):
            if record.status in ("CREATING", "UPDATING") and record.due is None:
                self._resources.finish(record, "READY")

    async def close(self) -> None:
        """Stop waiting for what is coming up."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
