from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENCE = 5.0


class Watching:
    """The events of a watched folder, their paths relative to it."""

    def __init__(self, lines: AsyncIterator[str], folder: str) -> None:
        self._lines = lines
        self._folder = folder

    async def next(self) -> dict[str, Any]:
        while True:
            line = await asyncio.wait_for(anext(self._lines), PATIENCE)
            if line:
                event: dict[str, Any] = json.loads(line.removeprefix("data: "))
                return {name: self._short(value) for name, value in event.items()}

    async def until(self, kind: str, path: str) -> list[tuple[str, str]]:
        seen: list[tuple[str, str]] = []
        while (kind, path) not in seen:
            event = await self.next()
            seen.append((event["type"], event.get("path", "")))
        return seen

    def _short(self, value: Any) -> Any:
        return value.rpartition(self._folder + "/")[2] if isinstance(value, str) else value


async def run(client: httpx.AsyncClient, command: str) -> None:
    response = await client.post("/processes/cmd", json={"command": command})
    assert response.json()["result"]["exitCode"] == 0, response.text


@contextlib.asynccontextmanager
async def watching(client: httpx.AsyncClient, folder: str, **query: str) -> AsyncGenerator[Watching]:
    await run(client, f"rm -rf {folder} && mkdir -p {folder}/old")
    async with client.stream("GET", "/filesystem/watch", params={"path": folder, **query}) as response:
        assert response.status_code == 200
        found = Watching(response.aiter_lines(), folder)
        assert await found.next() == {"type": "ready"}
        yield found


async def test_a_file_is_made_changed_moved_and_removed(client: httpx.AsyncClient) -> None:
    async with watching(client, "seen") as events:
        await run(client, "echo 1 > seen/old/a")
        assert await events.next() == {"type": "create", "path": "old/a", "isDirectory": False}
        assert await events.next() == {"type": "modify", "path": "old/a", "isDirectory": False}
        await run(client, "chmod 700 seen/old/a")
        assert (await events.next())["type"] == "attributes"
        await run(client, "mv seen/old/a seen/b")
        assert await events.next() == {"type": "move", "path": "b", "from": "old/a", "isDirectory": False}
        await run(client, "rm seen/b")
        assert await events.next() == {"type": "remove", "path": "b", "isDirectory": False}


async def test_new_folders_are_watched_whatever_comes_first(client: httpx.AsyncClient) -> None:
    async with watching(client, "grows") as events:
        await run(client, "mkdir -p grows/x/y/z && touch grows/x/y/z/deep && sleep 0.1 && touch grows/x/y/z/later")
        seen = await events.until("create", "x/y/z/later")
        created = [path for kind, path in seen if kind == "create"]
        assert created == ["x", "x/y", "x/y/z", "x/y/z/deep", "x/y/z/later"]


async def test_many_files_in_new_folders_are_told_once_each(client: httpx.AsyncClient) -> None:
    async with watching(client, "many") as events:
        await run(
            client, "for i in $(seq 30); do mkdir many/$i; for j in 1 2 3; do : > many/$i/$j; done; done; : > many/z"
        )
        created = [path for kind, path in await events.until("create", "z") if kind == "create"]
        expected = {f"{i}/{j}" for i in range(1, 31) for j in (1, 2, 3)} | {str(i) for i in range(1, 31)} | {"z"}
        assert len(created) == len(set(created))
        assert set(created) == expected


async def test_a_moved_folder_is_watched_under_its_new_name(client: httpx.AsyncClient) -> None:
    async with watching(client, "moves") as events:
        await run(client, "mkdir -p moves/old/in && mv moves/old moves/new && touch moves/new/in/file")
        seen = await events.until("create", "new/in/file")
        assert ("move", "new") in seen


async def test_what_leaves_and_enters_the_folder(client: httpx.AsyncClient) -> None:
    async with watching(client, "gate") as events:
        await run(client, "rm -rf /tmp/out && mv gate/old /tmp/out && touch /tmp/out/unseen && mv /tmp/out gate/back")
        seen = await events.until("create", "back/unseen")
        assert seen == [("remove", "old"), ("create", "back"), ("create", "back/unseen")]


async def test_not_recursive(client: httpx.AsyncClient) -> None:
    async with watching(client, "flat", recursive="false") as events:
        await run(client, "touch flat/old/unseen flat/seen")
        assert await events.next() == {"type": "create", "path": "seen", "isDirectory": False}


async def test_too_many_changes_at_once_are_told_as_overflow(client: httpx.AsyncClient) -> None:
    async with watching(client, "flood") as events:
        script = "import os\nfor i in range(60000): os.mknod(f'flood/{i}'); os.unlink(f'flood/{i}')"
        await run(client, f'python3 -c "{script}"')
        seen = {"ready"}
        with contextlib.suppress(asyncio.TimeoutError):
            while "overflow" not in seen:
                seen.add((await events.next())["type"])
        # The agent may have been quick enough to see everything.
        assert seen >= {"create", "remove"}
        await run(client, "touch flood/after")
        await events.until("create", "after")


async def test_it_ends_with_its_folder(client: httpx.AsyncClient) -> None:
    async with watching(client, "ends") as events:
        await run(client, "rm -rf ends")
        seen = [await events.next(), await events.next()]
        assert [event["type"] for event in seen] == ["remove", "remove"]
        with pytest.raises(StopAsyncIteration):
            await events.next()


async def test_a_folder_that_is_not_there(client: httpx.AsyncClient) -> None:
    assert (await client.get("/filesystem/watch", params={"path": "nowhere"})).status_code == 404
