"""Checkpoints of Python contexts: a clone of the interpreter that waits, and a copy of the files."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentrun.emulator.guest.errors import BadRequest, Conflict, Exhausted, NotFound, from_os_error
from agentrun.emulator.guest.interpreter import Worker
from agentrun.emulator.guest.turns import in_thread

MAX_CHECKPOINTS = 16
MAX_TREE_BYTES = 1024 * 1024 * 1024
MAX_TREE_FILES = 50_000
FOLDER = "forks"


@dataclass(frozen=True)
class Checkpoint:
    """One point to go back to."""

    id: str
    context_id: str
    created_at: str
    clone: Worker
    files: Path

    def describe(self) -> dict[str, str]:
        """As it travels."""
        return {"checkpointId": self.id, "contextId": self.context_id, "createdAt": self.created_at}


class Checkpoints:
    """The checkpoints of one context."""

    def __init__(self, context_id: str, cwd: Path, trees: Trees) -> None:
        self._context_id = context_id
        self._cwd = cwd
        self._trees = trees
        self._kept: dict[str, Checkpoint] = {}
        self._closed = False

    def all(self) -> list[dict[str, str]]:
        """All, oldest first, as they travel."""
        return [checkpoint.describe() for checkpoint in self._kept.values()]

    async def add(self, interpreter: Worker) -> dict[str, str]:
        """Clone the interpreter and copy the files. Raises Exhausted at the limit of checkpoints."""
        if len(self._kept) >= MAX_CHECKPOINTS:
            raise Exhausted(
                f"the context has {MAX_CHECKPOINTS} checkpoints, which is the limit: "
                f"delete one with DELETE /contexts/{self._context_id}/checkpoints/{{checkpointId}}"
            )
        name = uuid.uuid4().hex
        files = await self._trees.copy(self._cwd, name)
        try:
            clone = await interpreter.fork()
        except BaseException:
            self._trees.forget(name)
            raise
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        checkpoint = self._kept[name] = Checkpoint(name, self._context_id, now, clone, files)
        if self._closed:
            self.remove(name)
        return checkpoint.describe()

    async def restore(self, checkpoint_id: str) -> Worker:
        """An interpreter in the state of the checkpoint, after the files were put back."""
        checkpoint = self._get(checkpoint_id)
        if not checkpoint.clone.alive:
            raise Conflict(f"checkpoint {checkpoint_id} is lost: the process that kept its state has ended")
        clone = await checkpoint.clone.fork()
        try:
            await self._trees.restore(checkpoint.files, self._cwd)
        except BaseException:
            clone.close("the files could not be restored")
            raise
        return clone

    def remove(self, checkpoint_id: str) -> None:
        """Forget one; NotFound when there is none of that id."""
        self._get(checkpoint_id).clone.close("the checkpoint was deleted")
        self._trees.forget(checkpoint_id)
        del self._kept[checkpoint_id]

    def close(self) -> None:
        """Forget all, and what is under way as soon as it is there."""
        self._closed = True
        for checkpoint_id in list(self._kept):
            self.remove(checkpoint_id)

    def _get(self, checkpoint_id: str) -> Checkpoint:
        checkpoint = self._kept.get(checkpoint_id)
        if checkpoint is None:
            known = ", ".join(self._kept) or "none"
            raise NotFound(f"context {self._context_id} has no checkpoint {checkpoint_id}: there are {known}")
        return checkpoint


class Trees:
    """Copies of working folders, each under a name."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._copies: dict[str, Path] = {}
        self._removals: set[asyncio.Future[None]] = set()

    async def copy(self, source: Path, name: str) -> Path:
        """Copy a folder. Raises BadRequest, Exhausted or Conflict when that cannot be done."""
        if source in self._home.parents:
            raise BadRequest(f"the folder {source} (cwd) is too wide to copy: create the context with one below it")
        target = self._copies[name] = self._base() / name
        try:
            await in_thread(lambda: _copy(source, target, excluded=self._base()))
        except BaseException as error:
            self.forget(name)
            if isinstance(error, OSError):
                raise from_os_error(error, error.filename or str(source)) from None
            raise
        return target

    async def restore(self, saved: Path, target: Path) -> None:
        """Make a folder what it was when it was copied."""
        try:
            await in_thread(lambda: _mirror(saved, target, excluded=self._base()))
        except OSError as error:
            raise from_os_error(error, error.filename or str(target)) from None

    def forget(self, name: str) -> None:
        """Remove a copy, if there is one."""
        target = self._copies.pop(name, None)
        if target is not None:
            removal = asyncio.ensure_future(in_thread(lambda: shutil.rmtree(target, ignore_errors=True)))
            self._removals.add(removal)
            removal.add_done_callback(self._removals.discard)

    def close(self) -> None:
        """Remove all copies."""
        for target in self._copies.values():
            shutil.rmtree(target, ignore_errors=True)
        self._copies.clear()

    def _base(self) -> Path:
        """Beside the home folder, or hidden in it where nobody may write beside it."""
        beside = self._home.parent / FOLDER
        with contextlib.suppress(OSError):
            beside.mkdir(exist_ok=True)
        if os.access(beside, os.W_OK | os.X_OK):
            return beside
        hidden = self._home / f".{FOLDER}"
        hidden.mkdir(exist_ok=True)
        return hidden


