"""The docker backend: finds the engine, makes containers and hands out what runs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrun.emulator.backends import trust
from agentrun.emulator.backends.base import (
    CREDENTIALS,
    IMAGES,
    LEVELS,
    MOUNTS,
    NETWORK_POLICY,
    PAUSE,
    PORTS,
    WARM,
    Backend,
    BackendError,
    Isolation,
    NotCapable,
    Running,
    SandboxSpec,
    ServiceSpec,
)
from agentrun.emulator.backends.docker import containers, images, mounting, sweeping
from agentrun.emulator.backends.docker.doors import Door, GuestDoor, PortDoor
from agentrun.emulator.backends.docker.engine import Engine, connect
from agentrun.emulator.backends.docker.exits import BridgeExit, Exit, ProxyExit, check_mode
from agentrun.emulator.backends.docker.freezer import find_freezer
from agentrun.emulator.backends.docker.output import Output, attach
from agentrun.emulator.backends.docker.ownership import Owner
from agentrun.emulator.backends.docker.place import Place, own_uid
from agentrun.emulator.backends.docker.pool import Pool, Shape
from agentrun.emulator.backends.docker.running import DockerSandbox
from agentrun.emulator.backends.egress import EgressProxy
from agentrun.emulator.backends.process.names import is_leftover, own_name

RUNTIME_VARIABLE = "AGENTRUN_DOCKER_RUNTIME"
SWEEP_SECONDS = 60.0
MAX_SOCKET_PATH = 100
LONGEST_NAME = "/4194304-cffffffff/inside/egress"
INSIDE_NETWORK, OUTSIDE_NETWORK = "inside", "outside"
NO_TALK = {"com.docker.network.bridge.enable_icc": "false"}
# What the best level has and an ordinary container does not.
BEYOND_CONTAINER = ("landlock", "a kernel of its own")
BEYOND_OWN_IMAGE = (
    "an own uid",
    "a read-only system",
    "disk limit",
    "closed ports of the host",
    "a filter of system calls of our own",
)


@dataclass(frozen=True)
class Draft:
    """A container to be made: its body for the engine, its place and the volumes that come with it."""

    config: dict[str, Any]
    place: Place
    name: str
    volumes: tuple[str, ...] = ()


class DockerBackend:
    """Runs sandboxes as containers; services, which need the host's own Python, run on the `services` backend.

    `run_directory` and `emulator_socket` are those of the process backend. `runtime` is another runtime of the engine
    such as runsc, by default what AGENTRUN_DOCKER_RUNTIME says; gVisor must be registered with the argument
    `--host-uds=all`, because sandboxes are reached through unix sockets. `warm` sandboxes of each shape that was asked
    for wait ready.
    """

    name = "docker"

    def __init__(
        self,
        *,
        run_directory: Path,
        emulator_socket: Path | None,
        emulator_port: int,
        services: Backend | None = None,
        runtime: str | None = None,
        warm: int = 2,
        egress: EgressProxy | None = None,
    ) -> None:
        self.run_directory = run_directory
        self.owner = Owner.this_process()
        self.pool = Pool(self._make_warm, warm)
        self._emulator_socket = emulator_socket
        self._emulator_port = emulator_port
        self._wanted_services = services
        self._services: Backend | None = None
        self._services_failure = "this backend was started without one for services"
        self._runtime = runtime or os.environ.get(RUNTIME_VARIABLE) or None
        self._egress = egress or EgressProxy(own_port=emulator_port)
        self._numbers = itertools.count(1)
        self._running: set[DockerSandbox] = set()
        self._engine: Engine | None = None
        self._image = ""
        self._isolation = Isolation("unknown")
        self._networks: dict[str, str] = {}
        self._network_turn = asyncio.Lock()
        self._tasks: set[asyncio.Future[Any]] = set()

    @property
    def isolation(self) -> Isolation:
        """The separation that every sandbox of a template gets; custom images report their own."""
        return self._isolation

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({PAUSE, PORTS, MOUNTS, NETWORK_POLICY, IMAGES, WARM, CREDENTIALS})

    @property
    def engine(self) -> Engine:
        """The engine; BackendError before `start`."""
        if self._engine is None:
            raise BackendError("the docker backend has not started")
        return self._engine

    async def start(self) -> None:
        """Find the engine and the image, and remove what dead emulators left; BackendError with the fix otherwise."""
        self._check_paths()
        self.run_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._engine = await asyncio.to_thread(connect)
        try:
            await self._prepare(self._engine)
        except BaseException:
            await self.close()
            raise
        self._keep(asyncio.ensure_future(self._sweep()))

    async def warm(self) -> None:
        """Does nothing: which sandboxes are worth to be kept waiting is learnt from those that are asked for."""

    async def start_sandbox(self, spec: SandboxSpec) -> DockerSandbox:
        """Start a sandbox, or hand out one that waits; cancelled, it leaves no container."""
        self._check_level(spec)
        if spec.image and spec.injection:
            raise NotCapable(
                "a custom image has no proxy inside that could put credentials in: choose a template of type "
                "CodeInterpreter, or give the image the secret in its environment yourself"
            )
        if spec.image is None and not spec.mounts and spec.injection is None:
            warm = self.pool.take(Shape.of(spec))
            if warm is not None:
                return await self._hand_out(warm, spec)
        bring_up = self._bring_up_image if spec.image else self._bring_up
        return await self._unless_cancelled(asyncio.ensure_future(bring_up(spec)))

    async def start_service(self, spec: ServiceSpec) -> Running:
        """Start a service on the backend for services; NotCapable with the reason when that cannot run."""
        if self._services is None:
            raise NotCapable(f"the docker backend runs sandboxes only: {self._services_failure}")
        return await self._services.start_service(spec)

    async def close(self) -> None:
        """End everything this backend started."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pool.close()
        await asyncio.gather(*(running.stop() for running in list(self._running)), return_exceptions=True)
        try:
            await self._egress.stop()
            if self._services:
                await self._services.close()
        finally:
            await self._leave_engine()

    async def _leave_engine(self) -> None:
        """What could not be removed before may be by now, such as when descriptors had run out."""
        if self._engine:
            engine, self._engine = self._engine, None
            with contextlib.suppress(BackendError):
                await engine.run(lambda: sweeping.remove_everything_of(engine, self.owner.nonce))
            engine.close()

    # Coming up

    def _check_paths(self) -> None:
        if len(os.fsencode(self.run_directory)) + len(LONGEST_NAME) > MAX_SOCKET_PATH:
            raise BackendError(
                f"the run directory {self.run_directory} is too long for unix sockets: take a shorter one"
            )

    async def _prepare(self, engine: Engine) -> None:
        self._isolation = await engine.run(self._probe)
        self._image = await engine.run(lambda: images.check(engine))
        await engine.run(lambda: sweeping.sweep_orphans(engine))
        await engine.run(self._sweep_folders)
        await self._start_services()

    def _probe(self) -> Isolation:
        """What the engine's containers get; BackendError when it lacks the runtime that was asked for."""
        info = self.engine.info()
        if self._runtime and self._runtime not in info.get("Runtimes", {}):
            raise BackendError(
                f"the container engine has no runtime {self._runtime!r}: install it and add it to "
                f"/etc/docker/daemon.json, or unset {RUNTIME_VARIABLE}"
            )
        if containers.is_gvisor(self._runtime):
            return Isolation("gvisor")
        options = " ".join(info.get("SecurityOptions") or [])
        absent = [name for name in ("seccomp", "userns") if f"name={name}" not in options]
        limits = [f"cgroup {name}" for name, key in _LIMITS.items() if not info.get(key)]
        return Isolation("container", (*BEYOND_CONTAINER, *absent, *limits))

    async def _start_services(self) -> None:
        """Machines that need containers may be unable to run anything else: sandboxes work all the same."""
        if self._wanted_services is None:
            return
        try:
            await self._wanted_services.start()
        except BackendError as error:
            self._services_failure = str(error)
        else:
            self._services = self._wanted_services

    def _check_level(self, spec: SandboxSpec) -> None:
        lowest, reached = spec.lowest_level, self._isolation.level
        if lowest and LEVELS.index(reached) < LEVELS.index(lowest):
            raise NotCapable(
                f"isolation level {lowest} was asked for and containers of this engine reach {reached}: install gVisor "
                f"and set {RUNTIME_VARIABLE}={containers.GVISOR}, or use the process backend"
            )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            with contextlib.suppress(BackendError):
                await self.engine.run(lambda: sweeping.sweep_orphans(self.engine))

    def _keep(self, task: asyncio.Future[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Sandboxes with the guest server

    async def _make_warm(self, shape: Shape) -> DockerSandbox:
        network = SandboxSpec("").network
        spec = SandboxSpec("", shape.variables, shape.limits, network)
        sandbox = await self._unless_cancelled(asyncio.ensure_future(self._bring_up(spec, shape.proxied)))
        try:
            await sandbox.wait_ready()
        except BaseException:
            await sandbox.stop()
            raise
        return sandbox

    async def _hand_out(self, warm: DockerSandbox, spec: SandboxSpec) -> DockerSandbox:
        warm.name = f"sandbox {spec.sandbox_id}"
        await warm.set_network(spec.network)
        self._keep(asyncio.ensure_future(warm.rename(self._container_name(spec.sandbox_id))))
        return warm

    async def _bring_up(self, spec: SandboxSpec, proxied: bool | None = None) -> DockerSandbox:
        place = self._next_place(mounting.owner_of(spec.mounts))
        way_out, door = ProxyExit(self._egress, spec.network, spec.injection), GuestDoor(place)
        bundle = (await self._egress.interceptor()).bundle if spec.injection else None
        chosen = spec.network.mode != "off" if proxied is None else proxied
        try:
            draft = await self.engine.run(lambda: self._draft(spec, place, chosen, bundle))
            await way_out.open(place)
            await door.open()
            container, output = await self._create(draft)
        except BaseException as error:
            await door.close()
            await way_out.close()
            await self.engine.run(lambda: self._free(place))
            if isinstance(error, OSError):
                raise BackendError(f"the sandbox cannot be prepared: {error}") from None
            raise
        return await self._track(spec, draft, container, output, door, way_out, self._isolation)

    def _draft(self, spec: SandboxSpec, place: Place, proxied: bool, bundle: bytes | None) -> Draft:
        place.make()
        labels = self.owner.labels(spec.sandbox_id)
        mounted = mounting.prepare(spec.mounts, place, labels)
        socket = self._emulator_socket
        # Shown where programs look by themselves, so that those know it too which no variable tells.
        trusted = trust.write_bundle(place.folder, bundle) if bundle else trust.certificates()
        secrets = spec.injection.environment if spec.injection else {}
        trusting = trust.trust_environment(containers.CERTIFICATES) if bundle else {}
        shown = {containers.CERTIFICATES: trusted} if trusted else {}
        config = containers.guest_container(
            self._image,
            place,
            {**trusting, **spec.environment, **secrets},
            spec.limits,
            proxied=proxied,
            mounts=mounted.entries,
            forwards=[(self._emulator_port, f"{containers.EMULATOR}/{socket.name}")] if socket else [],
            shown={**shown, containers.EMULATOR: socket.parent} if socket else shown,
            labels=labels,
            runtime=self._runtime,
        )
        return Draft(config, place, self._container_name(spec.sandbox_id or place.folder.name), mounted.volumes)

    # Sandboxes out of the user's own images

    async def _bring_up_image(self, spec: SandboxSpec) -> DockerSandbox:
        check_mode(spec.network)
        network = await self._network(INSIDE_NETWORK)
        place = self._next_place(mounting.owner_of(spec.mounts))
        try:
            draft = await self.engine.run(lambda: self._draft_image(spec, place, network))
            container, output = await self._create(draft)
        except BaseException:
            await self.engine.run(lambda: self._free(place))
            raise
        assert spec.image is not None
        way_out = BridgeExit(self.engine, container, lambda: self._network(OUTSIDE_NETWORK))
        door = _LateDoor(lambda: self._port_door(spec, container, place))
        isolation = Isolation(self._isolation.level, (*self._isolation.missing, *BEYOND_OWN_IMAGE))
        sandbox = await self._track(spec, draft, container, output, door, way_out, isolation)
        try:
            await way_out.allow(spec.network)
        except BaseException:
            await sandbox.stop()
            raise
        return sandbox

    def _draft_image(self, spec: SandboxSpec, place: Place, network: str) -> Draft:
        assert spec.image is not None
        if self.engine.image(spec.image.name) is None:
            self._pull(spec.image.name)
        place.make()
        labels = self.owner.labels(spec.sandbox_id)
        mounted = mounting.prepare(spec.mounts, place, labels)
        config = containers.image_container(
            spec.image,
            spec.environment,
            spec.limits,
            network=network,
            mounts=mounted.entries,
            labels=labels,
            runtime=self._runtime,
        )
        return Draft(config, place, self._container_name(spec.sandbox_id), mounted.volumes)

    def _pull(self, image: str) -> None:
        try:
            self.engine.pull(image)
        except BackendError as error:
            raise BackendError(
                f"the image {image} is not in the container engine and cannot be pulled ({error}): build it with "
                f"`docker build -t {image} ...`"
            ) from None

    async def _port_door(self, spec: SandboxSpec, container: str, place: Place) -> Door | None:
        """The door to the image's port; None before the engine has given the container its address."""
        assert spec.image is not None
        found = (await self.engine.run(lambda: self.engine.inspect(container)))["NetworkSettings"]["Networks"]
        address = found.get(self._network_name(INSIDE_NETWORK), {}).get("IPAddress")
        return PortDoor(place.socket, address, spec.image.port) if address else None

    async def _network(self, kind: str) -> str:
        """The name of one of the two networks of this emulator, made when it is first needed."""
        name = self._network_name(kind)
        async with self._network_turn:
            if kind not in self._networks:
                labels, internal = self.owner.labels(), kind == INSIDE_NETWORK
                self._networks[kind] = await self.engine.run(
                    lambda: self.engine.create_network(name, labels, internal, NO_TALK)
                )
        return name

    def _network_name(self, kind: str) -> str:
        return f"agentrun-{self.owner.nonce[:12]}-{kind}"

    # Parts of both

    def _next_place(self, uid: int | None) -> Place:
        number = next(self._numbers)
        return Place(self.run_directory / own_name(f"c{number:x}"), own_uid(number) if uid is None else uid)

    def _free(self, place: Place, volumes: tuple[str, ...] = ()) -> None:
        for volume in volumes:
            with contextlib.suppress(BackendError):
                self.engine.remove_volume(volume)
        place.remove()
        if place.folder.exists():
            self._scrub(place)

    def _sweep_folders(self) -> None:
        """Remove the folders of emulators that were killed."""
        for folder in self.run_directory.iterdir():
            if is_leftover(folder.name):
                self._free(Place(folder, 0))

    def _scrub(self, place: Place) -> None:
        """Remove what belongs to root, as overlays leave it, by a container: we may not be root."""
        config = containers.scrubber(self._image, place.folder, self.owner.labels())
        with contextlib.suppress(BackendError):
            container = self.engine.create("", config)
            try:
                self.engine.start(container)
                self.engine.wait(container)
            finally:
                self.engine.remove(container)
        place.remove()

    def _container_name(self, name: str) -> str:
        safe = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in name)
        return f"agentrun-{self.owner.nonce[:12]}-{safe}"

    async def _create(self, draft: Draft) -> tuple[str, Output]:
        """Make and start a container whose output is followed from its first byte."""
        engine = self.engine
        container = await engine.run(lambda: engine.create(draft.name, draft.config))
        output: Output | None = None
        try:
            output = await attach(engine.path, container)
            await engine.run(lambda: engine.start(container))
        except BaseException:
            if output:
                output.writer.close()
            await engine.run(lambda: engine.remove(container))
            raise
        return container, output

    async def _track(
        self,
        spec: SandboxSpec,
        draft: Draft,
        container: str,
        output: Output,
        door: Door,
        way_out: Exit,
        isolation: Isolation,
    ) -> DockerSandbox:
        def release() -> None:
            self._running.discard(running)
            self._free(draft.place, draft.volumes)

        engine = self.engine
        pid = (await engine.run(lambda: engine.inspect(container)))["State"]["Pid"]
        running = DockerSandbox(
            engine,
            container,
            f"sandbox {spec.sandbox_id}",
            place=draft.place,
            isolation=isolation,
            output=output,
            door=door,
            way_out=way_out,
            freezer=find_freezer(pid, container),
            mounts=spec.mounts,
            release=release,
        )
        self._running.add(running)
        return running

    async def _unless_cancelled(self, bringing: asyncio.Future[DockerSandbox]) -> DockerSandbox:
        """The sandbox; when nobody waits for it any more, it is ended as soon as it can be."""
        try:
            return await asyncio.shield(bringing)
        except asyncio.CancelledError:
            with contextlib.suppress(BackendError):
                await (await bringing).stop()
            raise


class _LateDoor:
    """A door that is known only once the container runs."""

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find
        self._door: Door | None = None

    async def is_open(self) -> bool:
        if self._door is None:
            self._door = await self._find()
        return self._door is not None and await self._door.is_open()

    async def close(self) -> None:
        if self._door:
            await self._door.close()


_LIMITS = {"memory": "MemoryLimit", "pids": "PidsLimit", "cpu": "CpuCfsQuota"}
