"""AgentScope 2's own workspace in our sandboxes: its tools, its files, its skills and its MCP servers."""

from __future__ import annotations

import json
import site
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from agentscope.agent import Agent, InjectionConfig
from agentscope.mcp import MCPClient, StdioMCPConfig
from agentscope.message import TextBlock, ToolCallBlock, ToolResultBlock, ToolResultState, UserMsg
from agentscope.permission import PermissionContext, PermissionMode
from agentscope.state import AgentState
from agentscope.tool import Toolkit

from agentrun import Sandbox, TemplateType
from agentrun.errors import ResourceNotExistError, SandboxTerminatedError
from agentrun.integration.agentscope import model
from agentrun.integration.agentscope_workspace import AgentRunWorkspace
from agentrun.sandbox.options import Mount
from integrations.scenario.platform import UNITS, Names, sandboxes_alive

# Nothing is installed from an index here: sandboxes see the packages of this environment, and start Python with them.
PACKAGES = "/opt/agentscope"
BOOTSTRAP = [
    "mkdir -p $HOME/.agentscope/.venv/bin",
    f"printf '#!/bin/sh\\nPYTHONPATH={PACKAGES} exec python3 \"$@\"\\n' > $HOME/.agentscope/.venv/bin/python",
    "chmod +x $HOME/.agentscope/.venv/bin/python",
]


@pytest_asyncio.fixture
async def workspace(names: Names) -> AsyncIterator[AgentRunWorkspace]:
    async with AgentRunWorkspace(names.sandboxes) as made:
        yield made


def units() -> MCPClient:
    config = StdioMCPConfig(command="python3", args=["-c", UNITS.read_text()])
    return MCPClient(name="units", is_stateful=True, mcp_config=config)


async def call(workspace: AgentRunWorkspace, name: str, **arguments: Any) -> tuple[ToolResultState, str]:
    """What AgentScope's toolkit makes of a call."""
    toolkit = Toolkit(tools=await workspace.list_tools(), mcps=await workspace.list_mcps())
    block = ToolCallBlock(id="1", name=name, input=json.dumps(arguments))
    *_, response = [chunk async for chunk in toolkit.call_tool(block, AgentState())]
    return response.state, "".join(part.text for part in response.content if isinstance(part, TextBlock))


@pytest.mark.asyncio
async def test_an_agent_works_in_the_workspace(names: Names, workspace: AgentRunWorkspace) -> None:
    agent = Agent(
        "Clerk",
        await workspace.get_instructions(),
        model(names.model),
        toolkit=Toolkit(tools=await workspace.list_tools()),
        state=AgentState(permission_context=PermissionContext(mode=PermissionMode.BYPASS)),
        injection_config=InjectionConfig(inject_runtime_state=False),
        offloader=workspace,
    )
    answer = await agent.reply(UserMsg("user", "Bash: pwd; echo one > a.txt; cat missing.txt"))
    text = answer.get_text_content() or ""
    assert "/home/user/workspace" in text
    assert "No such file" in text
    assert await workspace.get_backend().read_file(f"{workspace.workdir}/a.txt") == b"one\n"
    assert len(sandboxes_alive()) == 1


@pytest.mark.asyncio
async def test_files_are_written_read_changed_and_found(workspace: AgentRunWorkspace) -> None:
    path = f"{workspace.workdir}/notes/a.txt"
    assert (await call(workspace, "Write", file_path=path, content="# Today\nrain\n"))[0] == "success"
    state = AgentState()
    toolkit = Toolkit(tools=await workspace.list_tools())
    for name, arguments in (
        ("Read", f'{{"file_path": "{path}"}}'),
        ("Edit", f'{{"file_path": "{path}", "old_string": "rain", "new_string": "sun"}}'),
    ):
        *_, response = [
            chunk async for chunk in toolkit.call_tool(ToolCallBlock(id="1", name=name, input=arguments), state)
        ]
        assert response.state == "success"
    assert await workspace.get_backend().read_file(path) == b"# Today\nsun\n"
    assert path in (await call(workspace, "Glob", pattern="**/*.txt", path=workspace.workdir))[1]


@pytest.mark.asyncio
async def test_bytes_folders_and_times_that_are_over(workspace: AgentRunWorkspace) -> None:
    backend = workspace.get_backend()
    await backend.write_file(f"{workspace.workdir}/b/c.bin", bytes(range(256)))
    assert await backend.read_file(f"{workspace.workdir}/b/c.bin") == bytes(range(256))
    assert [(entry.name, entry.size_bytes) for entry in await backend.scandir(f"{workspace.workdir}/b")] == [
        ("c.bin", 256)
    ]
    assert await backend.expanduser("~/x") == "/home/user/x"
    odd = await backend.exec_shell(["printf", "%s", "a 'b' $c\n"])
    assert (odd.exit_code, odd.stdout) == (0, b"a 'b' $c\n")
    await backend.delete_path(f"{workspace.workdir}/b")
    with pytest.raises(FileNotFoundError):
        await backend.read_file(f"{workspace.workdir}/b/c.bin")
    state, text = await call(workspace, "Bash", command="sleep 60", timeout=1000)
    assert state == "error"
    assert "timed out after 1000ms" in text


