"""One folder that nothing leads out of: no `..`, no absolute path, no symbolic link, however they are combined."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from agentrun.errors import ConfigError, InvalidInputError, ToolError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # A pipe must not make whoever opens it wait.


class Entry(NamedTuple):
    """Something in the folder; `path` is below it, `size` in bytes for files."""

    path: str
    kind: str
    size: int | None


class Folder:
    """The files below one folder.

    A path is resolved first, so links that stay inside may be used. What it resolves to is then opened step by step
    without following any link, so a link that appears in between leads nowhere.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).resolve()
        if not self.path.is_dir():
            raise ConfigError(f"{self.path} is no folder", hint="Create it, or give another root")

    def parts(self, path: str) -> tuple[str, ...]:
        """The names that lead to a path from the folder; raises InvalidInputError when it leads out of it."""
        try:
            resolved = (self.path / path).resolve()
        except (ValueError, RuntimeError, OSError) as error:
            raise InvalidInputError(f"{path!r:.200} is no path", field="path") from error
        if not resolved.is_relative_to(self.path):
            raise InvalidInputError(
                f"{path!r:.200} leads out of the folder", field="path", hint="Give a path relative to the folder"
            )
        return resolved.relative_to(self.path).parts

    @contextmanager
    def _opened(self, parts: tuple[str, ...], create: bool = False) -> Generator[int]:
        """A folder below this one as a descriptor."""
        descriptor = os.open(self.path, _FOLDER)
        try:
            for part in parts:
                if create and not _exists(part, descriptor):
                    os.mkdir(part, dir_fd=descriptor)
                below = os.open(part, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def read(self, path: str, most: int) -> bytes:
        """A file's content; raises ToolError when there is none, or more than `most` bytes of it."""
        with _told(path), self._file(path, os.O_RDONLY) as descriptor:
            size = os.fstat(descriptor).st_size
            if size > most:
                raise ToolError(f"{path} has {size} bytes, which is more than {most}")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(most)

    def write(self, path: str, content: bytes, *, append: bool = False) -> None:
        """Write a file, with the folders that lead to it."""
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
        with _told(path), self._file(path, flags) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)

    def delete(self, path: str) -> None:
        """Delete a file, or a folder with nothing in it."""
        parts = self._named(path)
        with _told(path), self._opened(parts[:-1]) as folder:
            is_folder = stat.S_ISDIR(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode)
            (os.rmdir if is_folder else os.unlink)(parts[-1], dir_fd=folder)

    def list(self, path: str = ".", depth: int = 1) -> Iterator[Entry]:
        """What is in a folder, down to a depth; links are told and not followed."""
        parts = self.parts(path)
        with _told(path), self._opened(parts) as folder:
            found = sorted(os.scandir(folder), key=lambda entry: entry.name)
            entries = [(entry.name, _kind(entry), entry.stat(follow_symlinks=False).st_size) for entry in found]
        for name, kind, size in entries:
            below = "/".join((*parts, name))
            yield Entry(below, kind, size if kind == "file" else None)
            if kind == "folder" and depth > 1:
                yield from self.list(below, depth - 1)

    @contextmanager
    def _file(self, path: str, flags: int) -> Generator[int]:
        parts = self._named(path)
        with self._opened(parts[:-1], bool(flags & os.O_CREAT)) as folder:
            descriptor = os.open(parts[-1], flags | _FILE, 0o644, dir_fd=folder)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise ToolError(f"{path} is no file")
                yield descriptor
            finally:
                os.close(descriptor)

    def _named(self, path: str) -> tuple[str, ...]:
        parts = self.parts(path)
        if not parts:
            raise InvalidInputError(f"{path!r} is the folder itself", field="path", hint="Give the path of a file")
        return parts


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    return (
        "folder" if entry.is_dir(follow_symlinks=False) else "file" if entry.is_file(follow_symlinks=False) else "other"
    )


@contextmanager
def _told(path: str) -> Generator[None]:
    """What the system refuses is told without the place of the folder."""
    try:
        yield
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror or type(error).__name__}") from None
