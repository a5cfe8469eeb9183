"""What is known about files and folders, without reading them."""

from __future__ import annotations

import contextlib
import datetime
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentrun.emulator.guest.errors import BadRequest
from agentrun.emulator.guest.files import explained, parse_mode
from agentrun.emulator.guest.paths import shown, shown_name


def entry(path: Path | str) -> dict[str, Any]:
    """One file or folder; a link is described by what it points to, a broken one by itself."""
    path = str(path)
    with explained(Path(path)):
        facts = os.lstat(path)
        link = stat.S_ISLNK(facts.st_mode)
        if link:
            with contextlib.suppress(OSError):
                facts = os.stat(path)
        described = _describe(path, facts)
        return {**described, "linkTarget": shown_link(path)} if link else described


def entries_of(path: Path, depth: int) -> Iterator[dict[str, Any]]:
    """The entries of a folder, sorted, `depth` levels deep; what vanishes meanwhile is left out."""
    with explained(path):
        levels = [_children(str(path))]
    while levels:
        child = next(levels[-1], None)
        if child is None:
            levels.pop()
            continue
        with contextlib.suppress(FileNotFoundError, BadRequest):  # it is gone, or its path is too long
            yield _entry_or_gone(child)
        if len(levels) < depth and os.path.isdir(child) and not os.path.islink(child):
            with contextlib.suppress(OSError):
                levels.append(_children(child))


def descendants(path: Path) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder, not following links; folders that may not be read are passed over."""
    levels = [_scanned(str(path))]
    while levels:
        child = next(levels[-1], None)
        if child is None:
            levels.pop()
            continue
        yield child
        with contextlib.suppress(OSError):
            if child.is_dir(follow_symlinks=False):
                levels.append(_scanned(child.path))


def change_permissions(path: Path, mode: str | None, owner: str | None, group: str | None) -> None:
    """Change what is given; raises Forbidden when the sandbox's user may not."""
    user, group_id = _user_id(owner), _group_id(group)
    bits = None if mode is None else parse_mode(mode)
    with explained(path):
        if user != -1 or group_id != -1:
            os.chown(path, user, group_id)
        if bits is not None:
            os.chmod(path, bits)


def permission_targets(path: Path, *, recursive: bool) -> Iterator[Path]:
    """The path, and what is below it, deepest last; links below it are left alone."""
    yield path
    if recursive and path.is_dir():
        yield from (Path(child.path) for child in descendants(path) if not child.is_symlink())


def shown_link(path: str) -> str:
    """Where a link points to."""
    target = os.readlink(path)
    return shown(target) if target.startswith("/") else shown_name(target)


def _children(path: str) -> Iterator[str]:
    """The paths of what is in a folder."""
    return iter([os.path.join(path, name) for name in sorted(os.listdir(path))])


def _scanned(path: str) -> Iterator[os.DirEntry[str]]:
    try:
        return iter(sorted(os.scandir(path), key=lambda child: child.name))
    except OSError:
        return iter(())


def _entry_or_gone(path: str) -> dict[str, Any]:
    os.lstat(path)
    return entry(path)


def _describe(path: str, facts: os.stat_result) -> dict[str, Any]:
    changed = datetime.datetime.fromtimestamp(facts.st_mtime, datetime.timezone.utc)
    return {
        "name": shown_name(os.path.basename(path)),
        "type": "directory" if stat.S_ISDIR(facts.st_mode) else "file",
        "path": shown(path),
        "size": facts.st_size,
        "mode": f"{stat.S_IMODE(facts.st_mode):04o}",
        "permissions": stat.filemode(facts.st_mode),
        "owner": _user_name(facts.st_uid),
        "group": _group_name(facts.st_gid),
        "modifiedTime": changed.isoformat(),
    }


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _user_id(owner: str | None) -> int:
    if owner is None or owner.isdecimal():
        return -1 if owner is None else int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise BadRequest(f"there is no user {owner!r} in the sandbox") from None


def _group_id(group: str | None) -> int:
    if group is None or group.isdecimal():
        return -1 if group is None else int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise BadRequest(f"there is no group {group!r} in the sandbox") from None
