"""The SDK's own sandbox agents, in sandboxes of the platform."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from agents import RunConfig, Runner
from agents.sandbox import (
    ExecTimeoutError,
    ExecTransportError,
    LocalSnapshotSpec,
    Manifest,
    SandboxAgent,
    SandboxRunConfig,
    WorkspaceArchiveReadError,
    WorkspaceArchiveWriteError,
    WorkspaceReadNotFoundError,
)
from agents.sandbox.capabilities import Filesystem, Shell
from agents.sandbox.entries import File
from agents.sandbox.errors import WorkspaceStartError
from agents.sandbox.session import SandboxSession
from agents.testing import ScriptedModel, assistant_message, function_call

from agentrun import Sandbox
from agentrun.errors import ResourceNotExistError
from agentrun.integration.openai_agents import model
from agentrun.integration.openai_agents_sandbox import AgentRunSandboxClient, AgentRunSandboxClientOptions
from integrations.scenario.platform import Names, sandboxes_alive

NOTES = Manifest(entries={"notes/today.md": File(content=b"# Today\nrain\n")})


@pytest_asyncio.fixture
async def session(names: Names) -> AsyncIterator[SandboxSession]:
    options = AgentRunSandboxClientOptions(names.sandboxes)
    async with await AgentRunSandboxClient().create(manifest=NOTES, options=options) as made:
        yield made


def settings(names: Names, **more: Any) -> RunConfig:
    options = AgentRunSandboxClientOptions(names.sandboxes, **more)
    return RunConfig(sandbox=SandboxRunConfig(client=AgentRunSandboxClient(), options=options))


@pytest.mark.asyncio
async def test_a_sandbox_agent_works_in_a_sandbox_which_ends_with_the_run(names: Names) -> None:
    agent = SandboxAgent(
        "Clerk", model=model(names.model), default_manifest=NOTES, capabilities=[Shell()], instructions="Be brief."
    )
    result = await Runner.run(
        agent, "Type pwd; cat notes/today.md | wc -l; id -un >&2; exit 3", run_config=settings(names)
    )
    assert "/home/user/workspace\n2\nuser" in result.final_output
    assert "code 3" in result.final_output
    assert sandboxes_alive() == []


@pytest.mark.asyncio
async def test_a_sandbox_agent_streams(names: Names) -> None:
    agent = SandboxAgent("Clerk", model=model(names.model), capabilities=[Shell()])
    run = Runner.run_streamed(agent, "Type echo $((6 * 7))", run_config=settings(names))
    kinds = [event.type async for event in run.stream_events()]
    assert "42" in run.final_output
    assert {"raw_response_event", "run_item_stream_event"} <= set(kinds)
    assert sandboxes_alive() == []


@pytest.mark.asyncio
async def test_an_agent_patches_files_and_goes_on_after_an_error(names: Names) -> None:
    patch = "*** Begin Patch\n*** Update File: notes/today.md\n@@\n # Today\n-rain\n+sun\n*** End Patch\n"
    scripted = ScriptedModel(
        [
            [function_call("exec_command", {"cmd": "cat missing.md"}, call_id="1")],
            [{"type": "custom_tool_call", "call_id": "2", "name": "apply_patch", "input": patch, "id": "c2"}],
            [function_call("exec_command", {"cmd": "cat notes/today.md"}, call_id="3")],
            [assistant_message("done")],
        ]
    )
    agent = SandboxAgent("Clerk", model=scripted, default_manifest=NOTES, capabilities=[Shell(), Filesystem()])
    result = await Runner.run(agent, "It is sunny.", run_config=settings(names))
    outputs = [str(item.output) for item in result.new_items if item.type == "tool_call_output_item"]
    assert "No such file" in outputs[0]
    assert "# Today\nsun" in outputs[2]


@pytest.mark.asyncio
async def test_files_folders_and_commands(session: SandboxSession) -> None:
    await session.write(Path("a/b.bin"), io.BytesIO(bytes(range(256))))
    assert (await session.read(Path("a/b.bin"))).read() == bytes(range(256))
    assert [Path(entry.path).name for entry in await session.ls("a")] == ["b.bin"]
    await session.mv("a/b.bin", "c.bin")
    assert (await session.exec("wc -c < c.bin")).stdout == b"256\n"
    await session.rm("a", recursive=True)
    with pytest.raises(WorkspaceReadNotFoundError):
        await session.read(Path("a/b.bin"))
    with pytest.raises(ExecTimeoutError):
        await session.exec("sleep 60", timeout=1)
    odd = await session.exec("printf", "%s", "a 'b' $c\n", shell=False)
    assert odd.stdout == b"a 'b' $c\n"


@pytest.mark.asyncio
async def test_the_environment_of_a_manifest_is_that_of_commands(names: Names) -> None:
    manifest = Manifest(environment={"value": {"COLOUR": "blue"}})
    options = AgentRunSandboxClientOptions(names.sandboxes)
    async with await AgentRunSandboxClient().create(manifest=manifest, options=options) as session:
        assert (await session.exec("echo $COLOUR")).stdout == b"blue\n"


@pytest.mark.asyncio
async def test_a_snapshot_is_restored_in_a_new_sandbox(names: Names, tmp_path: Path) -> None:
    client, options = AgentRunSandboxClient(), AgentRunSandboxClientOptions(names.sandboxes)
    first = await client.create(manifest=NOTES, options=options, snapshot=LocalSnapshotSpec(base_path=tmp_path))
    async with first:
        await first.write(Path("kept.txt"), io.BytesIO(b"kept"))
    saved = client.serialize_session_state(first.state)
    assert sandboxes_alive() == []
    async with await client.resume(client.deserialize_session_state(saved)) as second:
        assert (await second.read(Path("kept.txt"))).read() == b"kept"
        assert second.state.sandbox_id != first.state.sandbox_id


@pytest.mark.asyncio
async def test_a_paused_sandbox_goes_on_where_it_was(names: Names) -> None:
    client = AgentRunSandboxClient()
    options = AgentRunSandboxClientOptions(names.sandboxes, pause_on_exit=True)
    async with await client.create(options=options) as first:
        await first.write(Path("kept.txt"), io.BytesIO(b"kept"))
    resumed = await client.resume(client.deserialize_session_state(client.serialize_session_state(first.state)))
    async with resumed:
        assert (await resumed.read(Path("kept.txt"))).read() == b"kept"
        assert resumed.state.sandbox_id == first.state.sandbox_id
    Sandbox.delete_by_id(first.state.sandbox_id)


@pytest.mark.asyncio
async def test_a_sandbox_that_died_is_told_and_never_replaced(names: Names, session: SandboxSession) -> None:
    Sandbox.delete_by_id(session.state.sandbox_id)
    assert not await session.running()
    with pytest.raises(ExecTransportError, match=session.state.sandbox_id) as failed:
        await session.exec("true")
    assert failed.value.retryable is False
    with pytest.raises(WorkspaceArchiveReadError):
        await session.read(Path("notes/today.md"))
    with pytest.raises(WorkspaceStartError, match="begin a new session"):
        await AgentRunSandboxClient().resume(session.state)


@pytest.mark.asyncio
async def test_an_archive_that_would_write_elsewhere_is_refused(session: SandboxSession) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../outside.txt"), io.BytesIO(b""))
    with pytest.raises(WorkspaceArchiveWriteError):
        await session.hydrate_workspace(io.BytesIO(archive.getvalue()))


@pytest.mark.asyncio
async def test_a_template_that_is_not_there_is_told() -> None:
    with pytest.raises(ResourceNotExistError):
        await AgentRunSandboxClient().create(options=AgentRunSandboxClientOptions("no-such-template"))
