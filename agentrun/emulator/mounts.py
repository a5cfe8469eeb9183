"""Folders of this machine that sandboxes may see: those that the emulator shares, and those that stand for storage."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from agentrun._core.values import section
from agentrun.emulator.backends.base import Mount
from agentrun.emulator.wire.envelope import forbidden, invalid

READ_ONLY, COPY_ON_WRITE = "read-only", "copy-on-write"
MODES = (READ_ONLY, COPY_ON_WRITE)
STORAGE_FIELDS = ("nasConfig", "ossMountConfig", "polarFsConfig", "ossConfiguration")
MOST_MOUNTS = 32
# What a sandbox needs in its own shape; a mount there would break it or stand in for it.
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")
# Where storage is kept, where it appears, and whether it is read-only.
Point: TypeAlias = tuple[tuple[str, ...], str, bool]
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class MountRequest:
    """A mount as it was asked for, not checked yet."""

    source: str
    target: str
    mode: str = READ_ONLY


class Mounts:
    """Says which folder of this machine a mount means.

    `roots` are the folders below which sandboxes may be given folders. Below `storage`, a folder stands for each file
    system and bucket that a configuration names; every account sees the same ones, as a bucket is the same for all.
    """

    def __init__(self, roots: Sequence[Path] = (), storage: Path | None = None) -> None:
        self._roots = tuple(Path(root).resolve() for root in roots)
        self._storage = storage

    def shared(self, requests: Iterable[MountRequest]) -> list[Mount]:
        """The mounts of local folders. Raises ServiceError: what cannot be (400), what is not shared (403)."""
        return [Mount(self._source(one), _target(one.target), _copies(one.mode)) for one in requests]

    def stored(self, document: Mapping[str, Any]) -> list[Mount]:
        """The mounts of network storage that a template or a request names, as local folders that are made if need be.

        What is not read-only is copy-on-write: sandboxes see what is in the folder and write into a layer of their own.
        Raises ServiceError (400).
        """
        points = [*_nas(document), *_oss(document), *_polar_fs(document), *_buckets(document)]
        return [Mount(self._folder(*where), _target(target), not read_only) for where, target, read_only in points]

    def _source(self, request: MountRequest) -> Path:
        if not self._roots:
            raise forbidden(
                "ERR_MOUNT_NOT_ALLOWED", "this emulator shares no folders: start it with --mount-root DIRECTORY"
            )
        _check_text(request.source, "mounts.source")
        if not request.source.startswith("/"):
            raise invalid(f"mounts.source must be an absolute path, not {request.source}")
        found = Path(request.source).resolve()
        if not any(found.is_relative_to(root) for root in self._roots):
            shared = ", ".join(map(str, self._roots))
            raise forbidden(
                "ERR_MOUNT_NOT_ALLOWED",
                f"{request.source} is not below a folder that this emulator shares ({shared}): "
                "start it with one more --mount-root DIRECTORY",
            )
        if not found.is_dir():
            raise invalid(f"mounts.source {request.source} is not a folder")
        return found

    def _folder(self, kind: str, *parts: str) -> Path:
        if self._storage is None:
            raise forbidden("ERR_MOUNT_NOT_ALLOWED", "this emulator has no folder for storage: start it with --state")
        base = self._storage.resolve() / kind
        folder = base.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.resolve().is_relative_to(base):
            raise forbidden("ERR_MOUNT_NOT_ALLOWED", f"{'/'.join(parts)} leads out of the folder for {kind} storage")
        return folder.resolve()


def check_apart(mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """The mounts, none of which lies inside another. Raises ServiceError (400)."""
    if len(mounts) > MOST_MOUNTS:
        raise invalid(f"a sandbox can have at most {MOST_MOUNTS} mounts")
    targets = sorted(f"{mount.target}/" for mount in mounts)
    for first, second in itertools.pairwise(targets):
        if second.startswith(first):
            raise invalid(f"the mounts at {first[:-1]} and {second[:-1]} overlap")
    return tuple(mounts)


def _copies(mode: str) -> bool:
    if mode not in MODES:
        raise invalid(f"mounts.mode must be one of {', '.join(MODES)}, not {mode}")
    return mode == COPY_ON_WRITE


def _target(text: str) -> str:
    _check_text(text, "the target of a mount")
    path = posixpath.normpath(text)
    if not text.startswith("/") or ".." in text.split("/"):
        raise invalid(f"the target of a mount must be an absolute path without .., not {text}")
    path = f"/{path.lstrip('/')}"
    if path == "/" or any(path == system or path.startswith(f"{system}/") for system in _SYSTEM):
        raise invalid(f"{path} cannot be the target of a mount: the sandbox's own system is there")
    return path


def _check_text(text: str, name: str) -> None:
    if not text or "\0" in text or len(text) > 4096:
        raise invalid(f"{name} must be a path")


def _nas(document: Mapping[str, Any]) -> list[Point]:
    points = section(document, "nasConfig").get("mountPoints") or ()
    return [(("nas", *_server(_given(point, "serverAddr"))), _given(point, "mountDir"), False) for point in points]


def _oss(document: Mapping[str, Any]) -> list[Point]:
    points = section(document, "ossMountConfig").get("mountPoints") or ()
    return [
        (
            ("oss", _name(_given(point, "bucketName")), *_parts(point.get("bucketPath") or "")),
            _given(point, "mountDir"),
            bool(point.get("readOnly")),
        )
        for point in points
    ]


def _polar_fs(document: Mapping[str, Any]) -> list[Point]:
    points = section(document, "polarFsConfig").get("mountPoints") or ()
    return [
        (
            ("polarfs", _name(_given(point, "instanceId")), *_parts(point.get("remoteDir") or "")),
            _given(point, "mountDir"),
            False,
        )
        for point in points
    ]


def _buckets(document: Mapping[str, Any]) -> list[Point]:
    """The buckets that a template gives to each of its sandboxes."""
    return [
        (
            ("oss", _name(bucket["bucketName"]), *_parts(bucket.get("prefix") or "")),
            bucket["mountPoint"],
            bucket.get("permission") == "READ_ONLY",
        )
        for bucket in document.get("ossConfiguration") or ()
    ]


def _given(point: Mapping[str, Any], name: str) -> str:
    value: str | None = point.get(name)
    if not value:
        raise invalid(f"mountPoints.{name} is required")
    return value


def _server(address: str) -> list[str]:
    """The folders that stand for `server:/path`."""
    server, _, path = address.partition(":")
    return [_name(server), *_parts(path)]


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") or "\0" in part for part in parts):
        raise invalid(f"{path[:200]!r} must be a path without . and ..")
    return parts


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise invalid(f"{text[:200]!r} must be the name of a server or a bucket")
    return text