@pytest.mark.asyncio
async def test_grep_is_offered_where_the_sandbox_has_what_it_works_by(workspace: AgentRunWorkspace) -> None:
    assert [tool.name for tool in await workspace.list_tools()] == ["Bash", "Edit", "Glob", "Read", "Write"]
    backend = workspace.get_backend()
    await backend.write_file("/home/user/.local/bin/rg", b"#!/bin/sh\necho found\n")
    await backend.exec_shell(["chmod", "+x", "/home/user/.local/bin/rg"])
    workspace._backend = type(backend)(workspace.sandbox, workspace.workdir, {"PATH": "/home/user/.local/bin:/bin"})
    assert "Grep" in [tool.name for tool in await workspace.list_tools()]


@pytest.mark.asyncio
async def test_skills_are_in_the_sandbox(names: Names, tmp_path: Path) -> None:
    skill = tmp_path / "greeting"
    skill.mkdir()
    (skill / "SKILL.md").write_text("---\nname: greeting\ndescription: How to greet.\n---\nSay hello.\n")
    async with AgentRunWorkspace(names.sandboxes, skill_paths=[str(skill)]) as workspace:
        (found,) = await workspace.list_skills()
        assert (found.name, found.description) == ("greeting", "How to greet.")
        assert b"Say hello." in await workspace.get_backend().read_file(f"{found.dir}/SKILL.md")


@pytest.mark.asyncio
async def test_context_that_is_too_long_is_put_into_the_sandbox(workspace: AgentRunWorkspace) -> None:
    result = ToolResultBlock(id="1", name="Bash", output="a long story")
    path = await workspace.offload_tool_result("chat", result)
    assert b"a long story" in await workspace.get_backend().read_file(path)
    path = await workspace.offload_context("chat", [UserMsg("user", "Once upon a time")])
    assert b"Once upon a time" in await workspace.get_backend().read_file(path)


@pytest.mark.asyncio
async def test_an_mcp_server_runs_in_the_sandbox(names: Names) -> None:
    options: dict[str, Any] = {"mounts": [Mount(source=site.getsitepackages()[0], target=PACKAGES)]}
    async with AgentRunWorkspace(names.sandboxes, bootstrap=BOOTSTRAP, default_mcps=[units()], **options) as workspace:
        gateway = ["pgrep", "-f", "[_]mcp_gateway_app"]
        assert not (await workspace.get_backend().exec_shell(gateway)).ok()
        (client,) = await workspace.list_mcps(agent_id="a", session_id="s")
        (tool,) = await client.list_tools()
        assert tool.input_schema["required"] == ["celsius"]
        toolkit = Toolkit(mcps=[client])
        block = ToolCallBlock(id="1", name="mcp__units__to_fahrenheit", input='{"celsius": 25}')
        *_, response = [chunk async for chunk in toolkit.call_tool(block, AgentState())]
        assert "77 degrees Fahrenheit" in str(response.content)
        running = await workspace.get_backend().exec_shell(["pgrep", "-fc", "celsiu[s]"])
        assert int(running.stdout) >= 1
        assert (await workspace.get_backend().exec_shell(gateway)).ok()
        await workspace.remove_mcp("units", agent_id="a", session_id="s")
        assert await workspace.list_mcps(agent_id="a", session_id="s") == []
        second = units().model_copy(update={"name": "second"})
        assert (await workspace.add_mcp(second, agent_id="a", session_id="s")).name == "second"


@pytest.mark.asyncio
async def test_a_gateway_that_cannot_be_installed_is_told(names: Names) -> None:
    async with AgentRunWorkspace(names.sandboxes, bootstrap=["echo no index >&2; false"]) as workspace:
        with pytest.raises(RuntimeError, match="no index"):
            await workspace.add_mcp(units())
        with pytest.raises(RuntimeError, match="no index"):
            await workspace.add_mcp(units())


@pytest.mark.asyncio
async def test_a_paused_workspace_goes_on_where_it_was(names: Names) -> None:
    workspace = AgentRunWorkspace(names.sandboxes, pause_on_close=True)
    async with workspace:
        assert workspace.sandbox is not None
        sandbox_id = workspace.sandbox.label
        await workspace.get_backend().write_file(f"{workspace.workdir}/kept.txt", b"kept")
    async with workspace:
        assert workspace.sandbox.label == sandbox_id
        assert await workspace.get_backend().read_file(f"{workspace.workdir}/kept.txt") == b"kept"
    Sandbox.delete_by_id(sandbox_id)


@pytest.mark.asyncio
async def test_a_sandbox_of_the_caller_stays(names: Names) -> None:
    sandbox = await Sandbox.create_async(TemplateType.CODE_INTERPRETER, names.sandboxes)
    async with AgentRunWorkspace(sandbox) as workspace:
        assert (await call(workspace, "Bash", command="echo hello"))[1].strip() == "hello"
    assert sandboxes_alive() == [sandbox.sandbox_id]
    await sandbox.delete_async()


@pytest.mark.asyncio
async def test_a_sandbox_that_died_is_told_and_never_replaced(workspace: AgentRunWorkspace) -> None:
    assert workspace.sandbox is not None
    tools = {tool.name: tool for tool in await workspace.list_tools()}
    await workspace.sandbox.delete_async()
    block = ToolCallBlock(id="1", name="Bash", input='{"command": "true"}')
    *_, response = [chunk async for chunk in Toolkit(tools=[tools["Bash"]]).call_tool(block, AgentState())]
    assert response.state == "error"
    assert workspace.sandbox.label in str(response.content)
    with pytest.raises(SandboxTerminatedError):
        await workspace.get_backend().exec_shell(["true"])
    assert sandboxes_alive() == []


@pytest.mark.asyncio
async def test_a_template_that_is_not_there_is_told() -> None:
    with pytest.raises(ResourceNotExistError):
        await AgentRunWorkspace("no-such-template").initialize()
