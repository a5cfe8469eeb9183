"""The isolation levels, the weakest first: what each needs, which are within reach, and what is reached now."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentrun.cli.doctor import walls
from agentrun.cli.doctor.finding import Finding
from agentrun.emulator.backends import pick
from agentrun.emulator.backends.base import LEVELS, Backend, BackendError, Isolation, SandboxSpec
from agentrun.emulator.backends.process import bubblewrap
from agentrun.emulator.backends.process.cgroups import Cgroups

_NAMESPACES = (walls.BUBBLEWRAP, walls.SECCOMP)
_CONTAINERS = (walls.ENGINE, walls.IMAGE)
_NEEDS: dict[str, tuple[str, ...]] = {
    "none": (),
    "landlock": (walls.LANDLOCK, walls.SECCOMP),
    "namespaces": _NAMESPACES,
    "container": _CONTAINERS,
    "namespaces+uid": (*_NAMESPACES, walls.USERS),
    "namespaces+uid+cgroup": (*_NAMESPACES, walls.USERS, walls.CGROUPS),
    "gvisor": (*_CONTAINERS, walls.RUNTIME),
}


def levels(found: Sequence[Finding]) -> Iterator[Finding]:
    """A line for each level: what it needs, and what of that was not found."""
    well = {finding.name for finding in found if finding.well}
    for level in LEVELS:
        needs = _needs(level)
        lacking = [name for name in needs if name not in well]
        if lacking:
            yield Finding(f"level {level}", False, f"needs {', '.join(needs)}; not here: {', '.join(lacking)}")
        else:
            yield Finding(
                f"level {level}", True, f"has {', '.join(needs)}" if needs else "only with --allow-unconfined"
            )


def reached() -> Iterator[Finding]:
    """What an emulator that is started now would give to sandboxes and to agents."""
    with tempfile.TemporaryDirectory(prefix="ar") as folder:
        yield from asyncio.run(_start(Path(folder) / "run"))
    yield _agents()


def _needs(level: str) -> tuple[str, ...]:
    """Only root can do without user namespaces."""
    needs = _NEEDS[level]
    if walls.BUBBLEWRAP in needs and not bubblewrap.as_root():
        return (walls.NAMESPACES, *needs)
    return needs


async def _start(run_directory: Path) -> list[Finding]:
    try:
        backend = await pick(run_directory=run_directory, emulator_socket=None, emulator_port=0)
    except BackendError as error:
        fix = "end one of the lacks above, or agentrun emulator up --allow-unconfined"
        return [Finding("sandboxes", False, f"none can run: {error}", fix, essential=True)]
    try:
        sandbox = await _sandbox(backend)
    finally:
        await backend.close()
    return [sandbox, Finding("capabilities", True, ", ".join(sorted(backend.capabilities)))]


async def _sandbox(backend: Backend) -> Finding:
    """Start one, which is the only proof that all of this works together."""
    try:
        sandbox = await backend.start_sandbox(SandboxSpec("doctor"))
        await sandbox.wait_ready()
    except BackendError as error:
        return Finding("sandboxes", False, f"one that was tried did not start: {error}", essential=True)
    return Finding("sandboxes", True, f"{_text(sandbox.isolation)}, by the {backend.name} backend; one was tried")


def _agents() -> Finding:
    """Agents always run on the process backend, and always in namespaces."""
    try:
        bubblewrap.probe()
    except BackendError as error:
        return Finding("agents", False, f"none can run: {error}")
    return Finding("agents", True, f"{_text(bubblewrap.isolation(Cgroups().controllers))}, by the process backend")


def _text(isolation: Isolation) -> str:
    without = f" without {', '.join(isolation.missing)}" if isolation.missing else ""
    return f"{isolation.level}{without}"
