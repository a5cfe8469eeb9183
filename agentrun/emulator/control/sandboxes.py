"""Sandboxes: isolated places to run code, made from a template. Both planes call the same operations."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from agentrun.emulator.backends.base import (
    Backend,
    BackendError,
    NetworkPolicy,
    NotCapable,
    RunningSandbox,
    SandboxSpec,
)
from agentrun.emulator.backends.deferred import DeferredBackend
from agentrun.emulator.clock import iso
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.control.injections import Injections, shown_credentials
from agentrun.emulator.control.network_policies import shown_policy
from agentrun.emulator.control.sandbox_life import PAUSED, READY, Live, LiveSandboxes
from agentrun.emulator.control.sandbox_requests import (
    CreateRequest,
    merged_metadata,
    metadata_key,
    parse,
    parse_metadata,
    parse_network,
    parse_timeout,
    read,
)
from agentrun.emulator.control.sandbox_specs import (
    check_capabilities,
    check_level,
    check_template,
    owner_name,
    shown_isolation,
    specification,
)
from agentrun.emulator.keyed_locks import KeyedLocks
from agentrun.emulator.mounts import Mounts
from agentrun.emulator.owners import Owner, OwnerGoneError
from agentrun.emulator.resources import Kind, Resources, ulid
from agentrun.emulator.store import REFERENCES, NameTaken, Record, Scope, field_is, matches
from agentrun.emulator.wire.envelope import (
    ServiceError,
    already_exists,
    conflict,
    forbidden,
    invalid,
    not_found,
    unsupported,
)
from agentrun.emulator.wire.table import whole_number

KIND = Kind("Sandbox", "sandbox", "Sandbox", "sandboxId", "sandboxName", "sb")
METADATA_FILTER = "metadata."
CREATED, REUSED, RESUMED = "created", "reused", "resumed"
_LAST_NUMBER = 2**63 - 1
# What an answer shows beyond the contract.
_EXTENSIONS = ("isolation", "endReason", "pausedAt", "expiresAt", "network", "autoResume", "sessionKey", "credentials")


class Sandboxes:
    """The operations on sandboxes, and the ones that run.

    `public` is what sandboxes of templates with the network mode PUBLIC may reach if their creator does not say.
    `injections` knows the credentials that they may use.
    """

    def __init__(
        self,
        resources: Resources,
        templates: Resources,
        backend: Backend,
        injections: Injections,
        mounts: Mounts | None = None,
        public: NetworkPolicy | None = None,
    ) -> None:
        self._resources = resources
        self._templates = templates
        self._backend = backend
        self._mounts = mounts or Mounts()
        self._public = public or NetworkPolicy()
        self._injections = injections
        self._live = LiveSandboxes(resources)
        self._turns = KeyedLocks()
        self._starting: set[tuple[Scope, str]] = set()
        self._tokens: dict[tuple[Scope, str], str] = {}

    def handlers(self) -> Mapping[str, Handler]:
        """The operations of the control plane by their actions."""
        return {
            "CreateSandbox": self._create_checked,
            "GetSandbox": self.get,
            "DeleteSandbox": self.delete,
            "StopSandbox": self.stop,
            "PauseSandbox": self.pause,
            "ResumeSandbox": self.resume,
            "ListSandboxes": self.list,
        }

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """The operations of the data plane by the method and what stands below `/sandboxes/{id}/`."""
        return {
            ("GET", ""): self.get,
            ("DELETE", ""): self.delete,
            ("POST", "stop"): self.stop,
            ("POST", "pause"): self.pause,
            ("POST", "resume"): self.resume,
            ("POST", "timeout"): self.set_timeout,
            ("PUT", "network"): self.set_network,
            ("PATCH", "metadata"): self.change_metadata,
            ("GET", "capabilities"): self.capabilities,
            ("GET", "patch"): self.patch,
            ("GET", "credentials"): self.credentials,
        }

    # Operations

    async def create(self, call: Call) -> dict[str, Any]:
        """Start a sandbox and answer once it is READY; the body is checked here.

        Whether the caller may name an owner, a process of this machine, must be known before.
        """
        return await self._create(call, parse(call.body))

    async def get(self, call: Call) -> dict[str, Any]:
        """One sandbox, also after its end."""
        return self._shown(self._live.record(call.scope, call.label))

    async def stop(self, call: Call) -> dict[str, Any]:
        """End a sandbox; its record stays, TERMINATED."""
        live = self._live.find(call.scope, call.label)
        if live is not None:
            return self._shown(await self._live.end(live, "stopped"))
        await self._live.wait_stopped(call.scope, call.label)
        return self._shown(self._resources.get(call.scope, call.label))

    async def delete(self, call: Call) -> dict[str, Any]:
        """End a sandbox and forget it."""
        live = self._live.find(call.scope, call.label)
        if live is not None:
            self._tokens.pop((call.scope, live.record.document.get("clientToken", "")), None)
            return self._shown(await self._live.end(live, "deleted", forget=True))
        record = self._resources.get(call.scope, call.label)
        self._tokens.pop((call.scope, record.document.get("clientToken", "")), None)
        self._resources.store.delete(record)
        await self._live.wait_stopped(call.scope, call.label)
        return self._shown(record)

    async def pause(self, call: Call) -> dict[str, Any]:
        """Freeze every process of a sandbox."""
        return self._shown(await self._live.pause(self._of(call)))

    async def resume(self, call: Call) -> dict[str, Any]:
        """Let a frozen sandbox go on."""
        return self._shown(await self._live.resume(self._of(call)))

    async def set_timeout(self, call: Call) -> dict[str, Any]:
        """Let a sandbox live for some seconds from now, and change how long it may be idle."""
        live, request = self._of(call), parse_timeout(call.body)
        now = self._resources.clock.now()
        changes: dict[str, Any] = {}
        if request.life_seconds is not None:
            changes = _expiring(now + request.life_seconds)
        if request.idle_seconds is not None:
            changes |= _idle(request.idle_seconds)
        live.used = now
        return self._shown(self._live.change(live, **changes))

    async def set_network(self, call: Call) -> dict[str, Any]:
        """Change what a sandbox may reach while it runs."""
        live, policy = self._of(call), parse_network(call.body)
        with _backend_refusals(live.record.id):
            await live.running.set_network(policy)
        return self._shown(self._live.change(self._of(call), network=shown_policy(policy)))

    async def change_metadata(self, call: Call) -> dict[str, Any]:
        """Set metadata, and remove what is null."""
        live = self._of(call)
        metadata = merged_metadata(live.record.document["metadata"], parse_metadata(call.body))
        return self._shown(self._live.change(live, metadata=metadata))

    async def capabilities(self, call: Call) -> dict[str, Any]:
        """What can be done with a sandbox beyond running code in it."""
        live, backend = self._of(call), await self._picked()
        return {
            "backend": backend.name,
            "capabilities": sorted(backend.capabilities),
            "isolation": shown_isolation(live.running.isolation),
        }

    async def patch(self, call: Call) -> dict[str, str]:
        """What a sandbox changed in a copy-on-write mount, as a unified diff; one that is paused need not go on."""
        live = self._of(call)
        mounts: list[str] = live.record.document.get("copies") or []
        target = call.query.get("mount") or (mounts[0] if len(mounts) == 1 else "")
        if target not in mounts:
            there = f"there are {', '.join(mounts)}" if mounts else "it has none"
            raise invalid(f"query parameter mount must be a copy-on-write mount of the sandbox: {there}")
        with _backend_refusals(live.record.id):
            return {"patch": await live.running.patch(target)}

    async def credentials(self, call: Call) -> dict[str, Any]:
        """Which credentials a sandbox has, how they were used and what was refused, also after its end."""
        record = self._live.record(call.scope, call.label)
        return {"sandboxId": record.id, **self._injections.report(call.scope, owner_name(record.id))}

    async def list(self, call: Call) -> dict[str, Any]:
        """Sandboxes in the order of their creation; `nextToken` says where the next page begins."""
        self._live.end_due()
        query = call.query
        size = whole_number(query, "maxResults", 10, most=100)
        after = whole_number(query, "nextToken", 0, most=_LAST_NUMBER, least=0)
        filters = [
            *matches("id", query.get("sandboxId")),
            *matches("status", query.get("status")),
            *field_is("templateName", query.get("templateName")),
            *field_is("templateType", query.get("templateType")),
            *_metadata_filters(query),
        ]
        records, _, following = self._resources.store.page(
            call.scope, KIND.name, filters=filters, limit=size, after=after
        )
        page: dict[str, Any] = {"items": [self._shown(record) for record in records]}
        return {**page, "nextToken": str(following)} if following else page

    # For the gateway and the platform

    @property
    def count(self) -> int:
        """How many run."""
        return len(self._live)

    def in_use(self, scope: Scope, sandbox_id: str) -> AbstractAsyncContextManager[RunningSandbox]:
        """A sandbox that is not idle inside the block; one that is paused is resumed first where its record says so.

        Raises ServiceError: none (404), paused and to stay so (409), it has ended (410).
        """
        return self._live.in_use(scope, sandbox_id)

    def ended_reason(self, scope: Scope, sandbox_id: str) -> str | None:
        """Why a sandbox ended, also when it was deleted a moment ago; None while it lives or when there was none."""
        return self._live.ended_reason(scope, sandbox_id)

    def recover(self) -> None:
        """Mark what ran when an earlier emulator ended: it cannot run any more."""
        for record in self._resources.store.every(KIND.name):
            if token := record.document.get("clientToken"):
                self._tokens[record.scope, token] = record.id
            if record.status in (READY, PAUSED):
                self._resources.save(self._live.ended(record, "the emulator was restarted"))

    async def sweep(self) -> None:
        """End what is idle for too long, what has lived long enough and what nobody owns any more; forever."""
        await self._live.sweep()

    async def reset(self, account: str | None) -> None:
        """End every sandbox of one account, or of all."""
        await self._live.end_all("the emulator was reset", account)
        self._tokens = {key: value for key, value in self._tokens.items() if account not in (None, key[0].account)}

    async def close(self) -> None:
        """End every sandbox."""
        await self._live.end_all("the emulator was stopped")

    # Creation

    async def _create_checked(self, call: Call) -> dict[str, Any]:
        request = read(call.body)
        if request.owner is not None:
            raise forbidden("ERR_OWNER_REFUSED", "an owner can only be named on the data plane, through loopback")
        return await self._create(call, request)

    async def _create(self, call: Call, request: CreateRequest) -> dict[str, Any]:
        """Create what was asked for, or find what an earlier request of the same token or session created."""
        if request.client_token is None:
            return await self._acquire(call, request)
        async with self._turns.hold((call.scope, "token", request.client_token)):
            return self._created_by(call.scope, request) or await self._acquire(call, request)

    def _created_by(self, scope: Scope, request: CreateRequest) -> dict[str, Any] | None:
        sandbox_id = self._tokens.get((scope, request.client_token or ""))
        if sandbox_id is None:
            return None
        record = self._live.record(scope, sandbox_id)
        if record.document.get("requestDigest") != request.digest:
            raise conflict(
                f"clientToken {request.client_token} was used for sandbox {sandbox_id} with another request: "
                "take a new token for each creation"
            )
        return self._shown(record)

    async def _acquire(self, call: Call, request: CreateRequest) -> dict[str, Any]:
        if request.session_key is None:
            return self._shown(await self._created(call, request))
        async with self._turns.hold((call.scope, "session", request.session_key)):
            live = self._live.find_by_session(call.scope, request.session_key)
            if live is not None:
                return await self._reused(live, request)
            return {**self._shown(await self._created(call, request)), "acquired": CREATED}

    async def _reused(self, live: Live, request: CreateRequest) -> dict[str, Any]:
        of = live.record.document["templateName"]
        if of != request.template_name:
            raise conflict(
                f"sessionKey {request.session_key} has sandbox {live.record.id} of template {of}, "
                f"not of {request.template_name}: stop it, or use another key"
            )
        acquired = RESUMED if live.paused else REUSED
        return {**self._shown(await self._live.resume(live)), "acquired": acquired}

    async def _created(self, call: Call, request: CreateRequest) -> Record:
        template = self._templates.find_by_name(call.scope, request.template_name)
        if template is None:
            raise not_found("template", request.template_name)
        check_template(template)
        owner = self._owner(request)
        await self._live.wait_stopped(call.scope, request.sandbox_id or "")
        with self._reserved(call.scope, request.sandbox_id) as sandbox_id:
            spec = specification(sandbox_id, template, request, self._mounts, self._public, self._injections)
            running = await self._start(spec)
            record = _record(call.scope, template, request, spec, running, self._resources.clock.now())
            try:
                self._resources.store.insert(record)
            except NameTaken as error:
                await running.stop()
                raise already_exists("sandbox", sandbox_id) from error
            if request.client_token:
                self._tokens[call.scope, request.client_token] = sandbox_id
            return self._live.add(record, running, owner).record

    def _owner(self, request: CreateRequest) -> Owner | None:
        if request.owner is None:
            return None
        try:
            return self._live.find_owner(request.owner.pid, request.owner.start_time)
        except OwnerGoneError as error:
            raise invalid(f"owner: {error}") from error

    @contextlib.contextmanager
    def _reserved(self, scope: Scope, wanted: str | None) -> Generator[str, None, None]:
        """The id of a new sandbox, which nobody else can take inside the block."""
        if wanted and ((scope, wanted) in self._starting or self._resources.find(scope, wanted)):
            raise already_exists("sandbox", wanted)
        sandbox_id = wanted or ulid()
        self._starting.add((scope, sandbox_id))
        try:
            yield sandbox_id
        finally:
            self._starting.discard((scope, sandbox_id))

    async def _start(self, spec: SandboxSpec) -> RunningSandbox:
        """A sandbox that answers; whatever goes wrong, and whoever goes away meanwhile, nothing is left."""
        with _start_refusals(spec.sandbox_id):
            backend = await self._picked()
            check_capabilities(spec, backend)
            running = await backend.start_sandbox(spec)
            try:
                await running.wait_ready()
                check_level(spec, running.isolation)
            except BaseException:
                await self._live.discard(running)
                raise
        return running

    # Parts

    def _of(self, call: Call) -> Live:
        return self._live.get(call.scope, call.label)

    async def _picked(self) -> Backend:
        backend = self._backend
        return await backend.ready() if isinstance(backend, DeferredBackend) else backend

    def _shown(self, record: Record) -> dict[str, Any]:
        document = record.document
        more = {name: document[name] for name in _EXTENSIONS if document.get(name) is not None}
        return {**self._resources.shown(record), **more, "health": _HEALTH.get(record.status, "dead")}


_HEALTH = {READY: "ready", PAUSED: "paused"}


def _record(
    scope: Scope, template: Record, request: CreateRequest, spec: SandboxSpec, running: RunningSandbox, now: float
) -> Record:
    """The record of a sandbox that has just started."""
    sandbox_id, created = spec.sandbox_id, iso(now)
    life = request.life_seconds or float(template.document["sandboxTTLInSeconds"])
    document: dict[str, Any] = {
        "sandboxId": sandbox_id,
        "sandboxArn": f"acs:agentrun:{scope.region}:{scope.account}:sandboxes/{sandbox_id}",
        "templateId": template.id,
        "templateName": template.name,
        "templateType": template.document["templateType"],
        **_idle(request.idle_seconds or int(template.document["sandboxIdleTimeoutInSeconds"])),
        **_expiring(now + life),
        "started": now,
        "createdAt": created,
        "lastUpdatedAt": created,
        "metadata": dict(request.metadata),
        "isolation": shown_isolation(running.isolation),
        "network": shown_policy(spec.network),
        "autoResume": request.auto_resume,
        **_asked_by(request),
    }
    if copies := [mount.target for mount in spec.mounts if mount.copy_on_write]:
        document["copies"] = copies
    if spec.injection:
        document["credentials"] = shown_credentials(spec.injection)
        document[REFERENCES] = [each["credentialName"] for each in document["credentials"]]
    return Record(scope, KIND.name, sandbox_id, sandbox_id, READY, document)


def _asked_by(request: CreateRequest) -> dict[str, str]:
    """What finds the sandbox again when the same is asked once more."""
    by = {
        "sessionKey": request.session_key,
        "clientToken": request.client_token,
        "requestDigest": request.digest,
    }
    return {name: value for name, value in by.items() if value is not None}


def _idle(seconds: float) -> dict[str, Any]:
    seconds = int(seconds) if seconds == int(seconds) else seconds
    return {"sandboxIdleTimeoutSeconds": seconds, "sandboxIdleTTLInSeconds": seconds}


def _expiring(moment: float) -> dict[str, Any]:
    return {"expires": moment, "expiresAt": iso(moment)}


def _metadata_filters(query: Mapping[str, str]) -> list[tuple[str, tuple[Any, ...]]]:
    wanted = {
        metadata_key(name.removeprefix(METADATA_FILTER)): value
        for name, value in query.items()
        if name.startswith(METADATA_FILTER)
    }
    return [condition for key, value in wanted.items() for condition in field_is(f'metadata."{key}"', value)]


@contextlib.contextmanager
def _start_refusals(sandbox_id: str) -> Generator[None, None, None]:
    try:
        yield
    except NotCapable as error:
        raise unsupported(f"sandbox {sandbox_id} cannot start: {error}") from error
    except BackendError as error:
        raise ServiceError(503, "ERR_SANDBOX_UNAVAILABLE", f"sandbox {sandbox_id} cannot start: {error}") from error


@contextlib.contextmanager
def _backend_refusals(sandbox_id: str) -> Generator[None, None, None]:
    try:
        yield
    except NotCapable as error:
        raise unsupported(str(error)) from error
    except BackendError as error:
        raise conflict(f"sandbox {sandbox_id}: {error}") from error
