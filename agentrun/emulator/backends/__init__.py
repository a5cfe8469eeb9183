"""Ways to run real code behind the emulator; `pick` chooses one and fails closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentrun.emulator.backends.base import Backend, BackendError
from agentrun.emulator.backends.egress import EgressProxy
from agentrun.emulator.backends.process import ProcessBackend
from agentrun.emulator.backends.process.backend import Adopt

NAMES = ("auto", "process", "docker")


async def pick(
    name: str = "auto",
    *,
    allow_unconfined: bool = False,
    run_directory: Path,
    emulator_socket: Path | None,
    emulator_port: int,
    adopt: Adopt | None = None,
    trusted: Path | None = None,
) -> Backend:
    """Return a started backend; BackendError names the fix when this machine cannot isolate.

    `auto` is the process backend, and docker where processes cannot be confined and a container engine answers. With
    `allow_unconfined` ordinary processes are used, at level "none", when and only when confinement is impossible.
    `trusted` is a file of certificates by which the egress proxy trusts servers, beside those of this machine.
    """
    if name not in NAMES:
        raise BackendError(f"there is no backend {name!r}: choose one of {', '.join(NAMES)}")
    place: dict[str, Any] = {
        "run_directory": run_directory,
        "emulator_socket": emulator_socket,
        "emulator_port": emulator_port,
    }

    def egress() -> EgressProxy:
        return EgressProxy(own_port=emulator_port, trusted=trusted)

    def process(confined: bool = True) -> Backend:
        return ProcessBackend(**place, adopt=adopt, confined=confined, egress=egress())

    def docker() -> Backend:
        # Imported by who wants it: most emulators never do.
        from agentrun.emulator.backends.docker import DockerBackend

        return DockerBackend(**place, services=process(), egress=egress())

    ways: dict[str, list[Callable[[], Backend]]] = {
        "auto": [process, docker],
        "process": [process],
        "docker": [docker],
    }
    unconfined = [lambda: process(confined=False)] if allow_unconfined and name != "docker" else []
    return await _first_started([*ways[name], *unconfined])


async def _first_started(ways: list[Callable[[], Backend]]) -> Backend:
    """The first backend that starts; when none does, the failure of the one that was wanted most."""
    failures: list[BackendError] = []
    for make in ways:
        backend = make()
        try:
            await backend.start()
        except BackendError as error:
            failures.append(error)
        else:
            return backend
    raise failures[0]
