"""What this machine offers and lacks, found by trying; each lack comes with the command that ends it."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.request import getproxies, proxy_bypass

from agentrun._core import local
from agentrun.cli.output import show
from agentrun.emulator import records
from agentrun.emulator.backends.base import BackendError, Limits
from agentrun.emulator.backends.process import bubblewrap
from agentrun.emulator.backends.process.cgroups import CONTROLLERS, Cgroups

_OLDEST_PYTHON = (3, 10)
# The oldest that knows UPSERT without a conflict target, which the store uses.
_OLDEST_SQLITE = (3, 35)
_SERVER_MODULES = ("uvicorn", "starlette", "httptools", "cryptography", "certifi", "IPython")
_CLONE_NEWUSER = 0x10000000
_SYS_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_CREATE_RULESET_VERSION = 1
_PROBE_SECONDS = 10
_INSTALLERS = {
    "apt-get": "apt-get install -y",
    "dnf": "dnf install -y",
    "apk": "apk add",
    "pacman": "pacman -S --noconfirm",
    "zypper": "zypper install -y",
}
_STYLES = {"ok": "green", "missing": "yellow", "problem": "red"}


@dataclass(frozen=True)
class Finding:
    """What one look found; `fix` is what to type when it is not well, and without an `essential` nothing runs."""

    name: str
    well: bool
    detail: str
    fix: str = ""
    essential: bool = False

    @property
    def state(self) -> str:
        """`ok`, `missing` for what can be done without, `problem` for what cannot."""
        return "ok" if self.well else "problem" if self.essential else "missing"

    def __str__(self) -> str:
        text = f"{self.state:<8} {self.name}: {self.detail}"
        return text if self.well or not self.fix else f"{text}; fix: {self.fix}"


def examine() -> bool:
    """Print a line for each look; returns whether agents and sandboxes could run."""
    usable = True
    for finding in findings():
        show(str(finding), _STYLES[finding.state])
        usable = usable and (finding.well or not finding.essential)
    return usable


def findings() -> Iterator[Finding]:
    """Look at everything, one thing after the other."""
    for look in _LOOKS:
        yield look()


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    well = sys.version_info[:2] >= _OLDEST_PYTHON
    return Finding("python", well, found, f"{_installer()} python3.12", essential=True)


def _packages() -> Finding:
    absent = [name for name in _SERVER_MODULES if find_spec(name) is None]
    detail = f"without {', '.join(absent)}" if absent else "all of the emulator's are installed"
    return Finding("packages", not absent, detail, "pip install 'agentrun[emulator]'", essential=True)


def _sqlite() -> Finding:
    well = sqlite3.sqlite_version_info >= _OLDEST_SQLITE
    return Finding("sqlite", well, sqlite3.sqlite_version, f"{_installer()} libsqlite3-0", essential=True)


def _bubblewrap() -> Finding:
    try:
        bubblewrap.probe()
    except BackendError as error:
        fix = f"{_installer()} bubblewrap" if shutil.which("bwrap") is None else _setting(str(error))
        return Finding("bubblewrap", False, str(error).partition(": run ")[0], fix, essential=True)
    version = _output([bubblewrap.program(), "--version"]) or "of an unknown version"
    return Finding("bubblewrap", True, f"{version} isolates")


def _setting(reason: str) -> str:
    return reason.partition(": run ")[2] or "agentrun emulator up --allow-unconfined"


def _isolation() -> Finding:
    found = bubblewrap.isolation(Cgroups().controllers)
    missing = f", without {', '.join(found.missing)}" if found.missing else ""
    return Finding("isolation", True, f"{found.level}{missing}")


def _user_namespaces() -> Finding:
    program = f"import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare({_CLONE_NEWUSER}) != 0)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], check=False, timeout=_PROBE_SECONDS)
    if done.returncode == 0:
        return Finding("user namespaces", True, "can be made")
    needed = "not needed by root" if bubblewrap.as_root() else "the kernel forbids them"
    fix = _setting(bubblewrap.explain("unshare failed"))
    return Finding("user namespaces", False, needed, fix)


def _cgroups() -> Finding:
    cgroups = Cgroups()
    try:
        cgroups.create(f"doctor-{os.getpid()}", Limits()).remove()
    except OSError as error:
        return Finding("cgroups", False, f"v{cgroups.version}, {error.strerror}", _CGROUPS_FIX)
    absent = [name for name in CONTROLLERS if name not in cgroups.controllers]
    if not absent:
        return Finding("cgroups", True, f"v{cgroups.version}, limits {', '.join(CONTROLLERS)}")
    return Finding("cgroups", False, f"v{cgroups.version}, no limits of {', '.join(absent)}", _CGROUPS_FIX)


_CGROUPS_FIX = "run as root with a writable /sys/fs/cgroup, in a container: --privileged --cgroupns=host"


def _landlock() -> Finding:
    system_call = ctypes.CDLL(None, use_errno=True).syscall
    abi = system_call(_SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION)
    if abi > 0:
        return Finding("landlock", True, f"ABI {abi}")
    off = ctypes.get_errno() == errno.EOPNOTSUPP
    detail = "the kernel has it, switched off" if off else "the kernel is too old (5.13) or was built without it"
    return Finding("landlock", False, detail, "boot with lsm=landlock,... on the kernel's command line")


def _port() -> Finding:
    name = f"port {local.PORT}"
    own = [emulator for emulator in records.running() if emulator.port == local.PORT]
    if own:
        return Finding(name, True, f"used by your emulator (pid {own[0].pid})")
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((local.HOST, local.PORT))
        except OSError as error:
            return Finding(name, False, str(error.strerror), "agentrun emulator up --port 0")
    return Finding(name, True, "free")


def _proxies() -> Finding:
    proxies = {scheme: url for scheme, url in getproxies().items() if scheme in ("http", "https", "all")}
    if not proxies:
        return Finding("proxies", True, "none in the environment")
    names = ", ".join(f"{scheme.upper()}_PROXY" for scheme in proxies)
    if proxy_bypass(local.HOST):
        return Finding("proxies", True, f"{names}, not used for {local.HOST}")
    fix = f"export NO_PROXY={local.HOST},localhost (`exec` and `env` do)"
    return Finding("proxies", False, f"{names} would also be used for {local.HOST}", fix)


def _tool(name: str, programs: tuple[str, ...], package: str, arguments: tuple[str, ...], use: str) -> Finding:
    """An optional program, which is there when it runs."""
    for program in programs:
        answer = _output([program, *arguments]) if shutil.which(program) else None
        if answer:
            return Finding(name, True, answer)
    there = any(map(shutil.which, programs))
    detail = f"{'does not work' if there else 'not installed'} (only needed for {use})"
    return Finding(name, False, detail, package if " " in package else f"{_installer()} {package}")


def _chromium() -> Finding:
    programs = ("chromium", "chromium-browser", "google-chrome")
    return _tool("chromium", programs, "chromium", ("--version",), "browser sandboxes")


def _node() -> Finding:
    return _tool("node", ("node", "nodejs"), "nodejs", ("--version",), "JavaScript in sandboxes")


def _docker() -> Finding:
    arguments = ("version", "--format", "server {{.Server.Version}}")
    package = "systemctl start docker" if shutil.which("docker") else "docker.io"
    return _tool("docker", ("docker",), package, arguments, "container images")


def _output(command: list[str]) -> str | None:
    """The first line that a command prints; None when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else None


def _installer() -> str:
    """How this system installs a package."""
    found = next((command for program, command in _INSTALLERS.items() if shutil.which(program)), "install")
    return found if bubblewrap.as_root() or found == "install" else f"sudo {found}"


_LOOKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _packages,
    _sqlite,
    _bubblewrap,
    _isolation,
    _user_namespaces,
    _cgroups,
    _landlock,
    _port,
    _proxies,
    _chromium,
    _node,
    _docker,
)
