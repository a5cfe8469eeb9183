"""Sandboxes as what runs the code that ADK's models write: `LlmAgent(code_executor=SandboxCodeExecutor("python"))`."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from pydantic import PrivateAttr

from agentrun._sandbox_tools.definitions import CODE_SECONDS
from agentrun.config import Config
from agentrun.errors import AgentRunError
from agentrun.integration._extra import framework
from agentrun.integration._interpreter import Interpreters
from agentrun.integration._outcome import error_text
from agentrun.integration._session import PerSession
from agentrun.integration.google_adk import session_of
from agentrun.sandbox.result import ExecutionResult

with framework("google_adk", "google"):
    from google.adk.agents.invocation_context import InvocationContext
    from google.adk.agents.readonly_context import ReadonlyContext
    from google.adk.code_executors import BaseCodeExecutor
    from google.adk.code_executors.code_execution_utils import CodeExecutionInput, CodeExecutionResult, File


class SandboxCodeExecutor(BaseCodeExecutor, PerSession):
    """Runs code in a sandbox made from a template, one for each session of ADK; variables stay from block to block.

    The options are those of ADK's executors: `timeout_seconds`, `error_retry_attempts`, `optimize_data_file`. Pictures
    that code shows become artifacts. Code that fails, and a sandbox that has ended, are told to the model.
    """

    stateful: bool = True
    _interpreters: Interpreters = PrivateAttr()

    def __init__(
        self,
        template_name: str,
        *,
        sandbox_idle_timeout_seconds: int = 600,
        config: Config | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._interpreters = Interpreters(
            template_name, sandbox_idle_timeout_seconds=sandbox_idle_timeout_seconds, config=config
        )

    def execute_code(
        self, invocation_context: InvocationContext, code_execution_input: CodeExecutionInput
    ) -> CodeExecutionResult:
        """Run code; ADK calls this in a thread."""
        session = session_of(ReadonlyContext(invocation_context))
        files = {file.name: _content(file) for file in code_execution_input.input_files}
        try:
            if files:
                self._interpreters.put(session, files)
            ran = self._interpreters.execute(
                session, code_execution_input.code, timeout=self.timeout_seconds or CODE_SECONDS
            )
        except AgentRunError as error:
            return CodeExecutionResult(stderr=error_text(error), exit_code=1)
        return _result(ran)

    async def close_session_async(self, session_id: str | None) -> None:
        """Delete the sandbox of a session, as `session_of` names it; calling it twice is allowed."""
        await self._interpreters.close_session_async(session_id)

    async def close_async(self) -> None:
        """Delete all sandboxes; calling it twice is allowed."""
        await self._interpreters.close_async()


def _content(file: File) -> bytes:
    """The bytes of a file, which ADK gives as they are or in base64."""
    if isinstance(file.content, bytes):
        return file.content
    try:
        return base64.b64decode(file.content, validate=True)
    except binascii.Error:
        return file.content.encode()


def _result(ran: ExecutionResult) -> CodeExecutionResult:
    shown = [result.png for result in ran.outputs if result.png]
    pictures = [File(f"picture_{number}.png", content, "image/png") for number, content in enumerate(shown, 1)]
    # Whatever is in `stderr` makes ADK call the code failed; a warning does not.
    printed = ran.stdout + (ran.text or "")
    if ran.error is None:
        return CodeExecutionResult(stdout=printed + ran.stderr, output_files=pictures, exit_code=0)
    told = ran.stderr + str(ran.error.get("traceback") or ran.error.get("text") or ran.error.get("value") or "")
    return CodeExecutionResult(stdout=printed, stderr=told, output_files=pictures, exit_code=1)
