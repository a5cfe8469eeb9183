"""A code interpreter: a sandbox with contexts that run code, files, and processes."""

from __future__ import annotations

from pydantic import PrivateAttr

from agentrun.sandbox.contexts import ContextOperations
from agentrun.sandbox.data import CodeInterpreterDataAPI
from agentrun.sandbox.file_system import FileSystemOperations
from agentrun.sandbox.files import FileOperations
from agentrun.sandbox.model import TemplateType
from agentrun.sandbox.processes import ProcessOperations
from agentrun.sandbox.sandbox import Sandbox


class CodeInterpreterSandbox(Sandbox):
    """A sandbox that runs code: `context`, `file`, `file_system`, `process`."""

    type_of_template = TemplateType.CODE_INTERPRETER
    _context: ContextOperations | None = PrivateAttr(default=None)

    @property
    def data_api(self) -> CodeInterpreterDataAPI:
        """The calls that go to this sandbox."""
        return CodeInterpreterDataAPI(self.label, self._settings(None))

    @property
    def file(self) -> FileOperations:
        """The content of files, as a whole, in part or as a stream."""
        return FileOperations(self)

    @property
    def file_system(self) -> FileSystemOperations:
        """Folders, and files of any size on their way in and out."""
        return FileSystemOperations(self)

    @property
    def context(self) -> ContextOperations:
        """Contexts, and code that runs in them."""
        if self._context is None:
            self._context = ContextOperations(self)
        return self._context

    @property
    def process(self) -> ProcessOperations:
        """Shell commands, processes in the background, and terminals."""
        return ProcessOperations(self)
