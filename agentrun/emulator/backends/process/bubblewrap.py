"""Bubblewrap: which walls this machine allows, and the command line that puts a program behind them.

Levels of `Isolation`, from weakest to strongest:

- ``none``: an ordinary process of the emulator's user, nothing separates it;
- ``namespaces``: own mounts, processes, network, IPC and host name, read-only system, no capabilities (what an ordinary
  user gets);
- ``namespaces+uid``: the same, and a user id of its own on the host (needs root);
- ``namespaces+uid+cgroup``: the same, and memory, processes and CPU limited together (needs root and writable cgroups).

`Isolation.missing` names what the level lacks of the best one, and ``seccomp``, which this backend does not install.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentrun.emulator.backends.base import BackendError, Isolation, Mount
from agentrun.emulator.backends.process import host
from agentrun.emulator.launcher.plan import UPPER

OWN_UID = "own uid on the host"
BEYOND_NAMESPACES = (OWN_UID, "cgroup memory", "cgroup pids", "cgroup cpu", "seccomp")
INSIDE_UID = 1000
HOME = "/home/user"
CODE = "/code"
SOCKETS = "/run/agentrun"
USERS = "/run/agentrun/users"
TRUST = "/run/agentrun/trust"
LOWER = "/run/agentrun/lower"
TMP_SIZE = 1024 * 1024 * 1024
PROBE_TIMEOUT = 10
USER_NAMESPACE_SYSCTLS = {
    "kernel.unprivileged_userns_clone": "1",
    "kernel.apparmor_restrict_unprivileged_userns": "0",
    "user.max_user_namespaces": "65536",
}


@dataclass(frozen=True)
class Walls:
    """What one running thing sees of the host: its files of /etc, and which folders appear where."""

    etc: Path
    writable: dict[Path, str] = field(default_factory=dict[Path, str])
    readable: dict[Path, str] = field(default_factory=dict[Path, str])


def as_root() -> bool:
    """Whether the emulator may give every running thing a user id of its own."""
    return os.geteuid() == 0


def isolation(controllers: Sequence[str]) -> Isolation:
    """The level that a start with these cgroup controllers reaches."""
    reached = {f"cgroup {name}" for name in controllers} | ({OWN_UID} if as_root() else set[str]())
    missing = tuple(wall for wall in BEYOND_NAMESPACES if wall not in reached)
    if not as_root():
        return Isolation("namespaces", missing)
    return Isolation("namespaces+uid" if len(missing) > 1 else "namespaces+uid+cgroup", missing)


def command(walls: Walls, info_fd: int) -> list[str]:
    """The command line up to and including the init; its plan then goes to its stdin."""
    parts = [program(), "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv", "--info-fd", str(info_fd)]
    parts += _namespaces() + _parents(map(Path, [*walls.writable.values(), *walls.readable.values()]))
    parts += _system() + _private() + _etc(walls.etc)
    for source, target in walls.writable.items():
        parts += ["--bind", str(source), target]
    for source, target in walls.readable.items():
        parts += ["--ro-bind", str(source), target]
    return [*parts, *_python(), "--remount-ro", "/", "--chdir", "/", "--", *host.init_command()]


def station(
    launcher: Sequence[str],
    environment: Mapping[str, str],
    etc: Path,
    shown: Mapping[Path, str],
    mounts: Sequence[Mount] = (),
) -> list[str]:
    """The command line of what forks sandboxes: it sees what they shall see, and keeps the rights to wall them in.

    `shown` are folders of ours, read-only, and where.
    """
    parts = [program(), "--die-with-parent", "--clearenv"]
    for name, value in environment.items():
        parts += ["--setenv", name, value]
    parts += ["--unshare-ipc", "--unshare-uts", "--hostname", "sandbox", "--unshare-net", "--cap-add", "ALL"]
    # The launcher is the first process of a namespace, so whatever it and its zygotes fork ends with it.
    parts += ["--unshare-pid", "--as-pid-1"]
    if not as_root():
        parts += ["--unshare-user", "--uid", "0", "--gid", "0"]
    parts += [*_parents([Path(HOME), *map(Path, shown.values())]), "--perms", "0755", "--dir", HOME]
    parts += ["--symlink", f"{HOME}/workspace", "/workspace"]
    parts += _system() + _private() + _etc(etc)
    for source, target in shown.items():
        parts += ["--ro-bind", str(source), target]
    parts += _mounts(mounts)
    return [*parts, *_python(), "--remount-ro", "/", "--chdir", "/", "--", *launcher]


def overlays(mounts: Sequence[Mount]) -> tuple[tuple[str, str], ...]:
    """The folders of a station that each sandbox makes writable for itself, and where."""
    return tuple((f"{LOWER}/{number}", mount.target) for number, mount in enumerate(mounts) if mount.copy_on_write)


def _mounts(mounts: Sequence[Mount]) -> list[str]:
    parts = _parents([Path(f"{LOWER}/0"), *(Path(mount.target) for mount in mounts)])
    parts += ["--perms", "0755", "--dir", UPPER]
    for number, mount in enumerate(mounts):
        if mount.copy_on_write:
            parts += ["--perms", "0755", "--dir", mount.target]
            parts += ["--ro-bind", str(mount.source), f"{LOWER}/{number}"]
        else:
            parts += ["--ro-bind", str(mount.source), mount.target]
    return parts


def probe() -> None:
    """Start something harmless behind the walls; BackendError with the fix when the machine does not allow it."""
    try:
        walls = [*_namespaces(), *_system(), *_private(), *_python()]
        parts = [program(), "--die-with-parent", "--as-pid-1", *walls, "/usr/bin/env", "true"]
        done = _run(parts, timeout=PROBE_TIMEOUT)
    except OSError as error:
        raise BackendError(f"bubblewrap does not start: {error}") from None
    except subprocess.TimeoutExpired:
        raise BackendError(f"bubblewrap started nothing within {PROBE_TIMEOUT} s: is the machine overloaded?") from None
    if done.returncode != 0:
        raise BackendError(explain(done.stderr.strip()))


def program() -> str:
    """Where bubblewrap is."""
    found = shutil.which("bwrap")
    if found is None:
        raise BackendError("bubblewrap is not installed: apt-get install bubblewrap (or dnf, apk, pacman)")
    return found


def explain(complaint: str) -> str:
    """The text for users: bubblewrap's complaint and the setting that causes it."""
    for name, wanted in USER_NAMESPACE_SYSCTLS.items():
        value = _sysctl(name)
        if value is not None and value != wanted and (name != "user.max_user_namespaces" or value == "0"):
            return f"the kernel forbids user namespaces ({complaint}): run sysctl -w {name}={wanted}"
    return (
        f"bubblewrap cannot make namespaces here ({complaint}): in a container, allow them with "
        "--security-opt seccomp=unconfined --security-opt systempaths=unconfined"
    )


