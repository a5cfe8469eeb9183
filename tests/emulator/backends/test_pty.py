from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosedOK, InvalidStatus

from agentrun.emulator.backends.base import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENCE = 5.0


@contextlib.asynccontextmanager
async def terminal(sandbox: Running, **query: Any) -> AsyncGenerator[ClientConnection]:
    uri = f"ws://inside/processes/tty?{urlencode(query)}"
    async with unix_connect(str(sandbox.socket), uri, max_queue=1) as socket:
        yield socket


async def send(socket: ClientConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def until(socket: ClientConnection, text: str) -> str:
    """What the terminal shows until it shows the text."""
    shown = ""
    while text not in shown:
        frame = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
        assert frame["type"] == "output", frame
        shown += frame["data"]
    return shown


async def exit_code(socket: ClientConnection) -> int:
    while True:
        frame = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
        if frame["type"] == "exit":
            return int(frame["exitCode"])


async def running(client: httpx.AsyncClient, word: str) -> bool:
    items = (await client.get("/processes")).json()["items"]
    return any(word in item["command"] and item["status"] != "zombie" for item in items)


async def gone(client: httpx.AsyncClient, word: str) -> None:
    for _ in range(200):
        if not await running(client, word):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{word} still runs")


async def test_a_shell_with_a_screen(sandbox: Running) -> None:
    async with terminal(sandbox, columns=100, rows=30, cwd="/tmp") as socket:
        await send(socket, "input", data="stty size; pwd; tty; echo $TERM $((40+2)) ä\n")
        shown = await until(socket, "42 ä")
        assert "30 100" in shown
        assert "/tmp" in shown
        assert "/dev/pts/" in shown
        assert "xterm-256color" in shown
        await send(socket, "resize", columns=120, rows=50)
        await send(socket, "input", data="stty size; exit 3\n")
        await until(socket, "50 120")
        assert await exit_code(socket) == 3
        with pytest.raises(ConnectionClosedOK):
            await socket.recv()
        assert socket.close_code == 1000


async def test_job_control_works(sandbox: Running) -> None:
    async with terminal(sandbox, command="cat; echo after; sleep 60") as socket:
        await send(socket, "input", data="hello\n")
        await until(socket, "hello\r\nhello")
        await send(socket, "input", data="\x04")
        await until(socket, "after")
        await send(socket, "input", data="\x03")
        assert await exit_code(socket) == 130


async def test_signals_go_to_the_foreground(sandbox: Running) -> None:
    async with terminal(sandbox, command="echo up; sleep 60") as socket:
        await until(socket, "up")
        await send(socket, "signal", signal="SIGTERM")
        assert await exit_code(socket) == 143


async def test_text_frames_are_keys_and_nothing_else(sandbox: Running) -> None:
    async with terminal(sandbox, protocol="text", command="read line; echo got:$line") as socket:
        await socket.send("{}\n")
        shown = b""
        with contextlib.suppress(ConnectionClosedOK):
            while True:
                frame = await asyncio.wait_for(socket.recv(), PATIENCE)
                assert isinstance(frame, bytes)
                shown += frame
        assert b"got:{}" in shown
        assert socket.close_code == 1000


async def test_a_frame_that_is_not_understood_is_answered(sandbox: Running) -> None:
    async with terminal(sandbox, command="sleep 60") as socket:
        for frame in ("nonsense", "[]", '{"type":"other"}', '{"type":"resize","columns":0,"rows":1}'):
            await socket.send(frame)
            assert json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))["type"] == "error"


async def test_a_caller_who_leaves_hangs_up(sandbox: Running, client: httpx.AsyncClient) -> None:
    async with terminal(sandbox, command="echo up; sleep 4242") as socket:
        await until(socket, "up")
        assert await running(client, "sleep 4242")
    await gone(client, "sleep 4242")


async def test_what_ignores_the_hangup_is_killed(sandbox: Running, client: httpx.AsyncClient) -> None:
    async with terminal(sandbox, command="trap '' HUP; echo up; sleep 4343; sleep 4343") as socket:
        await until(socket, "up")
    await gone(client, "sleep 4343")


async def test_a_background_process_does_not_hold_up_the_end(sandbox: Running) -> None:
    async with terminal(sandbox, command="trap '' HUP; sleep 5 & echo bye; exit 7") as socket:
        await until(socket, "bye")
        assert await asyncio.wait_for(exit_code(socket), 2) == 7


async def test_a_caller_who_does_not_read_stops_the_program(sandbox: Running, client: httpx.AsyncClient) -> None:
    counting = "i=0; while true; do i=$((i+1)); echo $i > progress; printf '%05000d' 0; done"
    async with terminal(sandbox, command=counting) as socket:
        await asyncio.sleep(0.5)
        before = (await client.get("/files", params={"path": "progress"})).json()["content"]
        await asyncio.sleep(0.3)
        assert (await client.get("/files", params={"path": "progress"})).json()["content"] == before
        socket.transport.abort()
    await gone(client, "printf")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"protocol": "xml"}, "json or text"),
        ({"columns": "0"}, "columns"),
        ({"cwd": "/nowhere"}, "/nowhere"),
        ({"width": "1"}, "unknown query parameter"),
    ],
)
async def test_refusals_before_the_handshake(sandbox: Running, query: dict[str, str], word: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with terminal(sandbox, **query):
            pass
    assert refusal.value.response.status_code == 400
    assert word in json.loads(refusal.value.response.body or b"")["message"]
