"""Sandboxes as what runs the code of AutoGen's agents: `CodeExecutorAgent("a", SandboxCodeExecutor("python"))`.

AutoGen's `PythonCodeExecutionTool` takes it too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentrun.config import Config
from agentrun.errors import AgentRunError
from agentrun.integration._extra import framework
from agentrun.integration._interpreter import Interpreters
from agentrun.integration._outcome import error_text
from agentrun.integration.autogen import session_id
from agentrun.sandbox.result import ExecutionResult

with framework("autogen", "autogen_core"):
    from autogen_core import CancellationToken
    from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult

LANGUAGES = {
    "": "python",
    "py": "python",
    "python": "python",
    "python3": "python",
    "sh": "bash",
    "shell": "bash",
    "bash": "bash",
    "js": "javascript",
    "javascript": "javascript",
}
TIMED_OUT = 124  # As the shell's `timeout` has it.


class SandboxCodeExecutor(CodeExecutor):
    """Runs blocks of code in a sandbox made from a template, one for each team; variables stay from block to block.

    A block that fails is the last of its message; its exit code is 1, and 124 when it took more than `timeout` seconds.
    A sandbox that has ended is told in the same way. `stop`, or this as a context manager, deletes the sandboxes.
    """

    def __init__(
        self,
        template_name: str,
        *,
        timeout: int = 60,
        sandbox_idle_timeout_seconds: int = 600,
        config: Config | None = None,
    ) -> None:
        self._timeout = timeout
        self._interpreters = Interpreters(
            template_name, sandbox_idle_timeout_seconds=sandbox_idle_timeout_seconds, config=config
        )

    async def execute_code_blocks(
        self, code_blocks: Sequence[CodeBlock], cancellation_token: CancellationToken
    ) -> CodeResult:
        """Run blocks of code, one after the other; what they print together."""
        printed = ""
        for block in code_blocks:
            running = asyncio.ensure_future(self._run(block))
            cancellation_token.link_future(running)
            done = await running
            printed += done.output
            if done.exit_code:
                return CodeResult(done.exit_code, printed)
        return CodeResult(0, printed)

    async def start(self) -> None:
        """Nothing: a sandbox is made when code is first run."""

    async def stop(self) -> None:
        """Delete the sandboxes; calling it twice is allowed."""
        await self._interpreters.close_async()

    async def restart(self) -> None:
        """Delete the sandboxes; code that runs next gets a new one."""
        await self.stop()

    async def _run(self, block: CodeBlock) -> CodeResult:
        language = LANGUAGES.get(block.language.lower())
        if language is None:
            known = ", ".join(filter(None, LANGUAGES))
            return CodeResult(1, f"code in {block.language} cannot be run here; there are {known}\n")
        try:
            return _result(await self._interpreters.execute_async(session_id(), block.code, language, self._timeout))
        except AgentRunError as error:
            return CodeResult(1, f"{error_text(error)}\n")


def _result(ran: ExecutionResult) -> CodeResult:
    printed = ran.stdout + ran.stderr + (f"{ran.text}\n" if ran.text else "")
    if ran.error is None:
        return CodeResult(0, printed)
    told = ran.error.get("traceback") or ran.error.get("text") or ran.error.get("value") or ""
    return CodeResult(TIMED_OUT if ran.error["type"] == "timeout" else 1, f"{printed}{told}\n")
