"""Services: makes their folders, puts up the walls, starts the init and hands out what runs."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import socket
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrun.emulator.backends.base import (
    BackendError,
    HealthCheck,
    Isolation,
    Limits,
    NetworkPolicy,
    Running,
    ServiceSpec,
)
from agentrun.emulator.backends.egress import PROXY_ENVIRONMENT, PROXY_PORT, EgressProxy
from agentrun.emulator.backends.injection.placeholders import Injection
from agentrun.emulator.backends.process import bubblewrap, host
from agentrun.emulator.backends.process.cgroups import Cgroup, Cgroups
from agentrun.emulator.backends.process.identities import Identities
from agentrun.emulator.backends.process.names import own_name
from agentrun.emulator.backends.process.running import ProcessRunning
from agentrun.emulator.backends.trust import BUNDLE, trust_environment, write_bundle

MAX_SOCKET_PATH = 100
LONGEST_NAME = "/4194304-ffffffff/http"
MEBIBYTE = 1024 * 1024
# Of this process, in which there may be several emulators: a cgroup's name must belong to one of them alone.
_NUMBERS = itertools.count(1)
SERVICE_GRACE = 2.0
PROXY = "proxy"
EGRESS = f"{bubblewrap.SOCKETS}/egress"
ENTER_CGROUPS = 'for file in $0; do echo $$ > "$file" || exit 126; done; exec "$@"'
UNCONFINED = Isolation("none", ("namespaces", *bubblewrap.BEYOND_NAMESPACES))


@dataclass(frozen=True)
class Launch:
    """How one program is started."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    limits: Limits
    network: bool
    health: HealthCheck
    injection: Injection | None = None
    port: int | None = None
    code: Path | None = None
    grace: float = 0.0


@dataclass(frozen=True)
class Place:
    """The folders, the user and the cgroup of one start."""

    folder: Path
    uid: int | None
    cgroup: Cgroup

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def code(self) -> Path:
        return self.folder / "code"

    @property
    def socket(self) -> Path:
        return self.folder / "http"

    @property
    def egress(self) -> Path:
        """A way out of its own, where there are secrets to be put in."""
        return self.folder / "egress"


