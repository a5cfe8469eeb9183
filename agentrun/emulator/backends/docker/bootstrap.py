"""A Debian system made from nothing but its package sources, for engines that reach no registry."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from agentrun.emulator.backends.base import BackendError
from agentrun.emulator.backends.docker import host_settings

Tell = Callable[[str], None]

TOOL = "mmdebstrap"
PACKAGES = ("bash", "ca-certificates", "git", "nodejs", "procps", "python3", "python3-venv")
# What the tool leaves inside of how it reached the packages.
TRACES = (
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/*",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/apt/auth.conf.d/*",
)
LAST_LINES = 15


def make_system(archive: Path, tell: Tell) -> str:
    """Write a tar archive of this machine's release with the packages sandboxes need; returns the release's name."""
    release = host_settings.codename()
    if release is None or shutil.which("apt-get") is None:
        raise BackendError("only Debian and Ubuntu can make a base image: give one with `--base python:3.11-slim`")
    sources = host_settings.apt_sources(release)
    if not sources:
        raise BackendError(
            f"apt has no sources for {release} in /etc/apt: give an image with `--base python:3.11-slim`"
        )
    _need_tool(tell)
    with tempfile.TemporaryDirectory(prefix="agentrun-image-") as folder:
        files = [Path(folder, name) for name in sources]
        for file in files:
            file.write_text(sources[file.name])
        _run(_command(archive, files), tell)
    return release


def _command(archive: Path, sources: Sequence[Path]) -> list[str]:
    options = [f"--aptopt={option}" for option in host_settings.apt_options()]
    forget = f'--customize-hook=cd "$1" && rm -f {" ".join(TRACES)}'
    include = f"--include={','.join(PACKAGES)}"
    return [TOOL, "--variant=minbase", include, *options, forget, "", str(archive), *map(str, sources)]


def _need_tool(tell: Tell) -> None:
    if shutil.which(TOOL):
        return
    fix = f"run `sudo apt-get install {TOOL}`, or give an image with `--base python:3.11-slim`"
    if os.geteuid() != 0:
        raise BackendError(f"{TOOL}, which makes the base image, is not installed: {fix}")
    tell(f"installing {TOOL}")
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", TOOL]
    done = subprocess.run(install, capture_output=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    if done.returncode != 0:
        raise BackendError(f"{TOOL} could not be installed ({done.stderr.decode().strip()[-200:]}): {fix}")


def _run(command: Sequence[str], tell: Tell) -> None:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines: list[str] = []
    with process:
        for line in process.stderr:
            lines.append(line.rstrip())
            if line.startswith("I: "):
                tell(line[3:].rstrip())
    if process.returncode != 0:
        raise BackendError(f"{TOOL} failed with status {process.returncode}:\n" + "\n".join(lines[-LAST_LINES:]))
