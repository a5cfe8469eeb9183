from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.emulator.backends.executing import execute, new_context, post, value

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def context_in_folder(client: httpx.AsyncClient, name: str) -> str:
    """A context with a folder of its own."""
    folder = f"/home/user/{name}"
    await post(client, "/filesystem/mkdir", path=folder)
    return await new_context(client, cwd=folder)


async def pythons(client: httpx.AsyncClient) -> int:
    """How many processes run in the sandbox."""
    total: int = (await client.get("/processes")).json()["total"]
    return total


async def test_rollback_brings_state_and_files_back(client: httpx.AsyncClient) -> None:
    context = await context_in_folder(client, "rollback")
    setup = "import os\nx = [1]\nos.makedirs('d/e')\nopen('kept', 'w').write('old')\nopen('d/e/f', 'w').write('f')"
    await execute(client, setup + "\nos.symlink('kept', 'link')", contextId=context)
    checkpoint = await post(client, f"/contexts/{context}/checkpoint")
    assert checkpoint["contextId"] == context
    change = (
        "x.append(2)\nopen('kept', 'w').write('new')\nopen('added', 'w').close()\nimport shutil; shutil.rmtree('d')"
    )
    await execute(client, change + "\nos.makedirs('link2/x'); os.remove('link'); os.mkdir('link')", contextId=context)
    described = await post(client, f"/contexts/{context}/rollback", checkpointId=checkpoint["checkpointId"])
    assert described["id"] == context
    look = "x, sorted(os.listdir()), open('link').read(), open('d/e/f').read(), os.readlink('link')"
    assert await value(client, look, contextId=context) == "([1], ['d', 'kept', 'link'], 'old', 'f', 'kept')"


async def test_a_checkpoint_can_be_used_again(client: httpx.AsyncClient) -> None:
    context = await context_in_folder(client, "again")
    await execute(client, "n = 0", contextId=context)
    checkpoint = (await post(client, f"/contexts/{context}/checkpoint"))["checkpointId"]
    for _ in range(3):
        assert await value(client, "n = n + 1\nn", contextId=context) == "1"
        await post(client, f"/contexts/{context}/rollback", checkpointId=checkpoint)


async def test_a_checkpoint_outlives_the_interpreter(client: httpx.AsyncClient) -> None:
    context = await context_in_folder(client, "outlives")
    await execute(client, "n = 7", contextId=context)
    checkpoint = (await post(client, f"/contexts/{context}/checkpoint"))["checkpointId"]
    await execute(client, "import os; os._exit(1)", contextId=context)
    await post(client, f"/contexts/{context}/rollback", checkpointId=checkpoint)
    assert await value(client, "n", contextId=context) == "7"


async def test_random_numbers_go_on_as_they_were(client: httpx.AsyncClient) -> None:
    context = await context_in_folder(client, "random")
    await execute(client, "import random; random.seed(1)", contextId=context)
    checkpoint = (await post(client, f"/contexts/{context}/checkpoint"))["checkpointId"]
    first = await value(client, "random.random()", contextId=context)
    await post(client, f"/contexts/{context}/rollback", checkpointId=checkpoint)
    assert await value(client, "random.random()", contextId=context) == first


async def test_checkpoints_are_listed_and_deleted(client: httpx.AsyncClient) -> None:
    context = await context_in_folder(client, "listed")
    made = [await post(client, f"/contexts/{context}/checkpoint") for _ in range(2)]
    assert (await client.get(f"/contexts/{context}/checkpoints")).json() == made
    path = f"/contexts/{context}/checkpoints/{made[0]['checkpointId']}"
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete(path)).status_code == 404
    assert (await client.get(f"/contexts/{context}/checkpoints")).json() == made[1:]


async def test_there_is_a_limit_and_it_says_what_to_do(client: httpx.AsyncClient) -> None:
    context = await context_in_folder(client, "limit")
    for _ in range(16):
        await post(client, f"/contexts/{context}/checkpoint")
    refused = await client.post(f"/contexts/{context}/checkpoint")
    assert (refused.status_code, refused.json()["code"]) == (503, "ERR_LIMIT_REACHED")
    assert "DELETE" in refused.json()["message"]
    await client.delete(f"/contexts/{context}")


