"""The eleven tools that work on the files of a box's workspace; each gives a text."""

from __future__ import annotations

import fnmatch
import json
import posixpath
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentrun._core.blocking import gather
from agentrun._sandbox_tools.schema import Parameter, object_schema, optional, required
from agentrun.errors import AgentRunError
from agentrun.sandbox.boxes.edits import difference, edited
from agentrun.sandbox.boxes.results import Result, result, text
from agentrun.sandbox.boxes.workspace import WORKSPACE, WorkspaceFiles, real, shown
from agentrun.sandbox.toolset.tool import SandboxTool, is_for_the_caller

if TYPE_CHECKING:
    from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox

BETWEEN_FILES = "\n---\n"
_GLOB = set("*?[")


class FilesystemTools:
    """The tools over the files of one workspace."""

    def __init__(self, sandbox: CodeInterpreterSandbox) -> None:
        self._sandbox = sandbox
        self._files = WorkspaceFiles(sandbox)

    def tools(self) -> list[SandboxTool]:
        """All of them, by name, description and arguments."""
        texts = {"type": "string"}
        return [
            _tool("read_file", self.read_file, "Read a text file.", _PATH),
            _tool(
                "read_multiple_files",
                self.read_multiple_files,
                "Read several text files. One that cannot be read does not keep back the others.",
                required("paths", "array", "The files' paths.", texts),
            ),
            _tool("write_file", self.write_file, "Write a text file, replacing what was there.", _PATH, _CONTENT),
            _tool(
                "edit_file",
                self.edit_file,
                "Replace pieces of a text file, and return the difference.",
                _PATH,
                required("edits", "array", "What to replace by what, in this order.", _EDIT),
                optional("dryRun", "boolean", "Whether to return the difference only.", False),
            ),
            _tool("create_directory", self.create_directory, "Make a folder; one that is there is fine.", _PATH),
            _tool("list_directory", self.list_directory, "List a folder.", _PATH),
            _tool("directory_tree", self.directory_tree, "Everything below a folder, as JSON.", _PATH),
            _tool("move_file", self.move_file, "Move or rename a file or a folder.", _SOURCE, _DESTINATION),
            _tool(
                "search_files",
                self.search_files,
                "Find what has a text in its name, or fits a pattern such as *.py or src/**/*.md.",
                _PATH,
                required("pattern", "string", "The text or the pattern."),
                optional("excludePatterns", "array", "Patterns of names and paths to leave out.", None, texts),
            ),
            _tool("get_file_info", self.get_file_info, "Type, size, permissions and time of one path.", _PATH),
            _tool("list_allowed_directories", self.list_allowed_directories, "The folders that can be reached."),
        ]

    async def read_file(self, path: str) -> str:
        """The text of a file."""
        return await self._files.read_async(path)

    async def read_multiple_files(self, paths: Sequence[str]) -> Result:
        """The texts of several files; an error only when none could be read."""
        read = await gather([self._read_or_error(path) for path in paths])
        failed = bool(read) and all(is_error for _, is_error in read)
        return result([text(BETWEEN_FILES.join(content for content, _ in read))], is_error=failed)

    async def _read_or_error(self, path: str) -> tuple[str, bool]:
        try:
            return f"{path}:\n{await self.read_file(path)}\n", False
        except AgentRunError as error:
            if not is_for_the_caller(error):
                raise
            return f"{path}: Error - {error.message}", True

    async def write_file(self, path: str, content: str) -> str:
        """Write a text."""
        await self._files.write_async(path, content)
        return f"Wrote {path}"

    async def edit_file(self, path: str, edits: Sequence[Mapping[str, str]], dryRun: bool = False) -> str:
        """Replace pieces of a text."""
        before = await self._files.read_async(path)
        after = edited(before, edits)
        if not dryRun and after != before:
            # Without a mode the file keeps the one it has.
            await self._sandbox.data_api.write_file_async(real(path), after, mode=None)
        return f"```diff\n{difference(shown(path), before, after)}```\n"

    async def create_directory(self, path: str) -> str:
        """Make a folder."""
        return f"Created {path}" if await self._files.mkdir_async(path) else f"{path} is there already"

    async def list_directory(self, path: str) -> str:
        """The names in a folder, each with its kind."""
        return "\n".join(f"[{_kind(entry)}] {entry['name']}" for entry in await self._files.list_async(path))

    async def directory_tree(self, path: str) -> str:
        """Everything below a folder as nested JSON."""
        root: list[dict[str, Any]] = []
        folders = {shown(path): root}
        for entry in await self._files.list_async(path, None):
            node: dict[str, Any] = {"name": entry["name"], "type": "directory" if entry["type"] == "dir" else "file"}
            if entry["type"] == "dir":
                node["children"] = folders[entry["path"]] = []
            folders.get(posixpath.dirname(entry["path"]), root).append(node)
        return json.dumps(root, indent=2, ensure_ascii=False)

    async def move_file(self, source: str, destination: str) -> str:
        """Move a file or a folder."""
        await self._files.move_async(source, destination)
        return f"Moved {source} to {destination}"

    async def search_files(self, path: str, pattern: str, excludePatterns: Sequence[str] = ()) -> str:
        """The paths that match, each on a line."""
        top = f"{shown(path)}/"
        found = [entry["path"] for entry in await self._files.list_async(path, None)]
        below = [each.removeprefix(top) for each in found]
        kept = [each for each in below if _matches(each, pattern) and not _is_excluded(each, excludePatterns)]
        return "\n".join(top + each for each in kept) or "No matches found"

    async def get_file_info(self, path: str) -> str:
        """What is known of a path, each fact on a line."""
        facts = await self._sandbox.file_system.stat_async(real(path)) | {"path": shown(path)}
        return "\n".join(f"{name}: {value}" for name, value in facts.items())

    async def list_allowed_directories(self) -> str:
        """The workspace."""
        return f"Allowed directories:\n{WORKSPACE}"


def _tool(name: str, run: Callable[..., Awaitable[str | Result]], description: str, *takes: Parameter) -> SandboxTool:
    async def perform(arguments: dict[str, Any]) -> Result:
        answer = await run(**arguments)
        return result([text(answer)]) if isinstance(answer, str) else answer

    return SandboxTool(name, description, object_schema(*takes), perform)


def _kind(entry: Mapping[str, Any]) -> str:
    return "DIR" if entry["type"] == "dir" else "FILE"


def _matches(path: str, pattern: str) -> bool:
    """Whether a path below the folder is meant: by its name, or as a whole when the pattern has a `/`."""
    if not _GLOB & set(pattern):
        return pattern.lower() in posixpath.basename(path).lower()
    return _fits(path, pattern)


def _fits(path: str, pattern: str) -> bool:
    if "/" not in pattern:
        return fnmatch.fnmatchcase(posixpath.basename(path), pattern)
    # `**/` stands for any folders, also for none.
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path, pattern.replace("**/", ""))


def _is_excluded(path: str, patterns: Sequence[str]) -> bool:
    """Whether the path, or a folder on its way, is to be left out."""
    parts = path.split("/")
    ways = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return any(_fits(way, pattern) for way in ways for pattern in patterns)


_PATH = required("path", "string", "A path below /workspace.")
_CONTENT = required("content", "string", "The whole text.")
_SOURCE = required("source", "string", "The path it has.")
_DESTINATION = required("destination", "string", "The path it is to have.")
_EDIT = object_schema(
    required("oldText", "string", "The text to replace, exactly as it stands in the file."),
    required("newText", "string", "The text to put there."),
)
