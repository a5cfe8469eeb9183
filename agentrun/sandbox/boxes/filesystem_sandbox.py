"""The box for files: eleven tools that work on the workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentrun._core.blocking import run
from agentrun.sandbox.boxes.base_sandbox import BaseSandbox, BaseSandboxAsync
from agentrun.sandbox.boxes.box import Box
from agentrun.sandbox.boxes.filesystem_tools import FilesystemTools
from agentrun.sandbox.boxes.results import Result
from agentrun.sandbox.toolset.tool import SandboxTool

FILESYSTEM = "filesystem"


class _FilesystemBox(Box):
    """A box that has the eleven tools too."""

    sandbox_type = FILESYSTEM

    def _groups(self) -> dict[str, list[SandboxTool]]:
        return {**super()._groups(), FILESYSTEM: FilesystemTools(self.sandbox).tools()}


class FilesystemSandbox(_FilesystemBox, BaseSandbox):
    """A box whose tools also read, write, edit, move and find files of the workspace."""

    async def read_file_async(self, path: str) -> Result:
        """Read a text file."""
        return await self.call_tool_async("read_file", {"path": path})

    def read_file(self, path: str) -> Result:
        """Read a text file."""
        return run(self.read_file_async(path))

    async def read_multiple_files_async(self, paths: Sequence[str]) -> Result:
        """Read several text files; those that cannot be read do not keep back the others."""
        return await self.call_tool_async("read_multiple_files", {"paths": list(paths)})

    def read_multiple_files(self, paths: Sequence[str]) -> Result:
        """Read several text files; those that cannot be read do not keep back the others."""
        return run(self.read_multiple_files_async(paths))

    async def write_file_async(self, path: str, content: str) -> Result:
        """Write a text file, replacing what was there."""
        return await self.call_tool_async("write_file", {"path": path, "content": content})

    def write_file(self, path: str, content: str) -> Result:
        """Write a text file, replacing what was there."""
        return run(self.write_file_async(path, content))

    async def edit_file_async(self, path: str, edits: Sequence[Mapping[str, str]], dry_run: bool = False) -> Result:
        """Replace pieces of a text, each `{"oldText", "newText"}`; gives the difference. `dry_run` changes nothing."""
        return await self.call_tool_async("edit_file", {"path": path, "edits": list(edits), "dryRun": dry_run})

    def edit_file(self, path: str, edits: Sequence[Mapping[str, str]], dry_run: bool = False) -> Result:
        """Replace pieces of a text, each `{"oldText", "newText"}`; gives the difference. `dry_run` changes nothing."""
        return run(self.edit_file_async(path, edits, dry_run))

    async def create_directory_async(self, path: str) -> Result:
        """Make a folder; one that is there already is fine."""
        return await self.call_tool_async("create_directory", {"path": path})

    def create_directory(self, path: str) -> Result:
        """Make a folder; one that is there already is fine."""
        return run(self.create_directory_async(path))

    async def list_directory_async(self, path: str) -> Result:
        """The names in a folder, each with its kind."""
        return await self.call_tool_async("list_directory", {"path": path})

    def list_directory(self, path: str) -> Result:
        """The names in a folder, each with its kind."""
        return run(self.list_directory_async(path))

    async def directory_tree_async(self, path: str) -> Result:
        """Everything below a folder, as nested JSON."""
        return await self.call_tool_async("directory_tree", {"path": path})

    def directory_tree(self, path: str) -> Result:
        """Everything below a folder, as nested JSON."""
        return run(self.directory_tree_async(path))

    async def move_file_async(self, source: str, destination: str) -> Result:
        """Move or rename a file or a folder."""
        return await self.call_tool_async("move_file", {"source": source, "destination": destination})

    def move_file(self, source: str, destination: str) -> Result:
        """Move or rename a file or a folder."""
        return run(self.move_file_async(source, destination))

    async def search_files_async(self, path: str, pattern: str, exclude_patterns: Sequence[str] = ()) -> Result:
        """The paths whose names hold a text, or fit a pattern such as `*.py`."""
        return await self.call_tool_async(
            "search_files", {"path": path, "pattern": pattern, "excludePatterns": list(exclude_patterns)}
        )

    def search_files(self, path: str, pattern: str, exclude_patterns: Sequence[str] = ()) -> Result:
        """The paths whose names hold a text, or fit a pattern such as `*.py`."""
        return run(self.search_files_async(path, pattern, exclude_patterns))

    async def get_file_info_async(self, path: str) -> Result:
        """Type, size, permissions and time of one path."""
        return await self.call_tool_async("get_file_info", {"path": path})

    def get_file_info(self, path: str) -> Result:
        """Type, size, permissions and time of one path."""
        return run(self.get_file_info_async(path))

    async def list_allowed_directories_async(self) -> Result:
        """The folders that the tools reach: the workspace."""
        return await self.call_tool_async("list_allowed_directories")

    def list_allowed_directories(self) -> Result:
        """The folders that the tools reach: the workspace."""
        return run(self.list_allowed_directories_async())


class FilesystemSandboxAsync(_FilesystemBox, BaseSandboxAsync):
    """The same box with methods that are awaited; use it with `async with`."""

    async def read_file(self, path: str) -> Result:
        """Read a text file."""
        return await self.call_tool_async("read_file", {"path": path})

    async def read_multiple_files(self, paths: Sequence[str]) -> Result:
        """Read several text files; those that cannot be read do not keep back the others."""
        return await self.call_tool_async("read_multiple_files", {"paths": list(paths)})

    async def write_file(self, path: str, content: str) -> Result:
        """Write a text file, replacing what was there."""
        return await self.call_tool_async("write_file", {"path": path, "content": content})

    async def edit_file(self, path: str, edits: Sequence[Mapping[str, str]], dry_run: bool = False) -> Result:
        """Replace pieces of a text, each `{"oldText", "newText"}`; gives the difference. `dry_run` changes nothing."""
        return await self.call_tool_async("edit_file", {"path": path, "edits": list(edits), "dryRun": dry_run})

    async def create_directory(self, path: str) -> Result:
        """Make a folder; one that is there already is fine."""
        return await self.call_tool_async("create_directory", {"path": path})

    async def list_directory(self, path: str) -> Result:
        """The names in a folder, each with its kind."""
        return await self.call_tool_async("list_directory", {"path": path})

    async def directory_tree(self, path: str) -> Result:
        """Everything below a folder, as nested JSON."""
        return await self.call_tool_async("directory_tree", {"path": path})

    async def move_file(self, source: str, destination: str) -> Result:
        """Move or rename a file or a folder."""
        return await self.call_tool_async("move_file", {"source": source, "destination": destination})

    async def search_files(self, path: str, pattern: str, exclude_patterns: Sequence[str] = ()) -> Result:
        """The paths whose names hold a text, or fit a pattern such as `*.py`."""
        return await self.call_tool_async(
            "search_files", {"path": path, "pattern": pattern, "excludePatterns": list(exclude_patterns)}
        )

    async def get_file_info(self, path: str) -> Result:
        """Type, size, permissions and time of one path."""
        return await self.call_tool_async("get_file_info", {"path": path})

    async def list_allowed_directories(self) -> Result:
        """The folders that the tools reach: the workspace."""
        return await self.call_tool_async("list_allowed_directories")
