"""Sandboxes as workspaces: PydanticAI's own suite for them, and agents that work in one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pydantic_ai import Agent, RunContext
from pydantic_ai.workspaces import WorkspaceBackend, WorkspaceRef
from pydantic_ai.workspaces.conformance import WorkspaceBackendSuite

from agentrun import Sandbox
from agentrun.integration.pydantic_ai import model
from agentrun.integration.pydantic_ai_workspace import AgentRunWorkspace, SandboxWorkspace
from integrations.scenario.platform import Names, sandboxes_alive


class TestSandboxWorkspace(WorkspaceBackendSuite):
    """The framework's suite."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    async def backend(self, names: Names, anyio_backend: str) -> AsyncIterator[WorkspaceBackend]:
        async with SandboxWorkspace(names.sandboxes) as workspace:
            yield workspace

    @pytest.fixture
    async def fresh_backend(self, names: Names, anyio_backend: str) -> AsyncIterator[Callable[[], WorkspaceBackend]]:
        made: list[SandboxWorkspace] = []

        def make() -> WorkspaceBackend:
            made.append(SandboxWorkspace(names.sandboxes))
            return made[-1]

        yield make
        for workspace in made:
            await workspace.close_async()

    @pytest.fixture
    def attach_backend(self, names: Names) -> Callable[[WorkspaceRef], WorkspaceBackend]:
        return lambda ref: SandboxWorkspace(names.sandboxes, ref=ref)

    @pytest.fixture
    def destroy_environment(self) -> Callable[[WorkspaceBackend], Awaitable[None]]:
        async def destroy(backend: WorkspaceBackend) -> None:
            assert backend.ref is not None
            await Sandbox.delete_by_id_async(backend.ref.id)

        return destroy


@pytest.mark.asyncio
async def test_a_conversation_works_on_in_its_workspace(names: Names) -> None:
    agent = Agent(model(names.model), capabilities=[AgentRunWorkspace(names.sandboxes)])

    @agent.tool
    async def exec_command(ctx: RunContext[None], cmd: str) -> str:
        """Run a command in the workspace."""
        return (await ctx.workspace.run(cmd, shell=True)).stdout

    first = await agent.run("Type echo 42 > kept.txt; pwd")
    assert "/home/user" in first.output
    second = await agent.run("Type cat kept.txt", message_history=first.all_messages())
    assert "42" in second.output
    another = await agent.run("Type ls")
    assert "kept.txt" not in another.output
    assert len(sandboxes_alive()) == 2
    for sandbox_id in sandboxes_alive():
        Sandbox.delete_by_id(sandbox_id)
