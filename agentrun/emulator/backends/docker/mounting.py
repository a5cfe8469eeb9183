"""Folders of the host inside a container: read-only, or copy-on-write through an overlay."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentrun.emulator.backends.base import BackendError, Mount
from agentrun.emulator.backends.docker.containers import Json, bind, overlay
from agentrun.emulator.backends.docker.place import Place

# They part the options of an overlay.
FORBIDDEN = (",", ":", "\\")


@dataclass(frozen=True)
class Mounted:
    """What the engine is told about the mounts, and the names of the volumes it will make for them."""

    entries: tuple[Json, ...] = ()
    volumes: tuple[str, ...] = ()


def prepare(mounts: tuple[Mount, ...], place: Place, labels: Mapping[str, str]) -> Mounted:
    """Make the folders of the overlays; BackendError when a source cannot be mounted."""
    entries: list[Json] = []
    volumes: list[str] = []
    for number, mount in enumerate(mounts):
        _check(mount)
        if not mount.copy_on_write:
            entries.append(bind(mount.source, mount.target))
            continue
        volumes.append(f"agentrun-{labels['agentrun.instance'][:12]}-{place.folder.name}-{number}")
        upper, work = _layers(mount, place, number)
        entries.append(overlay(volumes[-1], mount.target, mount.source.resolve(), upper, work, labels))
    return Mounted(tuple(entries), tuple(volumes))


def owner_of(mounts: tuple[Mount, ...]) -> int | None:
    """Whose files copy-on-write mounts hold when that is the emulator's own ordinary user; None otherwise."""
    own = os.geteuid()
    wanted = own != 0 and any(mount.copy_on_write for mount in mounts)
    return own if wanted else None


def _check(mount: Mount) -> None:
    if not mount.source.is_dir():
        raise BackendError(f"the folder {mount.source}, to be mounted at {mount.target}, does not exist")
    if mount.copy_on_write and any(sign in str(mount.source.resolve()) for sign in FORBIDDEN):
        raise BackendError(
            f"{mount.source} has one of , : \\ in its name and cannot be mounted copy-on-write: rename it"
        )


def _layers(mount: Mount, place: Place, number: int) -> tuple[Path, Path]:
    upper, work = place.layer(number, "upper"), place.layer(number, "work")
    upper.mkdir(parents=True)
    work.mkdir()
    if os.geteuid() == 0:
        os.chown(upper, place.uid, place.uid)
    if mount.source.stat().st_uid != place.uid:
        _copy(mount.source, upper, place.uid)
    return upper, work


def _copy(source: Path, upper: Path, uid: int) -> None:
    """Copy what the sandbox's user does not own and so could not change, as its own."""
    shutil.copytree(source, upper, symlinks=True, dirs_exist_ok=True, ignore=_special)
    for folder, folders, files in os.walk(upper):
        for name in (".", *folders, *files):
            os.chown(os.path.join(folder, name), uid, uid, follow_symlinks=False)


def _special(folder: str, names: list[str]) -> list[str]:
    """What is neither file, folder nor link: pipes, sockets, devices."""
    paths = {name: Path(folder, name) for name in names}
    return [name for name, path in paths.items() if not (path.is_symlink() or path.is_file() or path.is_dir())]
