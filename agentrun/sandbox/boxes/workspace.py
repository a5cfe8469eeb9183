"""The workspace of a box: one folder of the sandbox, which users call /workspace.

The root of a sandbox is read-only, so the folder lies in the home of its user. Paths of the box's tools and files are
relative to it, or begin with either name. Code and commands run in it, and see it under its real name.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, overload

from agentrun._core.blocking import gather, run
from agentrun._core.streams import Stream
from agentrun._sandbox_tools.definitions import HOME
from agentrun.errors import InvalidInputError

if TYPE_CHECKING:
    from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox

WORKSPACE = "/workspace"
FOLDER = f"{HOME}{WORKSPACE}"
# As deep as the service goes.
ALL_LEVELS = 1000

Format: TypeAlias = 'Literal["text", "bytes", "stream"]'
Data: TypeAlias = "str | bytes | bytearray | IO[bytes]"


def real(path: str) -> str:
    """Where a path of the workspace lies in the sandbox; raises InvalidInputError for one outside."""
    full = posixpath.normpath(posixpath.join(WORKSPACE, path))
    for name in (WORKSPACE, FOLDER):
        if full == name or full.startswith(f"{name}/"):
            return FOLDER + full[len(name) :]
    raise InvalidInputError(f"{path!r} is outside {WORKSPACE}", field="path", hint=f"Only {WORKSPACE} can be reached")


def shown(path: str) -> str:
    """A path of the workspace under the name that users know."""
    return WORKSPACE + real(path)[len(FOLDER) :]


class WorkspaceFiles:
    """The files of a box's workspace, `box.fs`; an entry has `path`, `name`, `type`, `size` and `mtime_ms`."""

    def __init__(self, sandbox: CodeInterpreterSandbox) -> None:
        self._sandbox = sandbox

    @property
    def sandbox_id(self) -> str:
        """The sandbox whose files these are."""
        return self._sandbox.label

    @overload
    async def read_async(self, path: str, fmt: Literal["text"] = "text") -> str: ...

    @overload
    async def read_async(self, path: str, fmt: Literal["bytes"]) -> bytes: ...

    @overload
    async def read_async(self, path: str, fmt: Literal["stream"]) -> Stream[bytes]: ...

    async def read_async(self, path: str, fmt: Format = "text") -> str | bytes | Stream[bytes]:
        """A file as `text`, as `bytes`, or as a `stream` of pieces; bytes that are not UTF-8 are no text."""
        return await self._read(path, fmt)

    @overload
    def read(self, path: str, fmt: Literal["text"] = "text") -> str: ...

    @overload
    def read(self, path: str, fmt: Literal["bytes"]) -> bytes: ...

    @overload
    def read(self, path: str, fmt: Literal["stream"]) -> Stream[bytes]: ...

    def read(self, path: str, fmt: Format = "text") -> str | bytes | Stream[bytes]:
        """A file as `text`, as `bytes`, or as a `stream` of pieces; bytes that are not UTF-8 are no text."""
        return run(self._read(path, fmt))

    async def _read(self, path: str, fmt: Format) -> str | bytes | Stream[bytes]:
        if fmt == "stream":
            return await self._sandbox.file.stream_async(real(path))
        content = await self._sandbox.file.read_bytes_async(real(path))
        return content if fmt == "bytes" else _text(path, content)

    async def write_async(
        self, path: str, data: Data, *, content_type: str = "application/octet-stream"
    ) -> dict[str, Any]:
        """Write a file and the folders that lead to it; an open binary file is streamed. Gives its entry.

        `content_type` is accepted and not kept, because files have none.
        """
        place = real(path)
        if isinstance(data, (str, bytes, bytearray)):
            content = data.encode() if isinstance(data, str) else bytes(data)
            await self._sandbox.file.write_bytes_async(place, content)
        else:
            await self._sandbox.file.write_stream_async(place, data)
        return await self._look(path)

    def write(self, path: str, data: Data, *, content_type: str = "application/octet-stream") -> dict[str, Any]:
        """Write a file and the folders that lead to it; an open binary file is streamed. Gives its entry.

        `content_type` is accepted and not kept, because files have none.
        """
        return run(self.write_async(path, data, content_type=content_type))

    async def write_many_async(self, files: Iterable[Mapping[str, Any]]) -> Sequence[dict[str, Any]]:
        """Write several files, each `{"path": ..., "data": ...}`; gives their entries."""
        return await gather([self.write_async(*_item(file)) for file in files])

    def write_many(self, files: Iterable[Mapping[str, Any]]) -> Sequence[dict[str, Any]]:
        """Write several files, each `{"path": ..., "data": ...}`; gives their entries."""
        return run(self.write_many_async(files))

    async def write_from_path_async(
        self, workspace_path: str, local_path: str, *, content_type: str = "application/octet-stream"
    ) -> dict[str, Any]:
        """Send a local file of any size; gives its entry. `content_type` is accepted and not kept."""
        place = real(workspace_path)
        await self._sandbox.file_system.mkdir_async(posixpath.dirname(place))
        await self._sandbox.file_system.upload_async(Path(local_path), place)
        return await self._look(workspace_path)

    def write_from_path(
        self, workspace_path: str, local_path: str, *, content_type: str = "application/octet-stream"
    ) -> dict[str, Any]:
        """Send a local file of any size; gives its entry. `content_type` is accepted and not kept."""
        return run(self.write_from_path_async(workspace_path, local_path, content_type=content_type))

    async def list_async(self, path: str = WORKSPACE, depth: int | None = 1) -> Sequence[dict[str, Any]]:
        """The entries of a folder, down to `depth`; None lists everything below it."""
        found = await self._sandbox.file_system.list_async(real(path), depth or ALL_LEVELS)
        # The service tells the folder by its own name for it, with which the paths in it begin.
        theirs, ours = str(found.get("path")), shown(path)
        return [_entry(item, _renamed(str(item.get("path")), theirs, ours)) for item in found.get("entries") or ()]

    def list(self, path: str = WORKSPACE, depth: int | None = 1) -> Sequence[dict[str, Any]]:
        """The entries of a folder, down to `depth`; None lists everything below it."""
        return run(self.list_async(path, depth))

    async def exists_async(self, path: str) -> bool:
        """Whether there is a file or a folder."""
        return await self._sandbox.file_system.exists_async(real(path))

    def exists(self, path: str) -> bool:
        """Whether there is a file or a folder."""
        return run(self.exists_async(path))

    async def remove_async(self, path: str) -> None:
        """Remove a file, or a folder with what is in it; one that is not there is no error."""
        await self._sandbox.file_system.remove_async(real(path))

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with what is in it; one that is not there is no error."""
        run(self.remove_async(path))

    async def move_async(self, source: str, destination: str) -> dict[str, Any]:
        """Move a file or a folder, and make the folders that lead to its new place; gives its entry."""
        place = real(destination)
        await self._sandbox.file_system.mkdir_async(posixpath.dirname(place))
        await self._sandbox.file_system.move_async(real(source), place)
        return await self._look(destination)

    def move(self, source: str, destination: str) -> dict[str, Any]:
        """Move a file or a folder, and make the folders that lead to its new place; gives its entry."""
        return run(self.move_async(source, destination))

    async def mkdir_async(self, path: str) -> bool:
        """Make a folder and those that lead to it; False when it is there already."""
        if await self.exists_async(path):
            await self.list_async(path)  # Refuses a file of that name.
            return False
        await self._sandbox.file_system.mkdir_async(real(path))
        return True

    def mkdir(self, path: str) -> bool:
        """Make a folder and those that lead to it; False when it is there already."""
        return run(self.mkdir_async(path))

    async def _look(self, path: str) -> dict[str, Any]:
        return _entry(await self._sandbox.file_system.stat_async(real(path)), shown(path))


def _renamed(path: str, theirs: str, ours: str) -> str:
    return ours + path[len(theirs) :] if path.startswith(f"{theirs}/") else path


def _entry(item: Mapping[str, Any], path: str) -> dict[str, Any]:
    """An entry of the service as the users of a box know it."""
    kind = _type(item)
    return {
        "path": path,
        "name": item.get("name"),
        "type": kind,
        "size": item.get("size") if kind == "file" else None,
        "mtime_ms": _milliseconds(item.get("modifiedTime")),
    }


def _type(item: Mapping[str, Any]) -> str:
    if item.get("type") == "directory":
        return "dir"
    return "symlink" if str(item.get("permissions")).startswith("l") else "file"  # A link that leads nowhere.


def _milliseconds(time: Any) -> int | None:
    return int(datetime.fromisoformat(str(time)).timestamp() * 1000) if time else None


def _text(path: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path} is not text in UTF-8", field="fmt", hint='Read it with fmt="bytes"') from None


def _item(file: Mapping[str, Any]) -> tuple[str, Data]:
    if not {"path", "data"} <= file.keys():
        raise InvalidInputError("each file has a path and data", field="files", hint='{"path": ..., "data": ...}')
    return str(file["path"]), file["data"]