def _sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", *name.split(".", 1)).read_text().strip()
    except OSError:
        return None


@functools.cache
def _options() -> str:
    return _run([program(), "--help"]).stdout


def _run(command: list[str], timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    environment = host.program_environment()
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=environment)


def _namespaces() -> list[str]:
    parts = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    parts += ["--hostname", "sandbox"]
    if as_root():
        return [*parts, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    parts += ["--unshare-user", "--uid", str(INSIDE_UID), "--gid", str(INSIDE_UID)]
    return [*parts, "--disable-userns"] if "--disable-userns" in _options() else parts


@functools.cache
def _system() -> list[str]:
    files = [file for file in host.SYSTEM_FILES if Path(file).exists()]
    parts = _parents(map(Path, files))
    for folder in map(Path, host.SYSTEM_FOLDERS):
        if folder.is_symlink():
            parts += ["--symlink", os.readlink(folder), str(folder)]
        elif folder.is_dir():
            parts += ["--ro-bind", str(folder), str(folder)]
    for file in files:
        parts += ["--ro-bind", os.path.realpath(file), file]
    return parts


def _python() -> list[str]:
    """Last of all, because the interpreter may be installed below a folder that is private inside, such as /tmp."""
    folders = host.python_folders()
    binds = [part for folder in folders for part in ("--ro-bind", str(folder), str(folder))]
    return [*_parents(folders), *binds]


def _parents(targets: Iterable[Path]) -> list[str]:
    """The folders above what is shown; made by bubblewrap itself they would be closed to all but their owner."""
    folders = {parent for path in targets for parent in path.parents if parent != Path("/")}
    return [part for folder in sorted(folders) for part in ("--perms", "0755", "--dir", str(folder))]


def _private() -> list[str]:
    parts = ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", "/dev/shm"):
        if "--size" in _options():
            parts += ["--size", str(TMP_SIZE)]
        parts += ["--perms", "1777", "--tmpfs", folder]
    return parts


def _etc(folder: Path) -> list[str]:
    parts: list[str] = []
    for file in sorted(folder.iterdir()):
        parts += ["--ro-bind", str(file), f"/etc/{file.name}"]
    return parts


def write_etc(folder: Path, uid: int) -> None:
    """Fill the folder with the few files of /etc that programs ask for; none of them comes from the host."""
    write_names(folder, uid)
    files = {
        "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
        "hostname": "sandbox\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "resolv.conf": "",
    }
    for name, text in files.items():
        (folder / name).write_text(text)


def write_names(folder: Path, uid: int) -> None:
    """Make the folder, with the files that name a user."""
    folder.mkdir()
    (folder / "passwd").write_text(
        f"root:x:0:0:root:/root:/usr/sbin/nologin\nuser:x:{uid}:{uid}:user:{HOME}:/bin/bash\n"
    )
    (folder / "group").write_text(f"root:x:0:\nuser:x:{uid}:\n")
