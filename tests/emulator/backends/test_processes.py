from __future__ import annotations

import asyncio
import json
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


async def gone(client: httpx.AsyncClient, word: str) -> None:
    """What was killed is not seen any more; the kernel takes a moment to end it."""
    deadline = time.monotonic() + 2
    while await pids_of(client, word):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


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
    await gone(client, "4321")


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
    await gone(client, "sleep 1234")


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


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line]


async def start(client: httpx.AsyncClient, **fields: Any) -> str:
    response = await client.post("/processes", json=fields)
    assert response.status_code == 200, response.text
    return str(response.json()["processId"])


async def wait(client: httpx.AsyncClient, pid: str, seconds: float = 5) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.get(f"/processes/{pid}/wait", params={"timeout": seconds})).json()
    return answer


async def test_environment_and_stdin_of_a_command(client: httpx.AsyncClient) -> None:
    answer = await command(client, 'cat; echo "$NAME $GREETING"', env={"NAME": "value"}, stdin="typed\n")
    assert answer["result"]["stdout"] == "typed\nvalue hello\n"


async def test_a_large_stdin_that_nobody_reads_is_no_error(client: httpx.AsyncClient) -> None:
    assert (await command(client, "true", stdin="x" * 1_000_000))["result"]["exitCode"] == 0


async def test_output_comes_while_the_command_runs(client: httpx.AsyncClient) -> None:
    body = {"command": "echo first; sleep 0.3; printf 'caf\\303'; sleep 0.1; printf '\\251'; exit 4", "stream": True}
    arrived: list[tuple[float, dict[str, Any]]] = []
    began = time.monotonic()
    async with client.stream("POST", "/processes/cmd", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            arrived += [(time.monotonic() - began, event) for event in events_of(line)]
    assert arrived[0][1] == {"type": "stdout", "text": "first\n"}
    assert arrived[0][0] < 0.25 < arrived[-1][0]
    assert "".join(event.get("text", "") for _, event in arrived) == "first\ncafé"
    assert arrived[-1][1] == {"type": "exit", "exitCode": 4, "status": "completed"}


async def test_a_caller_who_goes_away_ends_the_command(client: httpx.AsyncClient) -> None:
    for stream in (True, False):
        with pytest.raises(httpx.ReadTimeout):
            await client.post(
                "/processes/cmd", json={"command": "sleep 777 & sleep 777", "stream": stream}, timeout=0.3
            )
        await gone(client, "777")


async def test_timeout_ends_also_what_left_the_group(client: httpx.AsyncClient) -> None:
    answer = await command(client, "set -m; sleep 888 & sleep 888", timeout=0.3)
    assert answer["status"] == "timeout"
    await gone(client, "sleep 888")


async def test_what_stays_in_the_background_can_go_on_writing(client: httpx.AsyncClient) -> None:
    await command(client, "(sleep 0.2; echo more; echo wrote > written) & true", cwd="/tmp")
    for _ in range(100):
        if (await client.get("/files", params={"path": "/tmp/written"})).status_code == 200:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not survive its first line of output")


async def test_a_background_process_from_start_to_end(client: httpx.AsyncClient) -> None:
    pid = await start(client, argv=["sh", "-c", "read line; echo got $line; exit 5"], tag="mine", stdin=True)
    (item,) = [item for item in (await client.get("/processes")).json()["items"] if item["processId"] == pid]
    assert item["tag"] == "mine"
    assert (await wait(client, pid, 0))["status"] == "running"
    await client.post(f"/processes/{pid}/stdin", json={"data": "aGk=\n".strip(), "encoding": "base64"})
    await client.post(f"/processes/{pid}/stdin", json={"data": "\n", "close": True})
    expected = {"processId": pid, "status": "completed", "exitCode": 5, "stdout": "got hi\n", "stderr": ""}
    assert await wait(client, pid) == expected
    assert (await client.get(f"/processes/{pid}")).json()["exitCode"] == 5
    late = await client.post(f"/processes/{pid}/stdin", json={"data": "x"})
    assert late.status_code == 409


async def test_output_is_followed_with_what_came_before(client: httpx.AsyncClient) -> None:
    pid = await start(client, command="echo one; echo two; sleep 0.3; echo three >&2; exit 2")
    await asyncio.sleep(0.1)
    events = events_of((await client.get(f"/processes/{pid}/output", params={"follow": "true", "tail": 1})).text)
    assert events == [
        {"type": "stdout", "text": "two\n"},
        {"type": "stderr", "text": "three\n"},
        {"type": "exit", "exitCode": 2, "status": "completed"},
    ]
    again = events_of((await client.get(f"/processes/{pid}/output")).text)
    assert [event.get("text") for event in again] == ["one\ntwo\n", "three\n", None]


async def test_of_much_output_the_end_is_kept(client: httpx.AsyncClient) -> None:
    pid = await start(client, command="seq 1 400000")
    stdout = (await wait(client, pid))["stdout"]
    assert stdout.endswith("400000\n")
    assert "dropped" in stdout[:100]
    assert len(stdout) < 1024 * 1024 + 200


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("int", 130), (9, 137)])
async def test_signals_by_name_and_number(client: httpx.AsyncClient, name: str | int, code: int) -> None:
    pid = await start(client, command="sleep 555; echo not reached")
    answer = await client.post(f"/processes/{pid}/signal", json={"signal": name})
    assert answer.status_code == 200, answer.text
    assert (await wait(client, pid))["exitCode"] == code
    await gone(client, "sleep 555")


