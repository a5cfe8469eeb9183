from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.emulator.backends.executing import Entry, execute, new_context, stream, value

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_output_arrives_while_the_code_runs(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    began, arrived = time.monotonic(), [0.0]
    code = "import time\nfor n in range(3):\n    print(n)\n    time.sleep(0.3)\n'end'"
    texts: list[str] = []
    async for entry in stream(client, code, contextId=context):
        if entry["type"] == "stdout":
            texts.append(entry["text"])
            arrived.append(time.monotonic() - began)
    assert texts == ["0\n", "1\n", "2\n"]
    assert arrived[1] < 0.25
    assert arrived[2] - arrived[1] > 0.2


async def test_entries_keep_their_order_and_the_last_one_names_the_context(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    code = "import sys\nprint('a')\ndisplay({'text/plain': 'shown'}, raw=True)\nprint('b')\n1/0"
    entries = [entry async for entry in stream(client, code, contextId=context)]
    assert [entry["type"] for entry in entries] == ["stdout", "result", "stdout", "error", "endOfExecution"]
    assert entries[1]["display"] is True
    assert entries[-1] == {"type": "endOfExecution", "status": "error", "contextId": context}


async def test_a_result_comes_as_without_streaming(client: httpx.AsyncClient) -> None:
    entries = [entry async for entry in stream(client, "40 + 2")]
    assert entries[0] == {"type": "result", "text": "42", "data": {"text/plain": "42"}}
    assert entries[1] == {"type": "endOfExecution", "status": "ok", "contextId": None}


async def test_a_character_is_not_torn_apart(client: httpx.AsyncClient) -> None:
    code = "import os, time\nfor byte in '…'.encode(): os.write(1, bytes([byte])); time.sleep(0.1)"
    entries = [entry async for entry in stream(client, code)]
    assert "".join(entry["text"] for entry in entries if entry["type"] == "stdout") == "…"


async def test_much_output_comes_whole_to_who_keeps_up(client: httpx.AsyncClient) -> None:
    code = "import time\nfor _ in range(30):\n    print('x' * 99_999)\n    time.sleep(0.02)"
    entries = [entry async for entry in stream(client, code)]
    assert sum(len(entry["text"]) for entry in entries if entry["type"] == "stdout") == 3_000_000


async def test_timeout_is_an_entry_of_the_stream(client: httpx.AsyncClient) -> None:
    entries = [entry async for entry in stream(client, "import time; time.sleep(30)", timeout=0.3)]
    assert [entry["type"] for entry in entries] == ["timeout", "endOfExecution"]


async def test_who_leaves_the_stream_interrupts_the_code(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    await execute(client, "import time\nstate = 'running'", contextId=context)
    code = "print('go')\ntry: time.sleep(30)\nexcept KeyboardInterrupt: state = 'interrupted'"
    async for _ in stream(client, code, contextId=context):
        break
    assert await asyncio.wait_for(value(client, "state", contextId=context), 3) == "'interrupted'"


async def test_who_leaves_the_queue_of_streams_is_not_executed(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    running = asyncio.create_task(execute(client, "import time; time.sleep(0.5); seen = []", contextId=context))
    await asyncio.sleep(0.1)

    async def wait_in_vain() -> None:
        async for _ in stream(client, "seen.append(1)", contextId=context):
            pass

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(wait_in_vain(), 0.1)
    await running
    assert await value(client, "seen", contextId=context) == "[]"


async def test_a_context_deleted_meanwhile_is_told_in_the_stream(client: httpx.AsyncClient) -> None:
    context = await new_context(client)
    entries: list[Entry] = []
    async for entry in stream(client, "print('go')\nimport time; time.sleep(30)", contextId=context):
        if entry["type"] == "stdout":
            await client.delete(f"/contexts/{context}")
        entries.append(entry)
    assert entries[-2]["name"] == "InterpreterExited"
    assert "deleted" in entries[-2]["text"]