def _copy(source: Path, target: Path, *, excluded: Path) -> None:
    """Copy a tree; sockets, pipes and devices stay behind."""
    _check_size(source, excluded)
    target.mkdir()
    _mirror(source, target, excluded=excluded)


def _check_size(source: Path, excluded: Path) -> None:
    files, size = 0, 0
    for folder, _, names in _walk(source, excluded):
        files += len(names)
        size += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)
        if files > MAX_TREE_FILES or size > MAX_TREE_BYTES:
            limits = f"{MAX_TREE_FILES} files and {MAX_TREE_BYTES // 1024**2} MiB"
            raise Exhausted(f"{source} (cwd) has more than {limits}: create the context with a smaller folder")


def _walk(source: Path, excluded: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if os.path.join(folder, name) != str(excluded)]
        yield folder, folders, names


def _mirror(source: Path, target: Path, *, excluded: Path) -> None:
    """Make the target folder hold what the source folder holds, and nothing else that can be copied."""
    wanted = {entry.name: entry for entry in os.scandir(source) if _can_copy(entry) and entry.path != str(excluded)}
    for entry in list(os.scandir(target)):
        if entry.path != str(excluded) and _can_copy(entry) and not _same_kind(wanted.get(entry.name), entry):
            _remove(entry)
    for entry in wanted.values():
        _mirror_entry(entry, target / entry.name, excluded)
    shutil.copystat(source, target)


def _mirror_entry(entry: os.DirEntry[str], target: Path, excluded: Path) -> None:
    if entry.is_dir(follow_symlinks=False):
        target.mkdir(exist_ok=True)
        _mirror(Path(entry.path), target, excluded=excluded)
    elif not entry.is_symlink() or not _same_link(entry.path, target):
        fresh = target.with_name(f".{uuid.uuid4().hex}")  # never half a file under its own name
        shutil.copy2(entry.path, fresh, follow_symlinks=False)
        fresh.replace(target)


def _same_link(source: str, target: Path) -> bool:
    return target.is_symlink() and os.readlink(target) == os.readlink(source)


def _can_copy(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() or entry.is_file() or entry.is_dir()


def _same_kind(wanted: os.DirEntry[str] | None, entry: os.DirEntry[str]) -> bool:
    return wanted is not None and stat.S_IFMT(wanted.stat(follow_symlinks=False).st_mode) == stat.S_IFMT(
        entry.stat(follow_symlinks=False).st_mode
    )


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path)
    else:
        os.unlink(entry.path)
