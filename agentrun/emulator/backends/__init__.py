"""Ways to run real code behind the emulator; `pick` chooses one and fails closed."""

from __future__ import annotations

from pathlib import Path

from agentrun.emulator.backends.base import Backend, BackendError
from agentrun.emulator.backends.process import ProcessBackend

NAMES = ("auto", "process")


async def pick(
    name: str = "auto",
    *,
    allow_unconfined: bool = False,
    run_directory: Path,
    emulator_socket: Path | None,
    emulator_port: int,
) -> Backend:
    """Return a started backend; BackendError names the fix when this machine cannot isolate.

    `auto` is the process backend. With `allow_unconfined` ordinary processes are used, at level "none", when and only
    when confinement is impossible.
    """
    if name not in NAMES:
        raise BackendError(f"there is no backend {name!r}: choose one of {', '.join(NAMES)}")
    try:
        return await _started(
            ProcessBackend(run_directory=run_directory, emulator_socket=emulator_socket, emulator_port=emulator_port)
        )
    except BackendError:
        if not allow_unconfined:
            raise
    return await _started(
        ProcessBackend(
            run_directory=run_directory, emulator_socket=emulator_socket, emulator_port=emulator_port, confined=False
        )
    )


async def _started(backend: ProcessBackend) -> ProcessBackend:
    await backend.start()
    return backend
