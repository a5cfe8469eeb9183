"""The plain box: a session of Python and a shell."""

from __future__ import annotations

from agentrun._core.blocking import run
from agentrun.sandbox.boxes.box import Box
from agentrun.sandbox.boxes.results import Result


class BaseSandbox(Box):
    """A box with an IPython session and a shell, which share the workspace."""

    async def run_ipython_cell_async(self, code: str) -> Result:
        """Run a cell in the session, which keeps its variables: `stdout` with the last value, `stderr` if any."""
        return await self.call_tool_async("run_ipython_cell", {"code": code})

    def run_ipython_cell(self, code: str) -> Result:
        """Run a cell in the session, which keeps its variables: `stdout` with the last value, `stderr` if any."""
        return run(self.run_ipython_cell_async(code))

    async def run_shell_command_async(self, command: str) -> Result:
        """Run a shell command in the workspace: `stdout`, `stderr` if any, and `returncode`."""
        return await self.call_tool_async("run_shell_command", {"command": command})

    def run_shell_command(self, command: str) -> Result:
        """Run a shell command in the workspace: `stdout`, `stderr` if any, and `returncode`."""
        return run(self.run_shell_command_async(command))


class BaseSandboxAsync(Box):
    """The same box with methods that are awaited; use it with `async with`."""

    async def run_ipython_cell(self, code: str) -> Result:
        """Run a cell in the session, which keeps its variables: `stdout` with the last value, `stderr` if any."""
        return await self.call_tool_async("run_ipython_cell", {"code": code})

    async def run_shell_command(self, command: str) -> Result:
        """Run a shell command in the workspace: `stdout`, `stderr` if any, and `returncode`."""
        return await self.call_tool_async("run_shell_command", {"command": command})
