"""Code in sandboxes, for the frameworks that run code themselves: each session has variables of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from agentrun._core.blocking import run
from agentrun._sandbox_tools.definitions import CODE_SECONDS, HOME, PYTHON
from agentrun.integration._session import PerSession
from agentrun.integration.builtin.sandbox import SessionSandboxes
from agentrun.sandbox.toolset import SandboxToolSet
from agentrun.sandbox.toolset.once import Once

if TYPE_CHECKING:
    from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox
    from agentrun.sandbox.contexts import ContextOperations
    from agentrun.sandbox.result import ExecutionResult


class Interpreters(PerSession):
    """A sandbox for each session, made from a template when code is first run, and in it a context per language."""

    def __init__(self, template_name: str, **options: Any) -> None:
        self._sandboxes = SessionSandboxes(partial(SandboxToolSet.of_template, template_name, **options))
        self._contexts: dict[tuple[str, str], Once[ContextOperations]] = {}
        self._lock = threading.Lock()

    async def execute_async(
        self, session_id: str | None, code: str, language: str = PYTHON, timeout: int = CODE_SECONDS
    ) -> ExecutionResult:
        """Run code where the session's variables are; raises SandboxTerminatedError when its sandbox has ended."""

        async def act(sandbox: CodeInterpreterSandbox) -> ExecutionResult:
            context = await self._context(sandbox, language).get()
            return await context.execute_async(code, timeout=timeout)

        return await self._sandboxes.of_session(session_id).use_async(act)

    def execute(
        self, session_id: str | None, code: str, language: str = PYTHON, timeout: int = CODE_SECONDS
    ) -> ExecutionResult:
        """Run code where the session's variables are; raises SandboxTerminatedError when its sandbox has ended."""
        return run(self.execute_async(session_id, code, language, timeout))

    async def put_async(self, session_id: str | None, files: Mapping[str, bytes]) -> None:
        """Write files, by their names, to the folder in which code begins."""

        async def act(sandbox: CodeInterpreterSandbox) -> None:
            for name, content in files.items():
                await sandbox.file.write_bytes_async(f"{HOME}/{name}", content)

        await self._sandboxes.of_session(session_id).use_async(act)

    def put(self, session_id: str | None, files: Mapping[str, bytes]) -> None:
        """Write files, by their names, to the folder in which code begins."""
        run(self.put_async(session_id, files))

    async def close_session_async(self, session_id: str | None) -> None:
        """Delete a session's sandbox, because the session is over; calling it twice is allowed."""
        await self._sandboxes.close_session_async(session_id)

    async def close_async(self) -> None:
        """Delete all sandboxes; calling it twice is allowed."""
        await self._sandboxes.close_async()

    def _context(self, sandbox: CodeInterpreterSandbox, language: str) -> Once[ContextOperations]:
        make = partial(sandbox.context.create_async, language)
        with self._lock:
            return self._contexts.setdefault((sandbox.label, language), Once(make, "the context"))
