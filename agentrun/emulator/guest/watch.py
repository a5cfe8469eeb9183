"""Watching a folder: what is made, changed, moved and removed in it, as it happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

from agentrun.emulator.guest import inotify
from agentrun.emulator.guest.errors import BadRequest, Forbidden, NotFound
from agentrun.emulator.guest.files import explained
from agentrun.emulator.guest.inotify import Inotify, Notice
from agentrun.emulator.guest.paths import shown
from agentrun.emulator.guest.streams import readable

Change = dict[str, Any]

# Both halves of a move, and the many notices of one write, come close together.
GATHERING = 0.005
GONE = inotify.DELETE_SELF | inotify.UNMOUNT | inotify.MOVE_SELF


def watch(path: Path, *, recursive: bool) -> AsyncGenerator[Change, None]:
    """Events as they happen, the first one `ready`; they end when what is watched is removed or moved away.

    Raises NotFound and the like, and Exhausted when the kernel's limits do not allow it; `overflow` means that changes
    came faster than they were taken and some are not known.
    """
    kernel = Inotify()
    try:
        watched = Watched(kernel, path, recursive=recursive)
    except BaseException:
        kernel.close()
        raise
    return _events(kernel, watched)


async def _events(kernel: Inotify, watched: Watched) -> AsyncGenerator[Change, None]:
    try:
        yield {"type": "ready"}
        while not watched.gone:
            await readable(kernel.descriptor)
            await asyncio.sleep(GATHERING)
            for change in without_repeats(watched.changes()):
                yield change
    finally:
        kernel.close()


class Watched:
    """A path and, when recursive, all folders below it: which watch is which, and what their notices mean."""

    def __init__(self, kernel: Inotify, path: Path, *, recursive: bool) -> None:
        self.gone = False
        self._kernel = kernel
        self._recursive = recursive
        self._paths: dict[int, str] = {}
        self._found: set[str] = set()
        with explained(path):
            folder = stat.S_ISDIR(os.stat(path).st_mode)
        self._root = kernel.add(os.path.realpath(path), folder=folder)
        self._paths[self._root] = str(path)
        if folder and recursive:
            for _ in self._descend(str(path)):
                pass

    def changes(self) -> Iterator[Change]:
        """What the notices that wait mean, until there are none any more."""
        left: Notice | None = None
        while notices := self._kernel.read():
            for notice in notices:
                if left is not None and _completes(notice, left):
                    yield from self._moved(left, notice)
                    left = None
                    continue
                if left is not None:
                    yield from self._moved_away(left)
                left = notice if notice.mask & inotify.MOVED_FROM else None
                if left is None:
                    yield from self._change(notice)
        if left is not None:
            yield from self._moved_away(left)
        self._found.clear()

    def _change(self, notice: Notice) -> Iterator[Change]:
        if notice.mask & inotify.OVERFLOW:
            yield {"type": "overflow"}
            yield from self._rescan()
        elif notice.mask & inotify.IGNORED:
            self._paths.pop(notice.watch, None)
        elif notice.mask & GONE:
            yield from self._gone(notice)
        elif notice.watch in self._paths:
            yield from self._named(notice)

    def _named(self, notice: Notice) -> Iterator[Change]:
        """A change to something by its name in a folder; to the folder itself its parent tells, or it is the root."""
        path, folder = self._path(notice), bool(notice.mask & inotify.IS_FOLDER)
        if not notice.name and notice.watch != self._root:
            return
        if notice.mask & (inotify.CREATE | inotify.MOVED_TO):
            yield from self._appeared(path, folder=folder)
        elif notice.mask & inotify.DELETE:
            yield _event("remove", path, folder=folder)
        elif notice.mask & inotify.MODIFY:
            yield _event("modify", path, folder=folder)
        elif notice.mask & inotify.ATTRIB:
            yield _event("attributes", path, folder=folder)

    def _appeared(self, path: str, *, folder: bool) -> Iterator[Change]:
        if path in self._found:
            self._found.discard(path)
            return
        yield _event("create", path, folder=folder)
        if folder and self._recursive:
            yield from self._look_into(path)

    def _look_into(self, path: str) -> Iterator[Change]:
        """Watch a new folder; what was made in it before that is found by looking, and told once."""
        for child in self._watch_all(path):
            if child.path not in self._found:
                self._found.add(child.path)
                yield _event("create", child.path, folder=child.is_dir(follow_symlinks=False))

    def _watch_all(self, path: str) -> Iterator[os.DirEntry[str]]:
        try:
            self._paths[self._kernel.add(path, folder=True)] = path
        except (NotFound, Forbidden, BadRequest):  # gone already, or not ours to look into
            return
        yield from self._descend(path)

    def _descend(self, path: str) -> Iterator[os.DirEntry[str]]:
        """Everything below; a folder is watched before it is listed, so that nothing falls between the two."""
        try:
            children = list(os.scandir(path))
        except OSError:
            return
        for child in children:
            yield child
            if child.is_dir(follow_symlinks=False):
                yield from self._watch_all(child.path)

    def _rescan(self) -> Iterator[Change]:
        """After an overflow: folders may be new, and nobody has told."""
        if self._recursive:
            for _ in self._descend(self._paths.get(self._root, "")):
                pass
        return iter(())

    def _moved(self, left: Notice, arrived: Notice) -> Iterator[Change]:
        old, new = self._path(left), self._path(arrived)
        folder = bool(arrived.mask & inotify.IS_FOLDER)
        yield {**_event("move", new, folder=folder), "from": shown(old)}
        if folder:
            for watch, path in self._below(old):
                self._paths[watch] = new + path[len(old) :]
            if self._recursive:
                yield from self._catch_up(new)

    def _catch_up(self, path: str) -> Iterator[Change]:
        """Find the folders that were moved along before they could be watched under their old name."""
        for child in _folders_in(path):
            with contextlib.suppress(NotFound, Forbidden, BadRequest):
                watch = self._kernel.add(child, folder=True)
                known = watch in self._paths
                self._paths[watch] = child
                yield from self._catch_up(child) if known else self._look_into(child)

    def _moved_away(self, left: Notice) -> Iterator[Change]:
        """What leaves is gone for us; its folders would go on telling from somewhere else."""
        path = self._path(left)
        yield _event("remove", path, folder=bool(left.mask & inotify.IS_FOLDER))
        for watch, _ in self._below(path):
            self._kernel.remove(watch)

    def _gone(self, notice: Notice) -> Iterator[Change]:
        if notice.watch == self._root and not self.gone:
            self.gone = True
            yield _event("remove", self._paths[self._root], folder=bool(notice.mask & inotify.IS_FOLDER))

    def _below(self, path: str) -> list[tuple[int, str]]:
        return [(watch, known) for watch, known in self._paths.items() if known == path or known.startswith(path + "/")]

    def _path(self, notice: Notice) -> str:
        folder = self._paths.get(notice.watch, "")
        return os.path.join(folder, notice.name) if notice.name else folder


def _folders_in(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return [child.path for child in os.scandir(path) if child.is_dir(follow_symlinks=False)]
    return []


def without_repeats(changes: Iterator[Change]) -> Iterator[Change]:
    """A write of many pieces is one change."""
    last: Change | None = None
    for change in changes:
        if change != last or change["type"] not in ("modify", "attributes"):
            yield change
        last = change


def _completes(notice: Notice, left: Notice) -> bool:
    return bool(notice.mask & inotify.MOVED_TO) and notice.cookie == left.cookie


def _event(kind: str, path: str, *, folder: bool) -> Change:
    return {"type": kind, "path": shown(path), "isDirectory": folder}
