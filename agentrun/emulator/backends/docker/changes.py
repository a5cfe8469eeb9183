"""What a sandbox changed in a copy-on-write mount, read from the overlay's upper folder as a unified diff.

The sandbox may go on changing that folder: no path is followed twice and no link at all.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NOTHING = "/dev/null"
OPAQUE = ("user.overlay.opaque", "trusted.overlay.opaque")
MOST_BYTES = 16 * 1024 * 1024
LINK = "120000"


@dataclass(frozen=True)
class Content:
    """A file or link as a diff sees it; `data` is None when it is too large or of a kind that has no text."""

    mode: str
    data: bytes | None

    @property
    def lines(self) -> list[str] | None:
        """Its lines; None when it is not text."""
        if self.data is None or b"\0" in self.data:
            return None
        try:
            return self.data.decode().splitlines(keepends=True)
        except UnicodeDecodeError:
            return None


def describe(source: Path, upper: Path) -> str:
    """The diff between a folder and the folder with an upper layer on it, in the order of the paths."""
    old, new = _Tree(source), _Tree(upper)
    try:
        return "".join(difference for path in sorted(_touched(old, new)) for difference in _compare(path, old, new))
    finally:
        old.close()
        new.close()


class _Tree:
    """A folder whose files are opened from its root on without following links."""

    def __init__(self, folder: Path) -> None:
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        os.close(self._root)

    def walk(self, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
        """Every path below and what it is, folders before what is in them; nothing when there is no such folder."""
        try:
            folder = self._open_folder(below)
        except OSError:
            return
        try:
            for entry in sorted(os.listdir(folder)):
                about = os.stat(entry, dir_fd=folder, follow_symlinks=False)
                path = os.path.join(below, entry)
                yield path, about
                if stat.S_ISDIR(about.st_mode):
                    yield from self.walk(path)
        finally:
            os.close(folder)

    def is_opaque(self, path: str) -> bool:
        """Whether an upper folder hides everything of the one below it."""
        folder = self._open_folder(path)
        try:
            return any(_attribute(folder, name) == b"y" for name in OPAQUE)
        finally:
            os.close(folder)

    def content(self, path: str) -> Content | None:
        """A file or link; None when there is none, or a folder, or a whiteout."""
        parent, name = os.path.split(path)
        try:
            folder = self._open_folder(parent)
        except OSError:
            return None
        try:
            return _content(folder, name)
        except OSError:
            return None
        finally:
            os.close(folder)

    def _open_folder(self, path: str) -> int:
        folder = os.dup(self._root)
        for name in filter(None, path.split("/")):
            try:
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            finally:
                os.close(folder)
            folder = inner
        return folder


def _content(folder: int, name: str) -> Content | None:
    about = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(about.st_mode):
        return Content(LINK, os.fsencode(os.readlink(name, dir_fd=folder)))
    if stat.S_ISDIR(about.st_mode) or _is_whiteout(about):
        return None
    if not stat.S_ISREG(about.st_mode) or about.st_size > MOST_BYTES:
        return Content(f"{about.st_mode:o}", None)
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with open(fd, "rb") as file:
        return Content("100755" if about.st_mode & stat.S_IXUSR else "100644", file.read(MOST_BYTES))


def _touched(old: _Tree, new: _Tree) -> set[str]:
    """Paths of the files that may differ: all in the upper layer, and those that it hides."""
    touched: set[str] = set()
    for path, about in new.walk():
        if not stat.S_ISDIR(about.st_mode):
            touched.add(path)
        if not stat.S_ISDIR(about.st_mode) or new.is_opaque(path):
            touched.update(hidden for hidden, kind in old.walk(path) if not stat.S_ISDIR(kind.st_mode))
    return touched


def _compare(path: str, old: _Tree, new: _Tree) -> Iterator[str]:
    before, after = old.content(path), new.content(path)
    if before == after and (before is None or before.data is not None):
        return
    yield f"diff --git a/{path} b/{path}\n"
    yield from _modes(before, after)
    left, right = f"a/{path}" if before else NOTHING, f"b/{path}" if after else NOTHING
    before_lines, after_lines = (side.lines if side else [] for side in (before, after))
    if before_lines is None or after_lines is None:
        yield f"Binary files {left} and {right} differ\n"
        return
    for line in difflib.unified_diff(before_lines, after_lines, left, right):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _modes(before: Content | None, after: Content | None) -> Iterator[str]:
    if before is None and after:
        yield f"new file mode {after.mode}\n"
    elif before and after is None:
        yield f"deleted file mode {before.mode}\n"
    elif before and after and before.mode != after.mode:
        yield f"old mode {before.mode}\nnew mode {after.mode}\n"


def _is_whiteout(about: os.stat_result) -> bool:
    return stat.S_ISCHR(about.st_mode) and about.st_rdev == 0


def _attribute(folder: int, name: str) -> bytes:
    try:
        return os.getxattr(folder, name)
    except OSError:
        return b""
