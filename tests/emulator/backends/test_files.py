from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import httpx
import pytest

from agentrun.emulator.backends.base import Running

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


async def run(client: httpx.AsyncClient, command: str) -> str:
    response = await client.post("/processes/cmd", json={"command": command})
    result: dict[str, Any] = response.json()["result"]
    assert result["exitCode"] == 0, result
    return str(result["stdout"])


async def put(client: httpx.AsyncClient, path: str, data: bytes, **query: str) -> httpx.Response:
    return await client.put("/filesystem/content", params={"path": path, **query}, content=data)


async def test_raw_body_is_stored_whole(client: httpx.AsyncClient) -> None:
    data = hashlib.sha512(b"raw").digest() * (8 * 1024 * 1024 // 64)
    assert (await put(client, "raw/deep/x.bin", data, mode="600")).json()["size"] == len(data)
    assert (await client.get("/filesystem/download", params={"path": "raw/deep/x.bin"})).content == data
    assert (await client.get("/filesystem/stat", params={"path": "raw/deep/x.bin"})).json()["mode"] == "0600"


async def test_a_replaced_file_keeps_its_mode_and_its_link(client: httpx.AsyncClient) -> None:
    await run(client, "mkdir -p keep && echo old > keep/file && chmod 751 keep/file && ln -sf file keep/link")
    await put(client, "keep/link", b"new")
    assert await run(client, "cat keep/file; readlink keep/link; stat -c %a keep/file") == "newfile\n751\n"


async def test_an_upload_that_breaks_off_leaves_the_old_file_and_nothing_else(
    client: httpx.AsyncClient, sandbox: Running
) -> None:
    await put(client, "broken/file", b"old")
    reader, writer = await asyncio.open_unix_connection(str(sandbox.socket))
    writer.write(b"PUT /filesystem/content?path=broken/file HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\n")
    writer.write(bytes(2_000_000))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    del reader
    for _ in range(200):
        if await run(client, "ls -A broken") == "file\n":
            break
    assert await run(client, "ls -A broken; cat broken/file") == "file\nold"


@pytest.mark.parametrize(
    ("wanted", "status", "content", "span"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
async def test_ranges(client: httpx.AsyncClient, wanted: str, status: int, content: bytes, span: str | None) -> None:
    await put(client, "ten", b"0123456789")
    answer = await client.get("/filesystem/download", params={"path": "ten"}, headers={"range": wanted})
    assert (answer.status_code, answer.content, answer.headers.get("content-range")) == (status, content, span)


async def test_a_range_that_is_not_there(client: httpx.AsyncClient) -> None:
    await put(client, "ten", b"0123456789")
    answer = await client.get("/filesystem/download", params={"path": "ten"}, headers={"range": "bytes=10-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")
    assert answer.json()["code"] == "ERR_RANGE_NOT_SATISFIABLE"


async def test_several_files_at_once(client: httpx.AsyncClient) -> None:
    body = {
        "write": [
            {"path": "batch/a", "content": "A"},
            {"path": "batch/b", "content": "Qg==", "encoding": "base64", "mode": "700"},
        ],
        "read": ["batch/b", "batch/none", "batch"],
    }
    answer = (await client.post("/files/batch", json=body)).json()
    assert [item["size"] for item in answer["written"]] == [1, 1]
    read = answer["read"]
    assert read[0]["content"] == "B"
    assert (read[1]["path"].endswith("batch/none"), read[1]["error"]["code"]) == (True, "ERR_NOT_FOUND")
    assert read[2]["error"]["code"] == "ERR_BAD_REQUEST"


async def test_names_that_are_no_text_can_be_sent_back(client: httpx.AsyncClient) -> None:
    await run(client, "mkdir -p odd && cd odd && printf content > $'caf\\xe9'")
    (entry,) = (await client.get("/filesystem", params={"path": "odd"})).json()["entries"]
    assert entry["path"].endswith("/odd/caf%E9")
    assert entry["name"] == "caf\ufffd"
    assert (await client.get("/files", params={"path": entry["path"]})).json()["content"] == "content"
    assert (await client.get("/filesystem/download", params={"path": entry["path"]})).content == b"content"
    assert (await client.post("/filesystem/remove", json={"path": entry["path"]})).status_code == 200
    assert await run(client, "ls -A odd") == ""


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/dev/zero", 400, "a device"),
        ("special/pipe", 400, "a pipe"),
        ("special/loop", 400, "loop"),
        ("special", 400, "is a directory"),
        ("x" * 300, 400, "too long"),
        ("special/plain/below", 400, "not a directory"),
    ],
)
async def test_what_is_no_file_is_refused_at_once(client: httpx.AsyncClient, path: str, status: int, word: str) -> None:
    await run(client, "mkdir -p special && cd special && rm -f * && mkfifo pipe && ln -s loop loop && touch plain")
    for response in (
        await client.get("/files", params={"path": path}),
        await client.get("/filesystem/download", params={"path": path}),
        await write(client, path, "x"),
    ):
        assert response.status_code == status, response.text
        assert word in response.json()["message"]


async def test_files_without_a_size_are_read_whole(client: httpx.AsyncClient) -> None:
    for path, name in (("/proc/version", "/files"), ("/proc/version", "/filesystem/download")):
        assert "Linux" in (await client.get(name, params={"path": path})).text


async def test_the_memory_of_the_agent_is_out_of_reach(client: httpx.AsyncClient) -> None:
    for path in ("/proc/self/mem", "/proc/self/environ", "/proc/thread-self/comm", "/proc/self/root/proc/self/maps"):
        assert (await client.get("/files", params={"path": path})).status_code == 403
        assert (await write(client, path, "x")).status_code == 403
        assert (await client.get("/filesystem/download", params={"path": path})).status_code == 403


async def test_a_nul_byte_is_refused(client: httpx.AsyncClient) -> None:
    response = await write(client, "a\0b", "")
    assert (response.status_code, "NUL" in response.json()["message"]) == (400, True)


async def test_permissions(client: httpx.AsyncClient) -> None:
    await run(client, "mkdir -p rights/below && touch rights/below/file && ln -sf /etc/passwd rights/link")
    body = {"path": "rights", "mode": "700", "recursive": True, "group": "user"}
    answer = await client.post("/filesystem/permissions", json=body)
    assert answer.json()["permissions"] == "drwx------"
    assert await run(client, "stat -c %a rights/below rights/below/file") == "700\n700\n"
    refused = await client.post("/filesystem/permissions", json={"path": "rights", "owner": "nobody-there"})
    assert "no user 'nobody-there'" in refused.json()["message"]