class Services:
    """Runs the programs of agent runtimes as processes of this machine.

    `run_directory` holds everything that exists only while something runs. `emulator_socket` is the unix socket on
    which the emulator listens, in a folder of its own; with it, code inside reaches the emulator at
    127.0.0.1:`emulator_port`.
    """

    def __init__(
        self,
        *,
        run_directory: Path,
        emulator_socket: Path | None,
        emulator_port: int,
        confined: bool,
        egress: EgressProxy,
        identities: Identities | None,
        cgroups: Cgroups | None,
    ) -> None:
        self.run_directory = run_directory
        self.confined = confined
        self.egress = egress
        self._emulator_socket = emulator_socket
        self._emulator_port = emulator_port
        self._identities = identities
        self._cgroups = cgroups
        self._running: set[ProcessRunning] = set()

    @property
    def isolation(self) -> Isolation:
        """The separation that everything started here gets."""
        return bubblewrap.isolation(self._cgroups.controllers) if self._cgroups else UNCONFINED

    async def start(self) -> None:
        """Open the way out."""
        self._check_paths()
        await self.egress.start(self._egress_folder / PROXY)

    async def run(self, spec: ServiceSpec) -> Running:
        """Start a service on its own writable copy of its folder; BackendError when folder or port cannot be used."""
        if self.confined and spec.port in self._taken_ports():
            raise BackendError(f"port {spec.port} is used inside every service by the emulator: choose another one")
        if spec.injection and not (self.confined and spec.network):
            raise BackendError(
                f"service {spec.service_id} has placeholders of credentials: without namespaces and a network "
                "there is no proxy that could put the secrets in"
            )
        if not spec.folder.is_dir():
            raise BackendError(f"the code folder {spec.folder} of service {spec.service_id} does not exist")
        return await self._launch(
            Launch(
                name=f"service {spec.service_id}",
                command=spec.command,
                environment=spec.environment,
                limits=spec.limits,
                network=spec.network,
                health=spec.health,
                injection=spec.injection,
                port=spec.port,
                code=spec.folder,
                grace=SERVICE_GRACE,
            )
        )

    async def close(self) -> None:
        """End everything this backend started and remove the run directory's content."""
        await asyncio.gather(*(running.stop() for running in list(self._running)))
        await self.egress.stop()
        await asyncio.to_thread(shutil.rmtree, self._egress_folder, ignore_errors=True)

    @property
    def _egress_folder(self) -> Path:
        return self.run_directory / own_name("egress")

    def _taken_ports(self) -> set[int]:
        return {PROXY_PORT, self._emulator_port} if self._emulator_socket else {PROXY_PORT}

    def _check_paths(self) -> None:
        longest = len(os.fsencode(self.run_directory)) + len(LONGEST_NAME)
        if longest > MAX_SOCKET_PATH:
            raise BackendError(
                f"the run directory {self.run_directory} is too long for unix sockets: choose a shorter one"
            )
        if self._emulator_socket and self._emulator_socket.parent == self.run_directory:
            raise BackendError(
                f"{self._emulator_socket} must be in a folder of its own: that folder is shown to sandboxes"
            )

    async def _launch(self, launch: Launch) -> ProcessRunning:
        making = asyncio.ensure_future(asyncio.to_thread(self._make_place, launch))
        try:
            place = await asyncio.shield(making)
        except asyncio.CancelledError:
            await asyncio.to_thread(self._remove_place, await making)
            raise
        end: Callable[[], None] | None = None
        try:
            if launch.injection:
                end = await self._open_way_out(place, launch.injection)
            return await self._spawn(launch, place, end)
        except BaseException:
            if end:
                end()
            await asyncio.to_thread(self._remove_place, place)
            raise

    async def _open_way_out(self, place: Place, injection: Injection) -> Callable[[], None]:
        """The proxy for one service alone; returns the function that closes it."""

        def policy() -> NetworkPolicy:
            return NetworkPolicy()

        end = await self.egress.listen(place.egress / PROXY, policy, injection)
        write_bundle(place.egress, (await self.egress.interceptor()).bundle)
        return end

    def _make_place(self, launch: Launch) -> Place:
        name = own_name(f"{next(_NUMBERS):x}")
        folder = self.run_directory / name
        folder.mkdir(mode=0o711)
        cgroup = self._cgroups.create(name, launch.limits) if self._cgroups else Cgroup(())
        place = Place(folder, self._identities.take() if self._identities else None, cgroup)
        try:
            _fill(place, launch.code)
        except BaseException:
            self._remove_place(place)
            raise
        return place

    def _remove_place(self, place: Place) -> None:
        place.cgroup.remove()
        host.remove(place.folder)
        if self._identities and place.uid is not None:
            self._identities.give_back(place.uid)

    async def _spawn(self, launch: Launch, place: Place, end: Callable[[], None] | None) -> ProcessRunning:
        server = _bound_socket(place.socket)
        info_read, info_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            process = await self._execute(launch, place, server.fileno(), info_write)
        except BaseException:
            os.close(info_read)
            server.close()
            raise
        finally:
            os.close(info_write)
        return self._track(launch, place, process, server, info_read, end)

    async def _execute(self, launch: Launch, place: Place, server_fd: int, info_fd: int) -> Process:
        process = await asyncio.create_subprocess_exec(
            *self._command(launch, place, info_fd),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(server_fd, info_fd),
            env=host.program_environment(),
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(self._plan(launch, place, server_fd)).encode() + b"\n")
        return process

    def _track(
        self,
        launch: Launch,
        place: Place,
        process: Process,
        server: socket.socket,
        info_fd: int,
        end: Callable[[], None] | None,
    ) -> ProcessRunning:
        loop = asyncio.get_running_loop()

        def release() -> None:
            self._running.discard(running)
            if end:
                # This runs in a thread, and sockets belong to the loop.
                loop.call_soon_threadsafe(end)
            self._remove_place(place)

        running = ProcessRunning(
            process,
            name=launch.name,
            path=place.socket,
            server=server,
            isolation=self.isolation,
            health=launch.health,
            port=launch.port,
            grace=launch.grace,
            info_fd=info_fd,
            confined=self.confined,
            cgroup=place.cgroup,
            release=release,
        )
        self._running.add(running)
        return running

    def _command(self, launch: Launch, place: Place, info_fd: int) -> list[str]:
        """The init's command line, behind walls when confined; a shell, small and quick, enters the cgroups first."""
        if not self.confined:
            return host.init_command()
        command = bubblewrap.command(self._walls(launch, place), info_fd)
        entrances = place.cgroup.entrances
        if not entrances:
            return command
        return ["/bin/sh", "-c", ENTER_CGROUPS, " ".join(map(str, entrances)), *command]

    def _walls(self, launch: Launch, place: Place) -> bubblewrap.Walls:
        writable = {place.home: bubblewrap.HOME}
        if launch.code:
            writable[place.code] = bubblewrap.CODE
        readable: dict[Path, str] = {}
        if launch.network:
            readable[place.egress if launch.injection else self._egress_folder] = EGRESS
        if self._emulator_socket:
            readable[self._emulator_socket.parent] = f"{bubblewrap.SOCKETS}/emulator"
        return bubblewrap.Walls(place.folder / "etc", writable, readable)

    def _plan(self, launch: Launch, place: Place, server_fd: int) -> dict[str, Any]:
        """What the init reads from its stdin; on stdin, because a command line shows secrets to the whole host."""
        working, home = place.code if launch.code else place.home, place.home
        if self.confined:
            working, home = Path(bubblewrap.CODE if launch.code else bubblewrap.HOME), Path(bubblewrap.HOME)
        return {
            "command": list(launch.command),
            "environment": self._environment(launch, home),
            "folder": str(working),
            "socket": server_fd,
            "user": place.uid,
            "limits": self._resource_limits(launch.limits),
            "port": launch.port,
            "forwards": self._forwards(launch),
            "grace": launch.grace,
        }

    def _environment(self, launch: Launch, home: Path) -> dict[str, str]:
        proxied = PROXY_ENVIRONMENT if launch.network and self.confined else {}
        trust = trust_environment(f"{EGRESS}/{BUNDLE}") if launch.injection and self.confined else {}
        return host.environment({**proxied, **trust, **launch.environment}, str(home), "/tmp")

    def _forwards(self, launch: Launch) -> list[tuple[int, str]]:
        if not self.confined:
            return []
        forwards: list[tuple[int, str]] = []
        if launch.network:
            forwards.append((PROXY_PORT, f"{EGRESS}/{PROXY}"))
        if self._emulator_socket:
            forwards.append((self._emulator_port, f"{bubblewrap.SOCKETS}/emulator/{self._emulator_socket.name}"))
        return forwards

    def _resource_limits(self, limits: Limits) -> dict[str, int]:
        """Limits of each process; unconfined, a process count would be that of the whole user."""
        chosen = {
            "RLIMIT_NOFILE": limits.open_files,
            "RLIMIT_FSIZE": limits.file_size * MEBIBYTE,
            "RLIMIT_CORE": 0,
        }
        if self.confined:
            chosen["RLIMIT_NPROC"] = limits.processes
        if self._cgroups is None or "memory" not in self._cgroups.controllers:
            chosen["RLIMIT_DATA"] = limits.memory * MEBIBYTE
        return chosen


def _fill(place: Place, code: Path | None) -> None:
    """Make the folders of one start, owned by the user that will run in them."""
    place.home.mkdir(mode=0o700)
    uid = bubblewrap.INSIDE_UID if place.uid is None else place.uid
    bubblewrap.write_etc(place.folder / "etc", uid)
    if code:
        shutil.copytree(code, place.code, symlinks=True)
        place.code.chmod(0o755)
    if place.uid is not None:
        _give(place.home, place.uid)
        if code:
            _give(place.code, place.uid)


def _give(folder: Path, uid: int) -> None:
    os.lchown(folder, uid, uid)
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            os.lchown(os.path.join(parent, name), uid, uid)


def _bound_socket(path: Path) -> socket.socket:
    """A unix socket with its name but not yet listening: connecting fails until the inside serves it.

    It is bound here and inherited, because in a folder that the inside can write, it could be swapped for a link to any
    other socket of the host.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    return sock
