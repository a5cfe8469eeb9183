"""What of this machine the inside may see, read-only: the system's programs, the emulator's Python, this package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[3]
LAUNCHER_MODULE = "agentrun.emulator.launcher"
PACKAGE_FOLDERS = ("site-packages", "dist-packages")
INIT = Path(__file__).with_name("init.py")
SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/fonts",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted/pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
PUBLIC_FILES = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf", "/proc", "/dev")


@cache
def python_folders() -> list[Path]:
    """Everything the emulator's interpreter imports from, without the folders that hold one another."""
    installed = [Path(sys.prefix), Path(sys.base_prefix)]
    installed += [Path(entry) for entry in sys.path if entry.endswith(PACKAGE_FOLDERS)]
    folders = {folder for folder in [*installed, PACKAGE] if folder.is_dir()}
    covered = [Path("/usr")]
    for folder in sorted(folders, key=lambda folder: len(folder.parts)):
        if not any(folder.is_relative_to(other) for other in covered):
            covered.append(folder)
    return covered[1:]


@cache
def search_path() -> str:
    """PATH inside: the emulator's own interpreter first, so that `python3` there is the one that has this package."""
    programs = [Path(sys.prefix) / "bin", Path(sys.base_prefix) / "bin"]
    system = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"]
    return ":".join(dict.fromkeys([*map(str, programs), *system]))


@cache
def python_path() -> str | None:
    """PYTHONPATH for what is importable here but not installed with the interpreter; None when nothing is."""
    own = [PACKAGE.parent, *(Path(entry) for entry in sys.path if entry.endswith(PACKAGE_FOLDERS))]
    known = (Path(sys.prefix), Path(sys.base_prefix), Path("/usr"))
    needed = [str(entry) for entry in own if not any(entry.is_relative_to(prefix) for prefix in known)]
    return ":".join(dict.fromkeys(needed)) or None


def environment(given: Mapping[str, str], home: str, temporary: str) -> dict[str, str]:
    """What is given over a clean base; PYTHONPATH is joined, so that the package stays importable."""
    base = {
        "PATH": search_path(),
        "HOME": home,
        "USER": "user",
        "LANG": "C.UTF-8",
        "TMPDIR": temporary,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    given = dict(given)
    paths = [path for path in (given.pop("PYTHONPATH", None), python_path()) if path]
    return {**base, **given, **({"PYTHONPATH": ":".join(paths)} if paths else {})}


@cache
def readable() -> tuple[str, ...]:
    """What a process may read where no namespace hides the rest of the machine from it."""
    wanted = [*SYSTEM_FOLDERS, *SYSTEM_FILES, *PUBLIC_FILES, *map(str, python_folders())]
    return tuple(name for name in wanted if Path(name).exists())


def program_environment() -> dict[str, str]:
    """The environment of the programs of this machine that we start.

    Never the one we have: `exec` reads it while another thread may change it, and then fails with EFAULT.
    """
    return {"PATH": os.environ.get("PATH", os.defpath)}


def remove(folder: Path) -> None:
    """Remove a folder that code has written to, which may have made it deeper than Python can follow."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        subprocess.run(["/bin/rm", "-rf", "--", str(folder)], check=False, env=program_environment())


def interpreter() -> str:
    """The emulator's own Python."""
    return sys.executable


def init_command() -> list[str]:
    """The program that starts, relays and reaps everything inside."""
    return [interpreter(), "-I", "-S", str(INIT)]
