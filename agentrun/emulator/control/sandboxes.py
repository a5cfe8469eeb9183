"""Sandboxes: isolated places to run code, made from a template. Both planes call the same operations."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentrun.emulator.backends.base import Backend, BackendError, Limits, Running, SandboxSpec
from agentrun.emulator.clock import iso
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.resources import Kind, Resources, ulid
from agentrun.emulator.store import NameTaken, Record, Scope, field_is, matches
from agentrun.emulator.wire.envelope import ServiceError, already_exists, conflict, not_found, unsupported
from agentrun.emulator.wire.table import whole_number

KIND = Kind("Sandbox", "sandbox", "Sandbox", "sandboxId", "sandboxName", "sb")
READY, PAUSED, TERMINATED = "READY", "PAUSED", "TERMINATED"
SUPPORTED = ("CodeInterpreter",)
_SWEEP_SECONDS = 1.0
_LAST_NUMBER = 2**63 - 1


@dataclass
class Live:
    """A sandbox that runs, and when it was last used."""

    running: Running
    used: float
    busy: int = 0


class Sandboxes:
    """The operations on sandboxes, and the ones that run."""

    def __init__(self, resources: Resources, templates: Resources, backend: Backend) -> None:
        self._resources = resources
        self._templates = templates
        self._backend = backend
        self._live: dict[tuple[Scope, str], Live] = {}

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {
            "CreateSandbox": self.create,
            "GetSandbox": self.get,
            "DeleteSandbox": self.delete,
            "StopSandbox": self.stop,
            "PauseSandbox": self.pause,
            "ResumeSandbox": self.resume,
            "ListSandboxes": self.list,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Start a sandbox and answer once it is READY."""
        template = self._template(call)
        sandbox_id = call.body.get("sandboxId") or ulid()
        if self._resources.find(call.scope, sandbox_id):
            raise already_exists("sandbox", sandbox_id)
        running = await self._start(sandbox_id, template)
        now = self._resources.clock.now()
        document = self._document(call, template, sandbox_id, iso(now))
        record = Record(call.scope, KIND.name, sandbox_id, sandbox_id, READY, document)
        try:
            self._resources.store.insert(record)
        except NameTaken as error:
            await running.stop()
            raise already_exists("sandbox", sandbox_id) from error
        self._live[call.scope, sandbox_id] = Live(running, now)
        return self._resources.shown(record)

    async def get(self, call: Call) -> dict[str, Any]:
        """One sandbox, also after its end."""
        return self._resources.shown(self._resources.get(call.scope, call.label))

    async def stop(self, call: Call) -> dict[str, Any]:
        """End a sandbox; its record stays, TERMINATED."""
        record = self._resources.get(call.scope, call.label)
        return self._resources.shown(await self._terminate(record, "stopped"))

    async def delete(self, call: Call) -> dict[str, Any]:
        """End a sandbox and forget it."""
        record = await self._terminate(self._resources.get(call.scope, call.label), "deleted")
        self._resources.store.delete(record)
        return self._resources.shown(record)

    async def pause(self, call: Call) -> dict[str, Any]:
        """Freeze every process of a sandbox."""
        record, live = self._of(call)
        if record.status == READY:
            await live.running.pause()
        return self._resources.shown(self._moved(record, PAUSED))

    async def resume(self, call: Call) -> dict[str, Any]:
        """Let a frozen sandbox go on."""
        record, live = self._of(call)
        if record.status == PAUSED:
            await live.running.resume()
        live.used = self._resources.clock.now()
        return self._resources.shown(self._moved(record, READY))

    async def list(self, call: Call) -> dict[str, Any]:
        """Sandboxes in the order of their creation; `nextToken` says where the next page begins."""
        query = call.query
        size = whole_number(query, "maxResults", 10, most=100)
        after = whole_number(query, "nextToken", 0, most=_LAST_NUMBER, least=0)
        filters = [
            *matches("id", query.get("sandboxId")),
            *matches("status", query.get("status")),
            *field_is("templateName", query.get("templateName")),
            *field_is("templateType", query.get("templateType")),
        ]
        records, _, following = self._resources.store.page(
            call.scope, KIND.name, filters=filters, limit=size, after=after
        )
        page: dict[str, Any] = {"items": [self._resources.shown(record) for record in records]}
        return {**page, "nextToken": str(following)} if following else page

    @property
    def count(self) -> int:
        """How many run."""
        return len(self._live)

    # For the data plane

    @contextlib.contextmanager
    def in_use(self, scope: Scope, sandbox_id: str) -> Generator[Running, None, None]:
        """The sandbox that runs, which is not idle inside the block. Raises ServiceError (404, 409)."""
        record, live = self._running(scope, sandbox_id)
        if record.status == PAUSED:
            raise conflict(f"sandbox {sandbox_id} is PAUSED; resume it first")
        live.busy += 1
        try:
            yield live.running
        finally:
            live.busy -= 1
            live.used = self._resources.clock.now()

    async def sweep(self) -> None:
        """End what is idle for too long, what has lived long enough and what died by itself; forever."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for (scope, sandbox_id), live in list(self._live.items()):
                record = self._resources.find(scope, sandbox_id)
                if record and (reason := self._reason_to_end(record, live)):
                    await self._terminate(record, reason)

    def recover(self) -> None:
        """Mark what ran when an earlier emulator ended: it cannot run any more."""
        for record in self._resources.store.every(KIND.name):
            if record.status in (READY, PAUSED):
                self._resources.save(self._ended(record, "the emulator was restarted"))

    async def reset(self, account: str | None) -> None:
        """End every sandbox of one account, or of all."""
        await self._end_all("the emulator was reset", [key for key in self._live if account in (None, key[0].account)])

    async def close(self) -> None:
        """End every sandbox."""
        await self._end_all("the emulator was stopped", list(self._live))

    async def _end_all(self, reason: str, keys: Iterable[tuple[Scope, str]]) -> None:
        records = [record for scope, sandbox_id in keys if (record := self._resources.find(scope, sandbox_id))]
        await asyncio.gather(*(self._terminate(record, reason) for record in records), return_exceptions=True)

    # Parts

    def _template(self, call: Call) -> Record:
        name = call.body["templateName"]
        template = self._templates.find_by_name(call.scope, name)
        if template is None:
            raise not_found("template", name)
        if template.status not in ("READY", "UPDATING"):
            raise conflict(f"template {name} is {template.status}")
        kind = template.document["templateType"]
        if kind not in SUPPORTED:
            raise unsupported(f"this emulator runs {', '.join(SUPPORTED)} sandboxes; {kind} is not there yet")
        asked = {**template.document, **call.body}
        mounts = [
            name for name in ("nasConfig", "ossMountConfig", "polarFsConfig", "ossConfiguration") if asked.get(name)
        ]
        if mounts:
            raise unsupported(f"{mounts[0]}: the emulator cannot mount network storage")
        return template

    async def _start(self, sandbox_id: str, template: Record) -> Running:
        document = template.document
        spec = SandboxSpec(
            sandbox_id,
            document.get("environmentVariables") or {},
            Limits(memory=document["memory"], cpu=document["cpu"]),
        )
        running: Running | None = None
        try:
            running = await self._backend.start_sandbox(spec)
            await running.wait_ready()
        except BackendError as error:
            if running is not None:
                await running.stop()
            raise ServiceError(503, "ERR_SANDBOX_UNAVAILABLE", f"sandbox {sandbox_id} cannot start: {error}") from error
        return running

    def _document(self, call: Call, template: Record, sandbox_id: str, now: str) -> dict[str, Any]:
        asked = call.body
        idle = asked.get("sandboxIdleTimeoutSeconds") or asked.get("sandboxIdleTimeoutInSeconds")
        idle = idle or int(template.document["sandboxIdleTimeoutInSeconds"])
        return {
            "sandboxId": sandbox_id,
            "sandboxArn": f"acs:agentrun:{call.scope.region}:{call.scope.account}:sandboxes/{sandbox_id}",
            "templateId": template.id,
            "templateName": template.name,
            "templateType": template.document["templateType"],
            "sandboxIdleTimeoutSeconds": idle,
            "sandboxIdleTTLInSeconds": idle,
            "longestLife": int(template.document["sandboxTTLInSeconds"]),
            "started": self._resources.clock.now(),
            "createdAt": now,
            "lastUpdatedAt": now,
            "metadata": {},
        }

    def _of(self, call: Call) -> tuple[Record, Live]:
        return self._running(call.scope, call.label)

    def _running(self, scope: Scope, sandbox_id: str) -> tuple[Record, Live]:
        record = self._resources.get(scope, sandbox_id)
        live = self._live.get((scope, sandbox_id))
        if live is None:
            reason = record.document.get("endReason", "it is not running")
            raise ServiceError(410, "ERR_SANDBOX_TERMINATED", f"sandbox {sandbox_id} is {record.status}: {reason}")
        return record, live

    def _reason_to_end(self, record: Record, live: Live) -> str | None:
        now = self._resources.clock.now()
        document = record.document
        if not live.running.alive:
            return "its processes ended"
        if now - document["started"] > document["longestLife"]:
            return f"its life of {document['longestLife']} s was over"
        idle = record.status == READY and not live.busy
        if idle and now - live.used > document["sandboxIdleTimeoutSeconds"]:
            return f"it was idle for {document['sandboxIdleTimeoutSeconds']} s"
        return None

    async def _terminate(self, record: Record, reason: str) -> Record:
        live = self._live.pop((record.scope, record.id), None)
        if live is None:
            return record
        ended = self._ended(record, reason)
        self._resources.save(ended)
        await live.running.stop()
        return ended

    def _ended(self, record: Record, reason: str) -> Record:
        now = iso(self._resources.clock.now())
        ended = replace(record, status=TERMINATED)
        return ended.with_document(endedAt=now, lastUpdatedAt=now, endReason=reason)

    def _moved(self, record: Record, status: str) -> Record:
        moved = replace(record, status=status).with_document(lastUpdatedAt=iso(self._resources.clock.now()))
        self._resources.save(moved)
        return moved
