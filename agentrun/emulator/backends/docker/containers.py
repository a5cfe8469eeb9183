"""What a sandbox's container looks like, as the Engine API wants to be told: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentrun.emulator.backends.base import Image, Limits
from agentrun.emulator.backends.docker.place import HOME, USER, Place
from agentrun.emulator.backends.egress import PROXY_ENVIRONMENT, PROXY_PORT

INSIDE = "/run/agentrun"
EMULATOR = "/run/emulator"
# Where programs look for the certificates to trust; those of the host are shown there, for its way out is used.
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PYTHON = "/opt/venv/bin/python"
# A home begins with what the image prepared, caches above all.
FURNISH = 'cp -R /etc/skel/. "$HOME" && exec "$@"'
ENTER = (PYTHON, "-I", "-S", "/opt/agentrun/enter.py", f"{INSIDE}/http")
GUEST = (PYTHON, "-m", "agentrun.emulator.guest")
ENVIRONMENT = {
    "PATH": "/opt/venv/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": HOME,
    "USER": USER,
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
GVISOR = "runsc"
MEBIBYTE = 1024 * 1024
INODES_PER_MEBIBYTE = 64
MOST_TERMINALS = 256
# What engines hide by themselves, and all else that the kernel tells of the machine.
HIDDEN = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys",
)
NANO = 1_000_000_000
# What the images of others need to give up root by themselves and to serve; far less than an engine's default.
KEPT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")

Json = dict[str, Any]


def guest_container(
    image: str,
    place: Place,
    environment: Mapping[str, str],
    limits: Limits,
    *,
    proxied: bool,
    mounts: Sequence[Json],
    forwards: Sequence[tuple[int, str]],
    shown: Mapping[str, Path],
    labels: Mapping[str, str],
    runtime: str | None,
) -> Json:
    """A sandbox with the guest server, without any network; `forwards` are (port, unix socket inside)."""
    own = {**ENVIRONMENT, **(PROXY_ENVIRONMENT if proxied else {}), **environment}
    every = [(PROXY_PORT, f"{INSIDE}/egress"), *forwards]
    arguments = [word for port, path in every for word in ("--forward", f"{port}={path}")]
    # gVisor has terminals of its own, and could only show those of the host through a mount.
    terminals = [] if is_gvisor(runtime) else [_terminals(labels)]
    readable = [bind(path, target) for target, path in {**place.accounts, **shown}.items()]
    return {
        **_common(image, own, labels),
        "User": f"{place.uid}:{place.uid}",
        "WorkingDir": HOME,
        "Entrypoint": ["/bin/sh", "-c", FURNISH, "sandbox"],
        "Cmd": [*ENTER, *GUEST, "--line", f"{INSIDE}/line", *arguments],
        "HostConfig": {
            **_walls(limits, runtime),
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "MaskedPaths": list(HIDDEN),
            "Tmpfs": _folders_in_memory(place.uid, limits),
            "Mounts": [bind(place.inside, INSIDE, writable=True), *terminals, *readable, *mounts],
        },
    }


def image_container(
    image: Image,
    environment: Mapping[str, str],
    limits: Limits,
    *,
    network: str,
    mounts: Sequence[Json],
    labels: Mapping[str, str],
    runtime: str | None,
) -> Json:
    """A sandbox out of an image of the user's own, with its own program, in a private network."""
    return {
        **_common(image.name, environment, labels),
        **({"Cmd": list(image.command)} if image.command else {}),
        "ExposedPorts": {f"{image.port}/tcp": {}},
        "HostConfig": {
            **_walls(limits, runtime),
            "NetworkMode": network,
            "CapDrop": ["ALL"],
            "CapAdd": list(KEPT_CAPABILITIES),
            "Mounts": list(mounts),
        },
    }


def scrubber(image: str, folder: Path, labels: Mapping[str, str]) -> Json:
    """A container that empties the folders of copy-on-write mounts, as root and of nothing else."""
    return {
        **_common(image, {}, labels),
        "User": "0:0",
        "Entrypoint": ["/bin/sh", "-c", "rm -rf /place/mount-*"],
        "HostConfig": {
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": ["DAC_OVERRIDE", "FOWNER"],
            "SecurityOpt": ["no-new-privileges"],
            "LogConfig": {"Type": "none"},
            "Mounts": [bind(folder, "/place", writable=True)],
        },
    }


def is_gvisor(runtime: str | None) -> bool:
    """Whether the engine's runtime of this name is gVisor, which has a kernel of its own."""
    return runtime is not None and runtime.startswith(GVISOR)


def bind(source: Path, target: str, writable: bool = False) -> Json:
    """A folder or file of the host."""
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": not writable}


def overlay(name: str, target: str, lower: Path, upper: Path, work: Path, labels: Mapping[str, str]) -> Json:
    """A folder of the host of which only what changes is written, into `upper`.

    `userxattr` lets the owner of `upper` see which folders were replaced.
    """
    options = f"lowerdir={lower},upperdir={upper},workdir={work},userxattr"
    return {**_volume(target, "overlay", options, labels), "Source": name}


def _common(image: str, environment: Mapping[str, str], labels: Mapping[str, str]) -> Json:
    return {
        "Image": image,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": dict(labels),
        "Hostname": "sandbox",
        "AttachStdout": True,
        "AttachStderr": True,
    }


def _walls(limits: Limits, runtime: str | None) -> Json:
    """Limits, and what no sandbox may do; the log is kept by the emulator, within bounds."""
    return {
        "Memory": limits.memory * MEBIBYTE,
        "MemorySwap": limits.memory * MEBIBYTE,
        "NanoCpus": int(limits.cpu * NANO),
        "PidsLimit": limits.processes,
        "Ulimits": [
            _limit("nofile", limits.open_files),
            _limit("fsize", limits.file_size * MEBIBYTE),
            _limit("core", 0),
        ],
        "SecurityOpt": ["no-new-privileges"],
        "LogConfig": {"Type": "none"},
        **({"Runtime": runtime} if runtime else {}),
    }


def _limit(name: str, value: int) -> Json:
    return {"Name": name, "Soft": value, "Hard": value}


def _folders_in_memory(uid: int, limits: Limits) -> dict[str, str]:
    """Limited in number too: what an empty file takes in the kernel counts as nobody's."""
    room = f"rw,exec,nosuid,nodev,size={limits.disk}m,nr_inodes={limits.disk * INODES_PER_MEBIBYTE}"
    shared = f"{room},mode=1777"
    return {HOME: f"{room},mode=0700,uid={uid},gid={uid}", "/tmp": shared, "/dev/shm": shared}


def _terminals(labels: Mapping[str, str]) -> Json:
    """A volume that goes with its container: terminals of its own, few enough to leave the machine's to others."""
    options = f"newinstance,nosuid,noexec,ptmxmode=0666,mode=0620,max={MOST_TERMINALS}"
    return _volume("/dev/pts", "devpts", options, labels)


def _volume(target: str, kind: str, options: str, labels: Mapping[str, str]) -> Json:
    """A file system that the engine mounts for one container."""
    driver = {"Name": "local", "Options": {"type": kind, "device": kind, "o": options}}
    details = {"NoCopy": True, "Labels": dict(labels), "DriverConfig": driver}
    return {"Type": "volume", "Target": target, "VolumeOptions": details}