async def test_a_process_can_refuse_to_end(client: httpx.AsyncClient) -> None:
    pid = await start(client, command="trap 'echo no' TERM; echo ready; while true; do sleep 0.1; done")
    async with client.stream("GET", f"/processes/{pid}/output", params={"follow": "true"}) as response:
        assert "ready" in await anext(response.aiter_lines())
    assert (await client.delete(f"/processes/{pid}", params={"signal": "TERM"})).json()["stopped"] is False
    assert (await client.delete(f"/processes/{pid}")).json()["stopped"] is True
    assert "no\n" in (await wait(client, pid))["stdout"]


async def test_timeout_of_a_background_process(client: httpx.AsyncClient) -> None:
    pid = await start(client, command="sleep 60", timeout=0.2)
    assert ((answer := await wait(client, pid))["status"], answer["exitCode"]) == ("timeout", 137)


async def test_the_last_hundred_that_ended_are_remembered(client: httpx.AsyncClient) -> None:
    first = await start(client, argv=["true"])
    await wait(client, first)
    last = ""
    for _ in range(101):
        last = await start(client, argv=["true"])
        await wait(client, last)
    assert (await client.get(f"/processes/{first}")).status_code == 404
    assert (await client.get(f"/processes/{last}")).json()["exitCode"] == 0


async def test_orphans_leave_no_zombies(client: httpx.AsyncClient) -> None:
    await command(client, "for i in 1 2 3 4 5 6 7 8 9 10; do (setsid sleep 0.05 & sleep 0.05 &) ; done")
    for _ in range(150):
        states = [item["status"] for item in (await client.get("/processes")).json()["items"]]
        if "zombie" not in states and not await pids_of(client, "sleep 0.05"):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("zombies are left")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "either 'command'"),
        ({"command": "true", "argv": ["true"]}, "either 'command'"),
        ({"argv": ["no-such-program"]}, "No such file"),
        ({"argv": [1]}, "list of strings"),
        ({"command": "a\0b"}, "NUL"),
        ({"command": "true", "env": {"A": 1}}, "object of strings"),
        ({"command": "true", "timeout": -1}, "timeout"),
    ],
)
async def test_what_cannot_be_started(client: httpx.AsyncClient, body: dict[str, Any], word: str) -> None:
    response = await client.post("/processes", json=body)
    assert response.status_code == 400, response.text
    assert word in response.json()["message"]


async def test_signals_of_the_agent_and_unknown_ones_are_refused(client: httpx.AsyncClient) -> None:
    assert (await client.post("/processes/1/signal", json={"signal": "TERM"})).status_code == 403
    pid = await start(client, command="sleep 0.2")
    assert "no signal 'SIGNOPE'" in (await client.delete(f"/processes/{pid}?signal=SIGNOPE")).json()["message"]
