from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")
BINARY = bytes(range(256)) * 4


async def write(client: httpx.AsyncClient, path: str, content: str, **fields: Any) -> httpx.Response:
    return await client.post("/files", json={"path": path, "content": content, **fields})


async def test_text_is_written_and_read(client: httpx.AsyncClient) -> None:
    assert (await write(client, "/home/user/deep/er/ä.txt", "grüße\n")).json() == {
        "path": "/home/user/deep/er/ä.txt",
        "size": 8,
    }
    answer = (await client.get("/files", params={"path": "deep/er/ä.txt"})).json()
    assert answer["content"] == "grüße\n"
    assert (answer["encoding"], answer["type"], answer["size"]) == ("utf-8", "file", 8)


async def test_binary_survives(client: httpx.AsyncClient) -> None:
    await write(client, "b.bin", base64.b64encode(BINARY).decode(), encoding="base64")
    answer = (await client.get("/files", params={"path": "b.bin"})).json()
    assert answer["encoding"] == "base64"
    assert base64.b64decode(answer["content"]) == BINARY
    assert (await client.get("/filesystem/download", params={"path": "b.bin"})).content == BINARY


async def test_mode_is_applied_and_listed(client: httpx.AsyncClient) -> None:
    await write(client, "m/run.sh", "#!/bin/sh\n", mode="750")
    entry = (await client.get("/filesystem/stat", params={"path": "m/run.sh"})).json()
    assert (entry["mode"], entry["permissions"], entry["owner"]) == ("0750", "-rwxr-x---", "user")
    listing = (await client.get("/filesystem", params={"path": "m"})).json()
    assert listing["entries"] == [entry]


async def test_depth_limits_the_listing(client: httpx.AsyncClient) -> None:
    await write(client, "tree/a/b/c.txt", "")
    shallow = (await client.get("/filesystem", params={"path": "tree"})).json()["entries"]
    deep = (await client.get("/filesystem", params={"path": "tree", "depth": 3})).json()["entries"]
    assert [entry["name"] for entry in shallow] == ["a"]
    assert [entry["name"] for entry in deep] == ["a", "b", "c.txt"]


async def test_folders_are_made_moved_and_removed_idempotently(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        made = await client.post("/filesystem/mkdir", json={"path": "one/two", "parents": True, "mode": "0755"})
        assert made.status_code == 200
    moved = await client.post("/filesystem/move", json={"source": "one/two", "destination": "one/three"})
    assert moved.status_code == 200
    assert (await client.get("/filesystem/stat", params={"path": "one/two"})).status_code == 404
    for _ in range(2):
        assert (await client.post("/filesystem/remove", json={"path": "one"})).status_code == 200
    assert (await client.get("/filesystem/stat", params={"path": "one"})).status_code == 404


async def test_upload_and_download_of_a_large_file(client: httpx.AsyncClient) -> None:
    data = hashlib.sha512(b"seed").digest() * (16 * 1024 * 1024 // 64)
    answer = await client.post(
        "/filesystem/upload", data={"path": "/home/user/up/large.bin"}, files={"file": ("l.bin", data)}
    )
    assert answer.json()["size"] == len(data)
    assert (await client.get("/filesystem/download", params={"path": "up/large.bin"})).content == data


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "word"),
    [
        ("GET", "/files?path=/nope", None, 404, "/nope does not exist"),
        ("GET", "/files?path=/tmp", None, 400, "is a directory"),
        ("GET", "/files", None, 400, "'path' is required"),
        ("GET", "/filesystem?path=/nope", None, 404, "does not exist"),
        ("GET", "/filesystem?path=/tmp&depth=x", None, 400, "depth"),
        ("GET", "/filesystem/download?path=/nope", None, 404, "does not exist"),
        ("POST", "/files", {"path": "/usr/x", "content": ""}, 403, "permission denied"),
        ("POST", "/files", {"path": "no/x", "content": "", "createDir": False}, 404, "createDir"),
        ("POST", "/files", {"path": "x", "content": "", "mode": "9"}, 400, "octal"),
        ("POST", "/files", {"path": "x", "content": "!", "encoding": "base64"}, 400, "base64"),
        ("POST", "/files", {"path": "x", "contents": ""}, 400, "did you mean 'content'"),
        ("POST", "/filesystem/move", {"source": "nope", "destination": "x"}, 404, "does not exist"),
        ("POST", "/filesystem/upload", {}, 400, "multipart"),
    ],
)
async def test_refusals(
    client: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None, status: int, word: str
) -> None:
    response = await client.request(method, path, json=body)
    assert response.status_code == status, response.text
    assert word in response.json()["message"]
