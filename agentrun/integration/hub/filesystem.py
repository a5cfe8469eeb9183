"""The files below one folder, as tools; nothing beside it can be reached."""

from __future__ import annotations

import fnmatch
import os
from typing import Annotated, Any

from pydantic import Field

from agentrun.errors import InvalidInputError, ToolError
from agentrun.integration._conversions import Filter, Modify
from agentrun.integration._folder import Folder
from agentrun.integration._function import tool
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet

MOST_BYTES = 1_000_000
MOST_ENTRIES = 1000
_DEEPEST = 20


class FilesystemToolSet(CommonToolSet):
    """Tools for the files below `root`; those that change something only when it is `writable`.

    Raises ConfigError when there is no such folder. Files of more than `most_bytes` are not read.
    """

    def __init__(self, root: str | os.PathLike[str], *, writable: bool = False, most_bytes: int = MOST_BYTES) -> None:
        super().__init__()
        self._folder = Folder(root)
        self._writable = writable
        self._most_bytes = most_bytes

    def tools(
        self,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> list[Tool]:
        """The tools, without those that change something unless that is allowed."""

        def is_offered(name: str) -> bool:
            allowed = self._writable or name not in WRITING
            return allowed and (filter_tools_by_name is None or filter_tools_by_name(name))

        return super().tools(prefix, modify_tool_name, is_offered)

    @tool
    def list_files(self, path: str = ".", depth: Annotated[int, Field(ge=1, le=_DEEPEST)] = 1) -> dict[str, Any]:
        """List what is in a folder.

        Args:
            path: The folder.
            depth: 1 for what is in it, 2 also for what is in the folders in it, and so on.
        """
        return _some(self._folder.list(path, depth), MOST_ENTRIES)

    @tool
    def read_file(
        self,
        path: str,
        start_line: Annotated[int, Field(ge=1)] = 1,
        lines: Annotated[int, Field(ge=1)] | None = None,
    ) -> dict[str, Any]:
        """Read a text file, the whole of it or some lines.

        Args:
            path: The file.
            start_line: The line to begin with; the first one is 1.
            lines: How many lines to read; all of them when it is left away.
        """
        every = self._text(path).splitlines(keepends=True)
        chosen = every[start_line - 1 :] if lines is None else every[start_line - 1 : start_line - 1 + lines]
        return {"path": path, "content": "".join(chosen), "start_line": start_line, "lines_in_file": len(every)}

    @tool
    def search_files(self, name: str = "*", text: str | None = None, path: str = ".") -> dict[str, Any]:
        """Find files by their names and by a text in them.

        Args:
            name: A pattern for names, such as *.py.
            text: Only files that hold this text, with the lines in which it is.
            path: The folder to search in.
        """
        files = (entry for entry in self._folder.list(path, _DEEPEST) if entry.kind == "file")
        named = (entry.path for entry in files if fnmatch.fnmatch(entry.path.rpartition("/")[2], name))
        if text is None:
            return _some(named, MOST_ENTRIES)
        return _some((hit for each in named for hit in self._hits(each, text)), MOST_ENTRIES)

    @tool
    def write_file(self, path: str, content: str, append: bool = False) -> dict[str, Any]:
        """Write a text file, with the folders that lead to it; what was in it is replaced.

        Args:
            path: The file.
            content: Its new content.
            append: Add to what is in it instead.
        """
        data = content.encode()
        self._folder.write(path, data, append=append)
        return {"path": path, "bytes_written": len(data)}

    @tool
    def edit_file(self, path: str, old_text: str, new_text: str) -> dict[str, Any]:
        """Replace a piece of a text file, which must be in it exactly once.

        Args:
            path: The file.
            old_text: The piece to replace, as it is in the file.
            new_text: What to put there instead.
        """
        content = self._text(path)
        times = content.count(old_text) if old_text else 0
        if times != 1:
            raise InvalidInputError(
                f"old_text is in {path} {times} times", field="old_text", hint="Give a piece that is in it exactly once"
            )
        self._folder.write(path, content.replace(old_text, new_text).encode())
        return {"path": path, "line": content[: content.index(old_text)].count("\n") + 1}

    @tool
    def delete_file(self, path: str) -> dict[str, Any]:
        """Delete a file, or a folder with nothing in it.

        Args:
            path: What to delete.
        """
        self._folder.delete(path)
        return {"path": path, "deleted": True}

    def _text(self, path: str) -> str:
        try:
            return self._folder.read(path, self._most_bytes).decode()
        except UnicodeDecodeError as error:
            raise ToolError(f"{path} is no text in UTF-8") from error

    def _hits(self, path: str, text: str) -> list[dict[str, Any]]:
        try:
            lines = self._text(path).splitlines()
        except ToolError:  # It is too large, or no text, so it does not hold what is looked for.
            return []
        return [{"path": path, "line": n, "text": line[:300]} for n, line in enumerate(lines, 1) if text in line]


WRITING = ("write_file", "edit_file", "delete_file")


def _some(found: Any, most: int) -> dict[str, Any]:
    listed: list[Any] = []
    for entry in found:
        if len(listed) == most:
            return {"found": listed, "cut": True}
        listed.append(entry._asdict() if hasattr(entry, "_asdict") else entry)
    return {"found": listed, "cut": False}


def toolset(root: str | os.PathLike[str], *, writable: bool = False, most_bytes: int = MOST_BYTES) -> FilesystemToolSet:
    """Tools for the files below `root`; those that change something only when it is `writable`."""
    return FilesystemToolSet(root, writable=writable, most_bytes=most_bytes)
