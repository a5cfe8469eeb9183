"""Files and folders of a sandbox beyond reading and writing them as a whole, in both modes."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from agentrun import ClientError, CodeInterpreterSandbox, FileEvent, InvalidInputError
from agentrun.emulator import Emulator
from tests.resources.modes import Mode
from tests.resources.sandboxes import account, created

BINARY = bytes(range(256)) * 5


@pytest.fixture(scope="module")
def sandbox(emulator: Emulator) -> Iterator[CodeInterpreterSandbox]:
    with account(emulator) as config:
        yield created(config)


@pytest.fixture
def folder(sandbox: CodeInterpreterSandbox) -> Iterator[str]:
    sandbox.file_system.mkdir("/home/user/test")
    yield "/home/user/test"
    sandbox.file_system.remove("/home/user/test")


def test_bytes(call: Mode, sandbox: CodeInterpreterSandbox, folder: str) -> None:
    path = f"{folder}/new/data.bin"
    assert call(sandbox.file, "write_bytes", path, BINARY, "600")["size"] == len(BINARY)
    assert call(sandbox.file, "read_bytes", path) == BINARY
    assert call(sandbox.file_system, "stat", path)["mode"] == "0600"


@pytest.mark.parametrize(("start", "length"), [(0, 10), (1000, 100), (1270, 100), (1280, 5), (9999, 5), (5, 0)])
def test_a_range(call: Mode, sandbox: CodeInterpreterSandbox, folder: str, start: int, length: int) -> None:
    path = f"{folder}/data.bin"
    sandbox.file.write_bytes(path, BINARY)
    assert call(sandbox.file, "read_range", path, start, length) == BINARY[start : start + length]


def test_a_range_of_nothing(call: Mode, sandbox: CodeInterpreterSandbox, folder: str) -> None:
    sandbox.file.write(f"{folder}/empty", "")
    assert call(sandbox.file, "read_range", f"{folder}/empty", 0, 10) == b""
    with pytest.raises(ClientError):
        call(sandbox.file, "read_range", f"{folder}/missing", 0, 10)
    with pytest.raises(InvalidInputError):
        call(sandbox.file, "read_range", f"{folder}/empty", 0, -1)


def test_any_source_is_written(call: Mode, sandbox: CodeInterpreterSandbox, folder: str, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(BINARY)
    for source in (BINARY, [BINARY[:7], BINARY[7:]], BytesIO(BINARY)):
        written = call(sandbox.file, "write_stream", f"{folder}/data", source)
        assert written == {"path": f"{folder}/data", "size": len(BINARY)}
        assert sandbox.file.read_bytes(f"{folder}/data") == BINARY
    with local.open("rb") as file:
        call(sandbox.file, "write_stream", f"{folder}/deep/data", file, "755")
    assert sandbox.file_system.stat(f"{folder}/deep/data")["mode"] == "0755"


@pytest.mark.asyncio
async def test_streams_on_a_loop(sandbox: CodeInterpreterSandbox, folder: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(10):
            yield bytes([number]) * 100_000

    written = await sandbox.file.write_stream_async(f"{folder}/data", pieces())
    assert written["size"] == 1_000_000
    async with await sandbox.file.stream_async(f"{folder}/data") as stream:
        content = b"".join([piece async for piece in stream])
    assert content == b"".join(bytes([number]) * 100_000 for number in range(10))


def test_a_large_file_needs_little_memory(sandbox: CodeInterpreterSandbox, folder: str) -> None:
    sent, came = hashlib.sha256(), hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for number in range(512):
            piece = number.to_bytes(2, "big") * 32768
            sent.update(piece)
            yield piece

    tracemalloc.start()
    try:
        assert sandbox.file.write_stream(f"{folder}/large", pieces())["size"] == 32 << 20
        with sandbox.file.stream(f"{folder}/large") as stream:
            for piece in stream:
                came.update(piece)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert sent.digest() == came.digest()


def test_a_stream_that_is_left_early(sandbox: CodeInterpreterSandbox, folder: str) -> None:
    sandbox.file.write_stream(f"{folder}/large", (b"x" * 65536 for _ in range(64)))
    with sandbox.file.stream(f"{folder}/large") as stream:
        assert next(iter(stream))
    assert sandbox.file.read_range(f"{folder}/large", 0, 1) == b"x"


def test_many_files_at_once(call: Mode, sandbox: CodeInterpreterSandbox, folder: str) -> None:
    written = call(sandbox.file, "write_many", {f"{folder}/a/one": "ä", f"{folder}/b/two": b"\xff"})
    assert [each["size"] for each in written] == [2, 1]
    one, missing, two = call(sandbox.file, "read_many", [f"{folder}/a/one", f"{folder}/none", f"{folder}/b/two"])
    assert (one["content"], two["content"], two["encoding"]) == ("ä", "/w==", "base64")
    assert missing["error"]["code"] == "ERR_NOT_FOUND"


def test_a_signed_url_needs_no_signature(call: Mode, sandbox: CodeInterpreterSandbox, folder: str) -> None:
    upload = call(sandbox.file, "url", f"{folder}/x", 60, "upload")
    with httpx.Client(trust_env=False) as client:
        assert client.put(upload, content=BINARY).status_code == 200
        download = call(sandbox.file, "url", f"{folder}/x")
        assert client.get(download).content == BINARY
        assert client.get(download, headers={"range": "bytes=1-2"}).content == BINARY[1:3]
        assert client.get(download.replace("operation=download", "operation=upload")).status_code == 403
        assert client.get(upload).status_code == 405


def test_search(call: Mode, sandbox: CodeInterpreterSandbox, folder: str) -> None:
    sandbox.file.write_many({f"{folder}/{name}": name for name in ("a.py", "b/c.py", "b/d.txt")})

    def names(**options: object) -> list[str]:
        found = call(sandbox.file_system, "search", folder, **options)
        return sorted(entry["name"] for entry in found["entries"] if entry["type"] == "file")

    assert names(pattern="**/*.py") == ["a.py", "c.py"]
    assert names(pattern="**", content="d.txt") == ["d.txt"]
    assert call(sandbox.file_system, "search", folder, "**", limit=1)["truncated"] is True


def test_permissions(call: Mode, sandbox: CodeInterpreterSandbox, folder: str) -> None:
    sandbox.file.write(f"{folder}/run", "#!/bin/sh\necho ran")
    assert call(sandbox.file_system, "set_permissions", f"{folder}/run", "755")["permissions"] == "-rwxr-xr-x"
    assert sandbox.process.cmd(f"{folder}/run").stdout == "ran\n"
    call(sandbox.file_system, "set_permissions", folder, "700", recursive=True)
    assert sandbox.file_system.stat(f"{folder}/run")["mode"] == "0700"


def test_whether_something_is_there(call: Mode, sandbox: CodeInterpreterSandbox, folder: str) -> None:
    assert [call(sandbox.file_system, "exists", path) for path in (folder, f"{folder}/x")] == [True, False]


def test_changes_are_seen_from_the_moment_on(sandbox: CodeInterpreterSandbox, folder: str) -> None:
    with sandbox.file_system.watch(folder) as changes:
        sandbox.process.cmd("mkdir sub; sleep 0.1; echo 1 > sub/x; mv sub/x y; rm y", folder)
        seen: list[FileEvent] = []
        for change in changes:
            seen.append(change)
            if (change.type, change.path) == ("remove", f"{folder}/y"):
                break
    kinds = [(change.type, change.path.removeprefix(folder)) for change in seen]
    assert kinds[0] == ("create", "/sub")
    assert seen[0].is_directory
    assert ("move", "/y") in kinds
    assert next(change.source for change in seen if change.type == "move") == f"{folder}/sub/x"


@pytest.mark.asyncio
async def test_changes_on_a_loop(sandbox: CodeInterpreterSandbox, folder: str) -> None:
    async with await sandbox.file_system.watch_async(folder, recursive=False) as changes:
        await sandbox.file.write_async(f"{folder}/new", "x")
        async for change in changes:
            if change.path == f"{folder}/new":
                break
