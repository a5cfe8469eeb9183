"""The process backend: sandboxes are forked from warm zygotes, services are started behind bubblewrap's walls."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from agentrun.emulator.backends.base import (
    CREDENTIALS,
    FORK,
    MOUNTS,
    NETWORK_POLICY,
    PAUSE,
    PORTS,
    WARM,
    BackendError,
    Isolation,
    Limits,
    Mount,
    NotCapable,
    Running,
    RunningSandbox,
    SandboxSpec,
    ServiceSpec,
)
from agentrun.emulator.backends.egress import PROXY_ENVIRONMENT, PROXY_PORT, EgressProxy
from agentrun.emulator.backends.process import bubblewrap, host, levels
from agentrun.emulator.backends.process.cgroups import Cgroups
from agentrun.emulator.backends.process.identities import Identities
from agentrun.emulator.backends.process.names import is_leftover, own_name
from agentrun.emulator.backends.process.sandbox import Outside, ProcessSandbox
from agentrun.emulator.backends.process.services import Services
from agentrun.emulator.backends.process.slots import Slot, Slots
from agentrun.emulator.backends.process.station import Station
from agentrun.emulator.backends.trust import BUNDLE, trust_environment, write_bundle
from agentrun.emulator.launcher.plan import NAMESPACES, Plan

MEBIBYTE = 1024 * 1024
PACKAGES, TRUST = "packages", "trust"
EGRESS, EMULATOR = "egress", "emulator"
CAPABILITIES = frozenset((PAUSE, FORK, WARM))
WITH_NAMESPACES = frozenset((PORTS, NETWORK_POLICY, MOUNTS, CREDENTIALS))

Adopt = Callable[[socket.socket], Coroutine[Any, Any, None]]


class ProcessBackend:
    """Runs sandboxes and services as processes of this machine.

    `run_directory` holds everything that exists only while something runs. `emulator_socket` is the unix socket on
    which the emulator listens, in a folder of its own; with it, code inside reaches the emulator at
    127.0.0.1:`emulator_port`. `adopt` serves the emulator's API on a connection that a sandbox opened.
    """

    name = "process"

    def __init__(
        self,
        *,
        run_directory: Path,
        emulator_socket: Path | None,
        emulator_port: int,
        confined: bool = True,
        adopt: Adopt | None = None,
        egress: EgressProxy | None = None,
    ) -> None:
        self.run_directory = run_directory
        self.confined = confined
        self.egress = egress or EgressProxy(own_port=emulator_port)
        self._adopt = adopt
        self._emulator_port = emulator_port
        self._numbers = itertools.count(1)
        identities = Identities() if confined and bubblewrap.as_root() else None
        self._cgroups = Cgroups() if confined else None
        self._services = Services(
            run_directory=run_directory,
            emulator_socket=emulator_socket,
            emulator_port=emulator_port,
            confined=confined,
            egress=self.egress,
            identities=identities,
            cgroups=self._cgroups,
        )
        self._slots = Slots(self._folder / "users", identities, self._cgroups)
        self._ground = levels.unconfined()
        # Folders of the host must be there when a station starts, so those who want the same ones share one.
        self._stations: dict[tuple[Mount, ...], Station] = {}
        self._starting = asyncio.Lock()
        self._sandboxes: set[ProcessSandbox] = set()
        self._served: set[asyncio.Task[None]] = set()

    @property
    def isolation(self) -> Isolation:
        """The separation that every sandbox gets."""
        return self._ground.isolation

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do beyond running code."""
        return CAPABILITIES | WITH_NAMESPACES if self._ground.walls == NAMESPACES else CAPABILITIES

    async def start(self) -> None:
        """Probe the machine and open the way out; BackendError with the fix when it cannot isolate."""
        self.run_directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        await asyncio.to_thread(_sweep, self.run_directory)
        if self._cgroups:
            self._cgroups.sweep()
            self._ground = await asyncio.to_thread(levels.probe, self._cgroups.controllers)
        if self._ground.walls != NAMESPACES:
            # What sandboxes read and write is the emulator's own then, and so must be the user.
            self._slots = Slots(self._folder / "users", None, self._cgroups)
        await self._services.start()

    async def warm(self) -> None:
        """Load what sandboxes are forked from, ahead of the first one."""
        await self._ready_station(())

    async def start_sandbox(self, spec: SandboxSpec) -> RunningSandbox:
        """Fork a sandbox; NotCapable when it asks for what this backend lacks."""
        self._check(spec)
        station = await self._ready_station(spec.mounts)
        if spec.injection:
            write_bundle(self._folder / TRUST, (await self.egress.interceptor()).bundle)
        slot = self._slots.take(spec.limits)
        path = self._folder / f"{next(self._numbers):x}"
        running = ProcessSandbox(
            f"sandbox {spec.sandbox_id}",
            path,
            slot,
            self._ground.isolation,
            spec.network,
            station,
            self._plan(spec, slot, path),
            Outside(self._serve, self.egress.recheck, self._release),
            spec.injection,
        )
        self._sandboxes.add(running)
        await running.begin()
        return running

    async def start_service(self, spec: ServiceSpec) -> Running:
        """Start a service on its own writable copy of its folder; BackendError when folder or port cannot be used."""
        if self.confined and self._ground.walls != NAMESPACES:
            raise BackendError(f"agents need namespaces to run in: {self._ground.reason}")
        return await self._services.run(spec)

    async def close(self) -> None:
        """End everything this backend started and remove the run directory's content."""
        await asyncio.gather(*(running.stop() for running in list(self._sandboxes)))
        await asyncio.gather(*(station.close() for station in self._stations.values()))
        for task in self._served:
            task.cancel()
        await self._services.close()
        self._slots.close()
        await asyncio.to_thread(host.remove, self._folder)

    @property
    def _folder(self) -> Path:
        return self.run_directory / own_name("sandboxes")

    def _check(self, spec: SandboxSpec) -> None:
        if spec.image is not None:
            raise NotCapable("the process backend runs no container images: start the emulator with --backend docker")
        if spec.mounts and self._ground.walls != NAMESPACES:
            raise NotCapable(f"folders can be mounted only into namespaces: {self._ground.reason}")
        if spec.injection and self._ground.walls != NAMESPACES:
            raise NotCapable(f"credentials need the proxy, which only namespaces have: {self._ground.reason}")

    async def _ready_station(self, mounts: tuple[Mount, ...]) -> Station:
        async with self._starting:
            station = self._stations.get(mounts)
            if station is None or not station.alive:
                if station is not None:
                    await station.close()
                if not self._folder.exists():
                    _make_folders(self._folder)
                station = self._stations[mounts] = Station(self._command(mounts))
                await station.start()
        return station

    def _command(self, mounts: tuple[Mount, ...]) -> list[str]:
        launcher = [host.interpreter(), "-m", host.LAUNCHER_MODULE, self._ground.walls]
        if self._ground.walls != NAMESPACES:
            return launcher
        # Theirs as far as all of them have the same, so that a fork need not change it.
        environment = self._environment({}, bubblewrap.HOME, "/tmp")
        folder = self._folder
        shown = {folder / "users": bubblewrap.USERS, folder / TRUST: bubblewrap.TRUST}
        return bubblewrap.station(launcher, environment, folder / "etc", shown, mounts)

    def _plan(self, spec: SandboxSpec, slot: Slot, path: Path) -> Plan:
        walled = self._ground.walls == NAMESPACES
        home, temporary = (bubblewrap.HOME, "/tmp") if walled else _made(_own_folders(path))
        return Plan(
            walls=self._ground.walls,
            home=home,
            temporary=temporary,
            user=slot.user,
            readable=tuple(map(str, host.python_folders())) if walled else self._readable(),
            identity=f"{bubblewrap.USERS}/{slot.user}" if slot.identity else None,
            disk=spec.limits.disk,
            environment=self._environment(_given(spec), home, temporary),
            limits=self._resource_limits(spec.limits),
            overlays=bubblewrap.overlays(spec.mounts),
            forwards=((PROXY_PORT, EGRESS), (self._emulator_port, EMULATOR)) if walled else (),
        )

    def _readable(self) -> tuple[str, ...]:
        return (*host.readable(), str(self._folder / PACKAGES))

    def _environment(self, given: Mapping[str, str], home: str, temporary: str) -> dict[str, str]:
        if self._ground.walls == NAMESPACES:
            return host.environment({**PROXY_ENVIRONMENT, **given}, home, temporary)
        environment = host.environment(given, home, temporary)
        # To import from a checkout Python lists its folder, which may hold anything; so it gets one with nothing else.
        paths = environment.get("PYTHONPATH", "").split(":")
        alone = [str(self._folder / PACKAGES) if path == str(host.PACKAGE.parent) else path for path in paths if path]
        return {**environment, "PYTHONPATH": ":".join(alone)}

    def _resource_limits(self, limits: Limits) -> dict[str, int]:
        """Limits of each process; a process count only where the user id is the sandbox's own."""
        chosen = {
            "RLIMIT_NOFILE": limits.open_files,
            "RLIMIT_FSIZE": limits.file_size * MEBIBYTE,
            "RLIMIT_CORE": 0,
        }
        if self._ground.walls == NAMESPACES:
            chosen["RLIMIT_NPROC"] = limits.processes
        if self._cgroups is None or "memory" not in self._cgroups.controllers:
            chosen["RLIMIT_DATA"] = limits.memory * MEBIBYTE
        return chosen

    def _serve(self, sandbox: ProcessSandbox, what: str, connection: socket.socket) -> asyncio.Task[None]:
        """Connect a sandbox with what it asked for, for as long as the connection lasts."""
        if what == EGRESS:
            work: Coroutine[Any, Any, None] = self.egress.serve(connection, sandbox.reachable, sandbox.injection)
        elif self._adopt is not None:
            work = self._adopt(connection)
        else:
            work = _hang_up(connection)
        task = asyncio.get_running_loop().create_task(work)
        self._served.add(task)
        task.add_done_callback(self._served.discard)
        return task

    def _release(self, sandbox: ProcessSandbox) -> None:
        self._sandboxes.discard(sandbox)
        self.egress.cut(sandbox.reachable)
        if self._ground.walls != NAMESPACES:
            for folder in _own_folders(sandbox.socket):
                host.remove(folder)
        self._slots.give_back(sandbox.slot)


