"""Folders in a sandbox, and files of any size on their way in and out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from agentrun._core.blocking import run
from agentrun._core.session import ByteStream
from agentrun._core.streams import Stream
from agentrun.errors import ClientError
from agentrun.sandbox.calls import SILENCE_SECONDS, SandboxCalls
from agentrun.sandbox.events import FileEvent
from agentrun.sandbox.extensions import PERMISSIONS, SEARCH, WATCH
from agentrun.sandbox.operations import Operations


class FileSystemOperations(Operations):
    """Folders, and files of any size on their way in and out."""

    async def list_async(self, path: str | None = None, depth: int | None = None) -> dict[str, Any]:
        """The entries of a folder, down to `depth`."""
        return await self._api.list_directory_async(path, depth)

    def list(self, path: str | None = None, depth: int | None = None) -> dict[str, Any]:
        """The entries of a folder, down to `depth`."""
        return run(self.list_async(path, depth))

    async def move_async(self, source: str, destination: str) -> dict[str, Any]:
        """Move a file or a folder."""
        return await self._api.move_file_async(source, destination)

    def move(self, source: str, destination: str) -> dict[str, Any]:
        """Move a file or a folder."""
        return run(self.move_async(source, destination))

    async def remove_async(self, path: str) -> dict[str, Any]:
        """Remove a file or a folder with what is in it; one that is not there is no error."""
        return await self._api.remove_file_async(path)

    def remove(self, path: str) -> dict[str, Any]:
        """Remove a file or a folder with what is in it; one that is not there is no error."""
        return run(self.remove_async(path))

    async def stat_async(self, path: str) -> dict[str, Any]:
        """What a path is: type, size in bytes, mode, owner, time."""
        return await self._api.stat_async(path)

    def stat(self, path: str) -> dict[str, Any]:
        """What a path is: type, size in bytes, mode, owner, time."""
        return run(self.stat_async(path))

    async def mkdir_async(self, path: str, parents: bool | None = True, mode: str | None = "0755") -> dict[str, Any]:
        """Make a folder; one that is there already is no error."""
        return await self._api.mkdir_async(path, parents, mode)

    def mkdir(self, path: str, parents: bool | None = True, mode: str | None = "0755") -> dict[str, Any]:
        """Make a folder; one that is there already is no error."""
        return run(self.mkdir_async(path, parents, mode))

    async def upload_async(self, local_file_path: str | os.PathLike[str], target_file_path: str) -> dict[str, Any]:
        """Send a local file, however large; raises InvalidInputError when it is not there."""
        return await self._api.upload_file_async(local_file_path, target_file_path)

    def upload(self, local_file_path: str | os.PathLike[str], target_file_path: str) -> dict[str, Any]:
        """Send a local file, however large; raises InvalidInputError when it is not there."""
        return run(self.upload_async(local_file_path, target_file_path))

    async def download_async(self, path: str, save_path: str | os.PathLike[str]) -> dict[str, Any]:
        """Fetch a file, however large: `{"saved_path": ..., "size": bytes}`."""
        return await self._api.download_file_async(path, save_path)

    def download(self, path: str, save_path: str | os.PathLike[str]) -> dict[str, Any]:
        """Fetch a file, however large: `{"saved_path": ..., "size": bytes}`."""
        return run(self.download_async(path, save_path))

    async def exists_async(self, path: str) -> bool:
        """Whether there is a file or a folder."""
        try:
            await self.stat_async(path)
        except ClientError as error:
            if error.status_code == 404:
                return False
            raise
        return True

    def exists(self, path: str) -> bool:
        """Whether there is a file or a folder."""
        return run(self.exists_async(path))

    async def search_async(
        self, path: str | None = None, pattern: str = "*", content: str | None = None, limit: int | None = None
    ) -> dict[str, Any]:
        """The entries below a folder whose names match `pattern` (`**` for any depth) and that hold the text `content`.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        query = {"path": path, "pattern": pattern, "content": content, "limit": limit}
        return await self._api.ask("GET", "/filesystem/search", query=query, extension=SEARCH)

    def search(
        self, path: str | None = None, pattern: str = "*", content: str | None = None, limit: int | None = None
    ) -> dict[str, Any]:
        """The entries below a folder whose names match `pattern` (`**` for any depth) and that hold the text `content`.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.search_async(path, pattern, content, limit))

    async def set_permissions_async(
        self,
        path: str,
        mode: str | None = None,
        owner: str | None = None,
        group: str | None = None,
        recursive: bool = False,
    ) -> dict[str, Any]:
        """Change mode (such as `755`), owner and group, as far as given; the entry as it is then.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        given = {"path": path, "mode": mode, "owner": owner, "group": group, "recursive": recursive}
        body = {name: value for name, value in given.items() if value is not None}
        return await self._api.ask("POST", "/filesystem/permissions", body=body, extension=PERMISSIONS)

    def set_permissions(
        self,
        path: str,
        mode: str | None = None,
        owner: str | None = None,
        group: str | None = None,
        recursive: bool = False,
    ) -> dict[str, Any]:
        """Change mode (such as `755`), owner and group, as far as given; the entry as it is then.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.set_permissions_async(path, mode, owner, group, recursive))

    async def watch_async(self, path: str, recursive: bool = True) -> Stream[FileEvent]:
        """Changes below a folder as they happen, from this moment on; close it, or use it as a context manager.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        query = {"path": path, "recursive": recursive}
        body = await self._api.open("GET", "/filesystem/watch", query=query, timeout=SILENCE_SECONDS, extension=WATCH)
        changes = _changes(self._api, body)
        await anext(changes)  # The first event says that from now on nothing is missed.
        return Stream(body, changes)

    def watch(self, path: str, recursive: bool = True) -> Stream[FileEvent]:
        """Changes below a folder as they happen, from this moment on; close it, or use it as a context manager.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.watch_async(path, recursive))


async def _changes(calls: SandboxCalls, body: ByteStream) -> AsyncIterator[FileEvent]:
    async with aclosing(calls.entries(body, lambda _: False)) as entries:
        async for entry in entries:
            yield FileEvent.from_wire(entry)
