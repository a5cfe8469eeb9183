from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def command(client: httpx.AsyncClient, text: str, **fields: Any) -> dict[str, Any]:
    response = await client.post("/processes/cmd", json={"command": text, "cwd": "/home/user", **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def pids_of(client: httpx.AsyncClient, word: str) -> list[str]:
    items = (await client.get("/processes")).json()["items"]
    return [item["processId"] for item in items if word in item["command"] and item["status"] != "zombie"]


async def test_streams_and_exit_code_are_truthful(client: httpx.AsyncClient) -> None:
    answer = await command(client, "echo out; echo err >&2; pwd; exit 3", cwd="/tmp")
    result = answer["result"]
    assert answer["status"] == "completed"
    assert (result["stdout"], result["stderr"], result["exitCode"]) == ("out\n/tmp\n", "err\n", 3)
    assert (result["cwd"], answer["executionTimeMs"]) == ("/tmp", result["executionTimeMs"])


async def test_death_by_signal_is_told_as_a_shell_does(client: httpx.AsyncClient) -> None:
    assert (await command(client, "kill -TERM $$"))["result"]["exitCode"] == 143


async def test_timeout_ends_the_whole_group(client: httpx.AsyncClient) -> None:
    began = time.monotonic()
    answer = await command(client, "echo begun; sleep 4321 & sleep 4321", timeout=0.3)
    assert time.monotonic() - began < 2
    assert (answer["status"], answer["result"]["exitCode"]) == ("timeout", 137)
    assert answer["result"]["stdout"] == "begun\n"
    assert await pids_of(client, "4321") == []


async def test_background_processes_go_on_are_seen_and_killed(client: httpx.AsyncClient) -> None:
    began = time.monotonic()
    await command(client, "sleep 1234 & sleep 0.2")
    assert time.monotonic() - began < 2
    (pid,) = await pids_of(client, "sleep 1234")
    details = (await client.get(f"/processes/{pid}")).json()
    assert (details["processId"], details["command"]) == (pid, "sleep 1234")
    assert details["working_dir"] == "/home/user"
    assert details["environment"]["GREETING"] == "hello"
    assert details["resourceUsage"]["memoryBytes"] > 0
    killed = (await client.delete(f"/processes/{pid}")).json()
    assert (killed["pid"], killed["stopped"]) == (pid, True)
    assert await pids_of(client, "sleep 1234") == []


async def test_output_of_a_command_is_limited(client: httpx.AsyncClient) -> None:
    stdout = (await command(client, "head -c 4000000 /dev/zero | tr '\\0' x"))["result"]["stdout"]
    assert "dropped" in stdout[-150:]
    assert len(stdout) < 1024 * 1024 + 200


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("GET", "/processes/99999", 404, "99999 does not exist"),
        ("DELETE", "/processes/99999", 404, "99999 does not exist"),
        ("DELETE", "/processes/1", 403, "the sandbox itself"),
        ("GET", "/processes/abc", 400, "number"),
    ],
)
async def test_refusals(client: httpx.AsyncClient, method: str, path: str, status: int, word: str) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    assert word in response.json()["message"]


async def test_unknown_folder_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/processes/cmd", json={"command": "true", "cwd": "/nowhere"})
    assert response.status_code == 400
    assert "/nowhere" in response.json()["message"]