def _given(spec: SandboxSpec) -> dict[str, str]:
    """The environment that was asked for, with the placeholders of secrets."""
    if spec.injection is None:
        return dict(spec.environment)
    trust = trust_environment(f"{bubblewrap.TRUST}/{BUNDLE}")
    return {**trust, **spec.environment, **spec.injection.environment}


async def _hang_up(connection: socket.socket) -> None:
    connection.close()


def _make_folders(folder: Path) -> None:
    folder.mkdir(mode=0o711)
    (folder / "users").mkdir(mode=0o755)
    bubblewrap.write_etc(folder / "etc", bubblewrap.INSIDE_UID)
    for name in (PACKAGES, TRUST):
        (folder / name).mkdir(mode=0o755)
    (folder / PACKAGES / host.PACKAGE.name).symlink_to(host.PACKAGE)


def _own_folders(path: Path) -> tuple[Path, Path]:
    """Home and temporary folder where nothing can be mounted: on the host, beside the socket."""
    return path.with_suffix(".home"), path.with_suffix(".tmp")


def _made(folders: tuple[Path, Path]) -> tuple[str, str]:
    for folder in folders:
        folder.mkdir(mode=0o700)
    return str(folders[0]), str(folders[1])


def _sweep(run_directory: Path) -> None:
    """Remove what killed emulators left."""
    for folder in run_directory.iterdir():
        if is_leftover(folder.name):
            with contextlib.suppress(OSError):
                host.remove(folder)
