"""The life of a sandbox, its network, mounts and metadata on the local platform, in both modes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from agentrun import (
    AgentRunError,
    CodeInterpreterSandbox,
    Config,
    Executed,
    Mount,
    NetworkPolicy,
    ResourceNotExistError,
    Sandbox,
    SandboxTerminatedError,
    TemplateType,
)
from agentrun.emulator import Emulator
from tests.resources.modes import Mode
from tests.resources.sandboxes import TEMPLATE, account, created

KIND = TemplateType.CODE_INTERPRETER


@pytest.fixture(scope="module")
def config(emulator: Emulator) -> Iterator[Config]:
    with account(emulator) as settings:
        yield settings


@pytest.fixture(scope="module")
def sandbox(config: Config) -> CodeInterpreterSandbox:
    return created(config)


# Facts about it


def test_what_a_sandbox_tells_of_itself(call: Mode, sandbox: CodeInterpreterSandbox) -> None:
    call(sandbox, "get")
    assert sandbox.health == "ready"
    assert sandbox.isolation
    assert sandbox.isolation.level
    assert {"pause", "fork", "ports"} <= call(sandbox, "capabilities")


def test_a_paused_sandbox_wakes_when_it_is_called(call: Mode, sandbox: CodeInterpreterSandbox) -> None:
    with sandbox.context.create() as context:
        context.execute("x = 1")
        assert call(sandbox, "pause").status == "PAUSED"
        assert call(sandbox, "get").health == "paused"
        assert sandbox.paused_at
        assert call(context, "execute", "x").text == "1"
    assert call(sandbox, "get").health == "ready"


# Metadata and creation


def test_metadata_finds_sandboxes_again(call: Mode, config: Config) -> None:
    held = call(Sandbox, "create", KIND, TEMPLATE, config=config, metadata={"user": f"ada-{call.name}", "x": "1"})
    assert held.metadata == {"user": f"ada-{call.name}", "x": "1"}
    assert call(held, "set_metadata", {"x": None, "y": "2"}).metadata == {"user": f"ada-{call.name}", "y": "2"}
    found = call(Sandbox, "list", metadata={"user": f"ada-{call.name}", "y": "2"}, config=config).sandboxes
    assert [each.sandbox_id for each in found] == [held.sandbox_id]
    assert call(Sandbox, "list", metadata={"user": "nobody"}, config=config).sandboxes == []
    held.delete()


def test_creating_twice_with_one_token_gives_one_sandbox(call: Mode, config: Config) -> None:
    options = {"config": config, "client_token": f"token-{call.name}"}
    first, second = (call(Sandbox, "create", KIND, TEMPLATE, **options) for _ in range(2))
    assert first.sandbox_id == second.sandbox_id
    with pytest.raises(AgentRunError, match="token"):
        call(Sandbox, "create", KIND, TEMPLATE, timeout_seconds=5, **options)
    first.delete()


def test_one_sandbox_for_a_key(call: Mode, config: Config) -> None:
    key = f"user-{call.name}"
    first = call(Sandbox, "acquire", key, TEMPLATE, config=config)
    assert (type(first), first.acquired) == (CodeInterpreterSandbox, "created")
    again = call(Sandbox, "acquire", key, TEMPLATE, KIND, config=config)
    assert (again.sandbox_id, again.acquired) == (first.sandbox_id, "reused")
    first.pause()
    assert call(Sandbox, "acquire", key, TEMPLATE, config=config).acquired == "resumed"
    first.delete()
    fresh = call(Sandbox, "acquire", key, TEMPLATE, config=config)
    assert fresh.acquired == "created"
    fresh.delete()


def test_a_level_that_cannot_be_reached(call: Mode, config: Config) -> None:
    with pytest.raises(AgentRunError, match="gvisor"):
        call(Sandbox, "create", KIND, TEMPLATE, config=config, isolation_level="gvisor")


# Its end


def test_a_sandbox_lives_as_long_as_it_may(call: Mode, config: Config) -> None:
    held = call(Sandbox, "create", KIND, TEMPLATE, config=config, timeout_seconds=60)
    before = held.get().expires_at
    assert before
    assert call(held, "set_timeout", 0.2).expires_at < before
    deadline = time.monotonic() + 5
    while held.get().status == "READY":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert held.end_reason
    assert held.health == "dead"
    with pytest.raises(SandboxTerminatedError) as caught:
        call(held.context, "execute", "1")
    assert caught.value.executed is Executed.NO
    held.delete()


def test_an_idle_time_of_its_own(call: Mode, config: Config) -> None:
    held = created(config)
    assert call(held, "set_timeout", idle_seconds=77).sandbox_idle_timeout_seconds == 77
    held.delete()


def test_closing_twice(call: Mode, config: Config) -> None:
    held = created(config)
    for verb in ("stop", "stop", "delete", "delete", "close", "stop"):
        call(held, verb)
    assert held.status == "TERMINATED"
    with pytest.raises(ResourceNotExistError):
        call(Sandbox, "delete_by_id", held.sandbox_id, config)


def test_closing_inside_a_block(config: Config) -> None:
    with created(config) as held:
        held.close()
        held.delete()


@pytest.mark.asyncio
async def test_a_call_that_waits_ends_with_the_sandbox(config: Config) -> None:
    held = created(config)
    waiting = asyncio.ensure_future(held.context.execute_async("import time; time.sleep(60)", timeout=90))
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await held.stop_async()
    with pytest.raises(SandboxTerminatedError, match="stopped") as caught:
        await waiting
    assert caught.value.executed is Executed.UNKNOWN
    assert time.monotonic() - began < 3
    await held.delete_async()


def test_a_leased_sandbox_ends_with_its_process(config: Config) -> None:
    script = f"""
        from agentrun import Config, Sandbox
        config = Config.local({port_of(config)}, access_key_id={config.access_key_id!r})
        held = Sandbox.create("CodeInterpreter", {TEMPLATE!r}, config=config, leased=True)
        print(held.sandbox_id)
    """
    done = subprocess.run([sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=True)
    held = Sandbox.get_by_id(done.stdout.strip(), config)
    deadline = time.monotonic() + 10
    while held.get().status == "READY":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert held.end_reason


def port_of(config: Config) -> int:
    return int(config.get_data_endpoint().rpartition(":")[2])


# Network


def test_the_network_is_switched_while_it_runs(call: Mode, emulator: Emulator, config: Config) -> None:
    held = call(Sandbox, "create", KIND, TEMPLATE, config=config, network=NetworkPolicy.off())
    probe = "curl -s -o /dev/null -w '%{http_code}' --max-time 5 http://allowed.invalid/"
    refused = call(held.process, "cmd", probe).stdout
    call(held, "set_network", NetworkPolicy.allow("allowed.invalid"))
    allowed = call(held.process, "cmd", probe).stdout
    # Nobody has that name: a proxy that lets it through says that it cannot be reached.
    assert (refused, allowed) == ("403", "502")
    held.delete()


# Mounts


def test_a_copy_on_write_mount_gives_a_patch(tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    (source / "note").write_text("before\n")
    with Emulator(mount_roots=[tmp_path]) as emulator, account(emulator) as config:
        mounts = [Mount(source=str(source), target="/mnt/data", mode="copy-on-write")]
        held: CodeInterpreterSandbox = Sandbox.create(KIND, TEMPLATE, config=config, mounts=mounts)
        held.process.cmd("echo after > /mnt/data/note").raise_on_error()
        patch = held.patch("/mnt/data")
        held.delete()
    assert "-before\n+after\n" in patch
    assert (source / "note").read_text() == "before\n"
