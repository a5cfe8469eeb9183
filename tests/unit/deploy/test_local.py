"""Applications on this machine, in a thread or a process of their own."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrun.deploy import DeploymentMode, LocalDeployManager
from agentrun.deploy.source import load, source_of
from agentrun.errors import DeploymentError, InvalidInputError
from agentrun.server import AgentApp
from tests.unit.deploy import app_to_deploy

ASKED = {"stream": False, "input": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}


def answered(deployed: dict[str, Any]) -> str:
    answer = httpx.post(f"{deployed['url']}/process", json=ASKED, trust_env=False).json()
    text: str = answer["output"][0]["content"][0]["text"]
    return text


def mode(deployed: dict[str, Any]) -> str:
    told: str = httpx.get(f"{deployed['url']}/health", trust_env=False).json()["mode"]
    return told


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.mark.asyncio
async def test_a_thread_serves_until_it_is_stopped() -> None:
    manager = LocalDeployManager(port=0)
    deployed = await app_to_deploy.app.deploy(manager)
    assert answered(deployed) == f"hi in {os.getpid()}, None"
    assert (await manager.stop(deployed["deploy_id"]))["success"]
    assert not is_up(deployed["url"])
    assert not (await manager.stop(deployed["deploy_id"]))["success"]


@pytest.mark.asyncio
async def test_a_process_goes_on_and_is_stopped_by_somebody_else(tmp_path: Path) -> None:
    manager = LocalDeployManager(port=0)
    deployed = await app_to_deploy.app.deploy(
        manager, mode=DeploymentMode.DETACHED_PROCESS, environment={"COLOUR": "blue"}
    )
    try:
        assert deployed["pid"] != os.getpid()
        assert answered(deployed) == f"hi in {deployed['pid']}, blue"
        assert mode(deployed) == "detached_process"
    finally:
        stopped = await LocalDeployManager().stop(deployed["deploy_id"])
    assert stopped["success"]
    assert not is_up(deployed["url"])
    assert not os.path.exists(deployed["log"])  # noqa: ASYNC240  # nothing else waits


@pytest.mark.asyncio
async def test_an_application_that_does_not_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no database')")
    with pytest.raises(DeploymentError, match="no database"):
        await LocalDeployManager(port=0).deploy(mode="detached_process", entrypoint=f"{broken}:app")


@pytest.mark.asyncio
async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DeploymentError, match=str(port)):
            await LocalDeployManager(port=port).deploy(AgentApp())


def test_an_application_is_found_by_its_name_or_alone(tmp_path: Path) -> None:
    file = Path(app_to_deploy.__file__)
    assert source_of(app_to_deploy.app) == f"{file}:app"
    assert load(f"{file}:app").title == "deployed"
    assert load(str(file)).title == "deployed"
    (tmp_path / "two.py").write_text(
        "from agentrun.server import AgentApp\none, two = AgentApp(app_name='1'), AgentApp(app_name='2')"
    )
    with pytest.raises(InvalidInputError, match="2 applications"):
        load(str(tmp_path / "two.py"))
    assert load(f"{tmp_path / 'two.py'}:two").title == "2"
    with pytest.raises(InvalidInputError, match="no application 'three'"):
        load(f"{tmp_path / 'two.py'}:three")
    with pytest.raises(InvalidInputError, match="no file"):
        load(str(tmp_path / "none.py"))
    with pytest.raises(InvalidInputError, match="no module"):
        load("no_such_module:app")


def test_one_that_is_no_global_variable_has_no_source() -> None:
    with pytest.raises(InvalidInputError, match="entrypoint"):
        source_of(AgentApp())