async def settled(client: httpx.AsyncClient) -> int:
    """How many interpreters there are, once those of earlier tests have ended."""
    for _ in range(100):
        before = await pythons(client)
        await asyncio.sleep(0.1)
        if await pythons(client) == before:
            return before
    raise AssertionError((await client.get("/processes")).text)


async def test_clones_end_with_their_context(client: httpx.AsyncClient) -> None:
    context = await context_in_folder(client, "clones")
    before = await settled(client)
    for _ in range(3):
        await post(client, f"/contexts/{context}/checkpoint")
    assert await pythons(client) == before + 3
    await client.delete(f"/contexts/{context}")
    for _ in range(100):
        if await pythons(client) < before:
            return
        await asyncio.sleep(0.05)
    raise AssertionError((await client.get("/processes")).text)


async def test_forks_go_their_own_ways(client: httpx.AsyncClient) -> None:
    context = await context_in_folder(client, "forked")
    await execute(client, "x = [1]\nopen('f', 'w').write('shared past')", contextId=context)
    forks = await post(client, f"/contexts/{context}/fork", count=2)
    names = [context, *(fork["id"] for fork in forks)]
    assert len({fork["cwd"] for fork in forks}) == 2
    for name in names:
        await execute(client, f"x.append({name!r}); y = open('f').read(); open('f', 'w').write(x[-1])", contextId=name)
    for name in names:
        answer = await value(client, "str((x, y, open('f').read()))", contextId=name)
        assert answer == repr(str(([1, name], "shared past", name)))
    listed = [each["id"] for each in (await client.get("/contexts")).json()]
    assert set(names) <= set(listed)


async def test_a_fork_awaits_and_prints_and_is_stopped_like_others(client: httpx.AsyncClient) -> None:
    context = await context_in_folder(client, "able")
    await execute(client, "import asyncio, time\nawait asyncio.sleep(0)", contextId=context)
    fork = (await post(client, f"/contexts/{context}/fork"))[0]["id"]
    for name in (context, fork):
        assert await value(client, "await asyncio.sleep(0.01, 5)", contextId=name) == "5"
    assert "kept" in (await execute(client, "time.sleep(30)", contextId=fork, timeout=0.3))["timeout"]["text"]
    assert (await execute(client, "print('hi')", contextId=fork))["stdout"]["text"] == "hi\n"
    assert (await execute(client, "import os; os._exit(9)", contextId=fork))["error"]["value"] == "9"


async def test_code_does_not_meet_its_clones(client: httpx.AsyncClient) -> None:
    context = await context_in_folder(client, "alone")
    await post(client, f"/contexts/{context}/checkpoint")
    code = "import os\ntry: print(os.wait())\nexcept ChildProcessError: print('no children')"
    assert (await execute(client, code, contextId=context))["stdout"]["text"] == "no children\n"


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/rollback", {"checkpointId": "nope"}, 404, "no checkpoint nope"),
        ("/rollback", {}, 400, "'checkpointId' is required"),
        ("/fork", {"count": 0}, 400, "count must be from 1"),
    ],
)
async def test_refusals(client: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, words: str) -> None:
    context = await new_context(client)
    response = await client.post(f"/contexts/{context}{path}", json=body)
    assert (response.status_code, words in response.json()["message"]) == (status, True), response.text


async def test_only_python_can_be_cloned(client: httpx.AsyncClient) -> None:
    context = await new_context(client, "bash")
    for path in ("checkpoint", "fork"):
        response = await client.post(f"/contexts/{context}/{path}", json={})
        assert (response.status_code, response.json()["code"]) == (501, "ERR_NOT_AVAILABLE")


async def test_a_folder_that_is_too_wide_is_refused(client: httpx.AsyncClient) -> None:
    context = await new_context(client, cwd="/")
    response = await client.post(f"/contexts/{context}/checkpoint")
    assert (response.status_code, "too wide" in response.json()["message"]) == (400, True)
