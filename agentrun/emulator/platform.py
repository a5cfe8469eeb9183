"""All parts of the emulator, put together from its settings: wiring only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from socket import socket as Connection
from typing import TYPE_CHECKING, Any

from agentrun.emulator.auth import Authenticator
from agentrun.emulator.backends import pick
from agentrun.emulator.backends.base import Backend
from agentrun.emulator.backends.deferred import DeferredBackend
from agentrun.emulator.backends.injection.placeholders import Refused
from agentrun.emulator.backends.process import host
from agentrun.emulator.clock import Clock, SystemClock
from agentrun.emulator.control import (
    access_tokens,
    credentials,
    endpoints,
    knowledgebases,
    model_providers,
    model_proxies,
    model_services,
    runtimes,
    sandboxes,
    templates,
    tools,
    toolsets,
)
from agentrun.emulator.control.call import Handler
from agentrun.emulator.control.injections import Injections
from agentrun.emulator.data.documents import Documents
from agentrun.emulator.data.invocations import Invocations
from agentrun.emulator.data.proxy import Proxy
from agentrun.emulator.data.retrieval.gateway import RetrievalGateway
from agentrun.emulator.data.sandboxes import SandboxGateway
from agentrun.emulator.data.signed_urls import SignedURLs
from agentrun.emulator.data.tools.gateway import ToolGateway
from agentrun.emulator.fetching import Fetcher
from agentrun.emulator.inbound.gate import Gate
from agentrun.emulator.instances import Instances
from agentrun.emulator.journal import Journal
from agentrun.emulator.knowledge.index import KnowledgeIndex
from agentrun.emulator.lifecycle import Lifecycle, durations
from agentrun.emulator.mounts import Mounts
from agentrun.emulator.outbound import OutboundCredentials
from agentrun.emulator.packages import Packages
from agentrun.emulator.recordings import Recordings
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.scripted import ScriptedModel
from agentrun.emulator.settings import Settings
from agentrun.emulator.store import Record, Scope, Store
from agentrun.emulator.tool_instances import ToolInstances
from agentrun.emulator.usage import Usage
from agentrun.emulator.vault import Vault
from agentrun.emulator.wire.envelope import new_request_id

if TYPE_CHECKING:
    from agentrun.emulator.data.models.gateway import ModelGateway
    from agentrun.emulator.data.template_mcp.gateway import TemplateGateway

log = logging.getLogger("agentrun.emulator")

SOCKET = "http.sock"
_PREFIX = "agentrun-"
# Code that is refused again and again must not fill a disk with what is said about it.
_WARNING_SECONDS = 1.0


class Platform:
    """The emulator without its HTTP: what the operations work on."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        durations(settings.profile)  # A wrong choice must be told before anything is opened.
        self.settings = settings
        self.clock = clock or SystemClock()
        state = _prepared(settings.state)
        self.vault = Vault(state)
        key = self.vault.key
        self.store = Store(state)
        self.usage = Usage(self.store, self.clock)
        self.fetcher = Fetcher()
        self.recordings = Recordings(settings.recording, self._secrets)
        # What exists only while we run is outside the state, and its path is short enough for unix sockets.
        _sweep()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.directory.chmod(0o711)
        self.journal = Journal()
        self.lifecycle = Lifecycle(self.store, self.clock, settings.profile)
        self.auth = Authenticator(settings, self.clock, key)
        self.backend: Backend = DeferredBackend(self._pick)
        self.proxy = Proxy()
        self.model = ScriptedModel(settings.script)
        self.packages = Packages((state or self.directory) / "packages")
        self._warned = 0.0
        stored = self._resources(credentials.KIND)
        self.outbound = OutboundCredentials(stored, self.fetcher, self.usage, self.clock)
        self.injections = Injections(self.outbound, self.clock, self._note_refusal)
        self.instances = Instances(self.backend, self.packages, self.auth, self.injections)
        self.tool_instances = ToolInstances(self.backend, self.injections, self.packages, self.directory / "empty")
        self._build()
        self._tasks: list[asyncio.Task[None]] = []
        self.endpoint = ""
        # How the server takes over a connection from inside that is there already; nobody does for an app without one.
        self.serve: Callable[[Connection], Coroutine[Any, Any, None]] | None = None

    def _build(self) -> None:
        stored = self._resources(credentials.KIND)
        known = credentials.Credentials(stored, self.usage)
        self.gate = Gate(stored, self.clock, self.fetcher, self.usage)
        self._build_runtimes(known)
        self._build_sandboxes()
        self._build_models(known, stored)
        self._build_tools(stored)
        self._build_knowledge(stored)
        self.handlers = self._handlers(known)

    def _build_runtimes(self, known: credentials.Credentials) -> None:
        stored = self._resources(endpoints.KIND)
        self.runtimes = runtimes.Runtimes(
            self._resources(runtimes.KIND),
            self._resources(runtimes.VERSION),
            stored,
            known,
            self.instances,
            self.packages,
        )
        self.endpoints = endpoints.Endpoints(stored, self.runtimes)
        self.invocations = Invocations(self.runtimes, self.endpoints, self.instances, self.proxy, self.gate)

    def _build_sandboxes(self) -> None:
        stored = self._stored_templates = self._resources(templates.KIND)
        self.sandboxes = sandboxes.Sandboxes(
            self._resources(sandboxes.KIND),
            stored,
            self.backend,
            self.injections,
            self._mounts(),
            self.settings.network,
        )
        self.templates = templates.Templates(stored)
        self.templates.end_sessions = self._end_template_sessions
        self._template_gateway: TemplateGateway | None = None
        self.sandbox_gateway = SandboxGateway(self.sandboxes, self.proxy, SignedURLs(self.vault.key, self.clock))

    def _build_models(self, known: credentials.Credentials, stored_credentials: Resources) -> None:
        services, proxies = self._resources(model_services.KIND), self._resources(model_proxies.KIND)
        self.model_proxies = model_proxies.ModelProxies(proxies, services, known, strict=self.settings.strict)
        self.model_services = model_services.ModelServices(services, known, proxies)
        self._models = (proxies, services, stored_credentials)
        self._model_gateway: ModelGateway | None = None

    def _build_tools(self, stored_credentials: Resources) -> None:
        stored = self._resources(tools.KIND)
        self.tools = tools.Tools(stored, stored_credentials, self.tool_instances, self.packages)
        self.toolsets = toolsets.Toolsets(self._resources(toolsets.KIND), self.tool_instances)
        self.tool_gateway = ToolGateway(
            self.tools, self.toolsets.resources, self.outbound, self.tool_instances, self.proxy, self.packages
        )

    def _build_knowledge(self, stored_credentials: Resources) -> None:
        index = KnowledgeIndex(self.settings.state)
        stored = self._resources(knowledgebases.KIND)
        self.knowledge_bases = knowledgebases.KnowledgeBases(stored, stored_credentials, index)
        self.documents = Documents(self.knowledge_bases)
        self.retrieval = RetrievalGateway(self.knowledge_bases, self.outbound, self.auth)

    def _handlers(self, known: credentials.Credentials) -> Mapping[str, Handler]:
        """Who carries out each operation of the Control API."""
        parts = (
            known,
            self.knowledge_bases,
            model_providers.ModelProviders(),
            self.model_proxies,
            self.model_services,
            self.templates,
            access_tokens.AccessTokens(self.auth, self.runtimes.resources),
            self.runtimes,
            self.endpoints,
            self.sandboxes,
            self.tools,
        )
        return {action: handler for part in parts for action, handler in part.handlers().items()}

    def _mounts(self) -> Mounts:
        """The folders that sandboxes may see; storage survives where something survives."""
        roots = self.settings.mount_roots
        kept = self.settings.state or next(iter(roots), None)
        return Mounts(roots, kept or self.directory / "storage")

    def _resources(self, kind: Kind) -> Resources:
        return Resources(kind, self.store, self.lifecycle, self.vault, self.clock)

    def _note_refusal(self, scope: Scope, owner: str, refused: Refused) -> None:
        """Tell of a secret that code tried to send where it may not: in the log, and in the journal as a request."""
        if refused.time - self._warned >= _WARNING_SECONDS:
            self._warned = refused.time
            log.warning("%s: a request with credential %s to %s was refused", owner, refused.credential, refused.origin)
        remarks = [f"credential {refused.credential}: {refused.reason}"]
        path = f"{owner} to {refused.origin}"
        self.journal.add(
            refused.time, "egress", "InjectCredential", "", path, 403, new_request_id(), 0.0, scope.account, remarks
        )

    @property
    def socket(self) -> Path:
        """The unix socket on which what runs inside reaches the emulator."""
        return self.directory / "listen" / SOCKET

    @property
    def client_socket(self) -> Path:
        """The unix socket on which clients reach an emulator without a port; its folder is shown to nobody inside."""
        return self.directory / "client" / SOCKET

    @property
    def port(self) -> int:
        """The port of loopback at which the emulator is reached."""
        return int(self.endpoint.rpartition(":")[2])

    def _secrets(self) -> Iterator[str]:
        """The secrets that the platform keeps for its accounts, and those of their access keys."""
        yield from self.settings.access_keys.values()
        for stored in self._models:
            yield from stored.every_secret()

    async def model_gateway(self) -> ModelGateway:
        """The gateway of models; it comes with its first call, because it loads what most runs do not need."""
        if self._model_gateway is None:
            from agentrun.emulator.data.models.opening import open_gateway

            self._model_gateway = await open_gateway(
                self._models,
                self.outbound,
                self.recordings,
                lambda: self.port,
                self.settings.content_checks,
                self.auth.data,
                self.gate,
            )
        return self._model_gateway

    def template_gateway(self) -> TemplateGateway:
        """The gateway of templates that are MCP servers; like that of models it comes with its first call."""
        if self._template_gateway is None:
            from agentrun.emulator.data.template_mcp.gateway import TemplateGateway

            self._template_gateway = TemplateGateway(self._stored_templates, self.sandboxes)
        return self._template_gateway

    async def _end_template_sessions(self, template: Record) -> None:
        if self._template_gateway is not None:
            await self._template_gateway.end(template)

    async def _pick(self) -> Backend:
        return await pick(
            self.settings.backend,
            allow_unconfined=self.settings.allow_unconfined,
            run_directory=self.directory / "run",
            emulator_socket=self.socket,
            emulator_port=self.port,
            adopt=self._adopt,
            trusted=self.settings.trusted_ca,
        )

    async def _adopt(self, connection: Connection) -> None:
        """Serve a connection that code inside has opened to us, as one that comes from there."""
        if self.serve is None:
            connection.close()
        else:
            await self.serve(connection)

    def listen_at(self, port: int) -> None:
        """Tell all parts at which port of loopback the emulator is reached; must come before `start`."""
        self.endpoint = f"http://127.0.0.1:{port}"
        self.instances.endpoint = self.endpoint
        public_url = f"https://localhost:{port}" if self.settings.tls else self.endpoint
        served = (
            self.endpoints,
            self.knowledge_bases,
            self.model_proxies,
            self.model_services,
            self.templates,
            self.toolsets,
        )
        for part in served:
            part.public_url = public_url

    async def start(self) -> None:
        """Begin to work."""
        self.sandboxes.recover()
        self.runtimes.recover()
        self.tools.recover()
        self._clear_packages()
        await self.backend.start()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self.sandboxes.sweep()), loop.create_task(self.usage.keep())]

    def _clear_packages(self) -> None:
        """Remove the code of what is not there any more."""
        kinds = (runtimes.KIND, runtimes.VERSION, tools.KIND)
        used = [record.document for kind in kinds for record in self.store.every(kind.name)]
        self.packages.keep_only({document["package"] for document in used if "package" in document})

    async def reset(self, account: str | None = None) -> None:
        """Stop what runs and forget everything, of one account or of all."""
        if self._template_gateway is not None:
            await self._template_gateway.reset(account)
        await self.sandboxes.reset(account)
        await asyncio.gather(self.instances.reset(account), self.tool_instances.reset(account))
        self.knowledge_bases.forget(account)
        self.usage.clear(account)
        self.store.clear(account)
        if account is None:
            self.journal.clear()

    async def close(self) -> None:
        """Stop everything that runs and leave nothing behind but the state."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.gather(self.runtimes.close(), self.tools.close())
        if self._template_gateway is not None:
            await self._template_gateway.close()
        await asyncio.gather(self.sandboxes.close(), self.instances.close(), self.tool_instances.close())
        self.proxy.close()
        await self.recordings.close()
        if self._model_gateway:
            await self._model_gateway.close()
        await self.toolsets.close()
        await self.backend.close()
        self.knowledge_bases.index.close()
        self.fetcher.close()
        self.usage.flush()
        self.store.close()
        host.remove(self.directory)


def _prepared(state: Path | None) -> Path | None:
    if state is not None:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(state, 0o700)
    return state


def _sweep() -> None:
    """Remove what emulators of ours left behind that were killed: their folders, and what still runs in them."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        process = left.name.removeprefix(_PREFIX).partition("-")[0]
        if process.isdigit() and not Path(f"/proc/{process}").exists() and left.stat().st_uid == os.getuid():
            _kill_those_in(left)
            host.remove(left)


def _kill_those_in(folder: Path) -> None:
    # Bubblewrap ends with us, except in the moment in which it has just split in two.
    needle = f"{folder}/".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if needle in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
