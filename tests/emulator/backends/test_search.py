from __future__ import annotations

from typing import Any

import httpx
import pytest
import pytest_asyncio

from agentrun.emulator.guest.search import translate

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.py", "a.py", "a/b.py"),
        ("**/*.py", "a/b/c.py", "a/b/c.pyc"),
        ("**/*.py", "c.py", "c"),
        ("src/**", "src/a/b", "lib/a"),
        ("a?c", "abc", "a/c"),
        ("[!a]b", "bb", "ab"),
        ("[a-c]", "b", "d"),
        ("a.c", "a.c", "abc"),
        ("[", "[", "a"),
        ("x{1}", "x{1}", "x"),
    ],
)
async def test_globs(pattern: str, matching: str, other: str) -> None:
    expression = translate(pattern)
    assert expression.fullmatch(matching.encode())
    assert not expression.fullmatch(other.encode())


async def search(client: httpx.AsyncClient, **query: Any) -> tuple[list[str], dict[str, Any]]:
    response = await client.get("/filesystem/search", params={"path": "look", **query})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return [entry["path"].partition("look/")[2] for entry in answer["entries"]], answer


@pytest_asyncio.fixture(loop_scope="module", scope="module", autouse=True)
async def tree(client: httpx.AsyncClient) -> None:
    command = (
        "mkdir -p look/src/deep look/doc && cd look && echo 'import os' > src/a.py && printf 'x\\ny = needle\\n' > "
        "src/deep/b.py && touch doc/a.txt && (head -c 700000 /dev/zero; echo; echo needle) > big.bin && "
        "ln -sf src loop && rm -f pipe && mkfifo pipe"
    )
    await client.post("/processes/cmd", json={"command": command})


async def test_names_at_any_depth(client: httpx.AsyncClient) -> None:
    assert (await search(client, pattern="*.py"))[0] == ["src/a.py", "src/deep/b.py"]
    assert (await search(client, pattern="src/*"))[0] == ["src/a.py", "src/deep"]
    assert (await search(client, pattern="src/**/*.py"))[0] == ["src/a.py", "src/deep/b.py"]


async def test_content_with_the_line(client: httpx.AsyncClient) -> None:
    paths, answer = await search(client, content="needle")
    assert paths == ["big.bin", "src/deep/b.py"]
    assert [entry["line"]["number"] for entry in answer["entries"]] == [2, 2]
    assert answer["entries"][1]["line"]["text"] == "y = needle"


async def test_a_limit_cuts_off(client: httpx.AsyncClient) -> None:
    paths, answer = await search(client, limit=2)
    assert (len(paths), answer["truncated"]) == (2, True)
    assert (await search(client))[1]["truncated"] is False


async def test_refusals(client: httpx.AsyncClient) -> None:
    for query, status in (({"path": "nowhere"}, 404), ({"path": "look/src/a.py"}, 400), ({"limit": "0"}, 400)):
        assert (await client.get("/filesystem/search", params=query)).status_code == status
