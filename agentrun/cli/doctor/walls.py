"""What this machine has to isolate with: each thing is tried, in a child process where it cannot be undone."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

from agentrun.cli.doctor.finding import Finding, complaint, installer, output
from agentrun.emulator.backends.base import BackendError, Limits
from agentrun.emulator.backends.docker import images
from agentrun.emulator.backends.docker.backend import RUNTIME_VARIABLE
from agentrun.emulator.backends.docker.containers import is_gvisor
from agentrun.emulator.backends.docker.engine import Engine, connect
from agentrun.emulator.backends.process import bubblewrap
from agentrun.emulator.backends.process.cgroups import CONTROLLERS, FREEZER, Cgroups
from agentrun.emulator.launcher import kernel, landlock, seccomp

BUBBLEWRAP, NAMESPACES, USERS = "bubblewrap", "user namespaces", "own user ids"
LANDLOCK, SECCOMP, CGROUPS, DESCRIPTORS = "landlock", "seccomp", "cgroups", "process descriptors"
ENGINE, IMAGE, RUNTIME = "container engine", "container image", "runsc"

_CGROUPS_FIX = "run as root with a writable /sys/fs/cgroup, in a container: --privileged --cgroupns=host"


def findings() -> Iterator[Finding]:
    """Look at what separates sandboxes from this machine."""
    yield _bubblewrap()
    yield _user_namespaces()
    yield _own_users()
    yield _landlock()
    yield _seccomp()
    yield _cgroups()
    yield _descriptors()
    yield from _containers()


def _bubblewrap() -> Finding:
    if shutil.which("bwrap") is None:
        return Finding(BUBBLEWRAP, False, "bubblewrap is not installed", f"{installer()} bubblewrap")
    try:
        bubblewrap.probe()
    except BackendError as error:
        return Finding(BUBBLEWRAP, False, *_reason_and_setting(str(error)))
    version = output([bubblewrap.program(), "--version"]) or "of an unknown version"
    return Finding(BUBBLEWRAP, True, f"{version} isolates")


def _reason_and_setting(text: str) -> tuple[str, str]:
    """A reason that quotes a complaint in parentheses, and what it says after that about how to change it."""
    reason, end, setting = text.partition("): ")
    return f"{reason}{end[:1]}", setting.removeprefix("run ")


def _user_namespaces() -> Finding:
    error = _in_child(_enter_user_namespace)
    if error is None:
        return Finding(NAMESPACES, True, "can be made")
    detail = "not needed by root" if bubblewrap.as_root() else f"none can be made ({error})"
    return Finding(NAMESPACES, False, detail, _reason_and_setting(bubblewrap.explain("unshare failed"))[1])


def _enter_user_namespace() -> None:
    """Where AppArmor restricts them they can be made, and then nothing can be mounted inside."""
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)


def _own_users() -> Finding:
    well = bubblewrap.as_root()
    detail = "every sandbox gets one of its own" if well else "all sandboxes run as you"
    return Finding(USERS, well, detail, "run the emulator as root")


def _landlock() -> Finding:
    version = landlock.abi()
    if version == 0:
        detail = "switched off, or the kernel is older than 5.13 or was built without it"
        return Finding(LANDLOCK, False, detail, "boot with lsm=landlock,... on the kernel's command line")
    unknown = ", ".join(name.removeprefix("landlock ") for name in landlock.missing())
    detail = f"version {version}" + (
        f", which unlike that of a newer kernel cannot restrict {unknown}" if unknown else ""
    )
    return Finding(LANDLOCK, True, detail)


def _seccomp() -> Finding:
    error = _in_child(_filter)
    if error is None:
        return Finding(SECCOMP, True, "system calls can be filtered")
    return Finding(SECCOMP, False, error, "boot a kernel with CONFIG_SECCOMP_FILTER, on x86_64 or aarch64")


def _filter() -> None:
    seccomp.install(seccomp.compile_filter())


def _cgroups() -> Finding:
    cgroups = Cgroups()
    version = f"v{cgroups.version}"
    try:
        cgroups.create(f"doctor-{os.getpid()}", Limits()).remove()
    except OSError as error:
        return Finding(CGROUPS, False, f"{version}, {error.strerror}", _CGROUPS_FIX)
    if absent := [name for name in CONTROLLERS if name not in cgroups.controllers]:
        return Finding(CGROUPS, False, f"{version}, no limits of {', '.join(absent)}", _CGROUPS_FIX)
    freezes = cgroups.version == 2 or FREEZER in cgroups.parents
    detail = f"{version}, limits {', '.join(CONTROLLERS)}" + ("" if freezes else "; pauses are signals")
    return Finding(CGROUPS, True, detail)


def _descriptors() -> Finding:
    try:
        os.close(kernel.pidfd_open(os.getpid()))
    except OSError as error:
        return Finding(DESCRIPTORS, False, f"no pidfd_open ({error.strerror}): processes are known by number only")
    return Finding(DESCRIPTORS, True, "pidfd_open")


def _containers() -> Iterator[Finding]:
    """The engine, the image for sandboxes and the stronger runtime; without an engine, nothing is said of them."""
    try:
        with contextlib.closing(connect()) as engine:
            information = engine.info()
            yield Finding(ENGINE, True, f"version {information.get('ServerVersion')} at {engine.path}")
            yield _image(engine)
            yield _runtime(information)
    except BackendError as error:
        yield complaint(ENGINE, error)


def _image(engine: Engine) -> Finding:
    try:
        return Finding(IMAGE, True, f"{images.check(engine)} is current")
    except BackendError as error:
        return complaint(IMAGE, error)


def _runtime(information: dict[str, Any]) -> Finding:
    names = [name for name in information.get("Runtimes", {}) if is_gvisor(name)]
    chosen = is_gvisor(os.environ.get(RUNTIME_VARIABLE))
    if names and chosen:
        return Finding(RUNTIME, True, f"containers are started with {os.environ[RUNTIME_VARIABLE]}")
    if names:
        return Finding(RUNTIME, False, "installed, and not chosen", f"export {RUNTIME_VARIABLE}={names[0]}")
    return Finding(
        RUNTIME, False, "the engine does not have this runtime of gVisor", "https://gvisor.dev/docs/user_guide/install/"
    )


def _in_child(action: Callable[[], None]) -> str | None:
    """Do something that cannot be undone in a process that ends with it; returns the error's text, None if it went."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _do_and_exit(action, writing)
    os.close(writing)
    with open(reading, "rb") as report:
        text = report.read().decode()
    _, status = os.waitpid(pid, 0)
    return None if status == 0 else text or f"ended with {os.waitstatus_to_exitcode(status)}"


def _do_and_exit(action: Callable[[], None], report: int) -> None:
    try:
        action()
    except BaseException as error:
        os.write(report, str(getattr(error, "strerror", None) or error).encode())
        os._exit(1)
    os._exit(0)
