"""The client against the `mcp` package's own servers, of each kind, in both modes."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pytest

from agentrun import Config, ToolError
from agentrun.errors import Executed, InvalidInputError, RequestTimeoutError
from agentrun.toolset.mcp import McpClient
from tests.unit.modes import MODES, drive
from tests.unit.toolset.mcp.mcp_servers import McpServer, serving, until

OLD_SERVER = metadata.version("mcp").startswith("1.2")

pytestmark = pytest.mark.xdist_group("mcp")


@pytest.mark.parametrize("mode", MODES)
def test_tools_are_listed_and_called(client: McpClient, mode: str) -> None:
    tools = drive(mode, client.list_tools_async())
    echo = next(tool for tool in tools if tool["name"] == "echo")
    assert echo["description"] == "Say it again."
    assert echo["inputSchema"]["required"] == ["text"]
    assert drive(mode, client.call_tool_async("echo", {"text": "grüß"})).text == "grüß"


def test_structured_output_is_given(client: McpClient) -> None:
    result = client.call_tool("add", {"a": 1, "b": 2})
    assert result.structured == {"sum": 3}
    assert json.loads(result.text) == {"sum": 3}


def test_every_kind_of_content_is_given(client: McpClient) -> None:
    result = client.call_tool("everything")
    assert [part["type"] for part in result.content] == ["text", "image", "audio", "resource", "resource_link"]
    assert result.text == "first\nembedded"
    assert result.images == [b"\x89PNG\r\n\x1a\n"]
    assert result.audio == [b"\0\1\2"]
    assert result.links == ["memo://2"]
    assert json.loads(json.dumps(result.to_dict()))["content"] == result.content


def test_a_tool_that_fails_answers_with_an_error(client: McpClient) -> None:
    result = client.call_tool("fail", {"why": "because"})
    assert result.is_error
    assert "fail" in result.text
    with pytest.raises(ToolError) as caught:
        client.call_tool("fail", {"why": "because"}, raise_on_error=True)
    assert caught.value.tool == "fail"
    assert caught.value.content == result.content
    assert caught.value.executed is Executed.YES


def test_resources_and_prompts_are_read(client: McpClient) -> None:
    assert [resource["uri"] for resource in client.list_resources()] == ["memo://greeting"]
    assert [template["uriTemplate"] for template in client.list_resource_templates()] == ["memo://about/{name}"]
    assert client.read_resource("memo://about/cats")[0]["text"] == "about cats"
    assert [prompt["name"] for prompt in client.list_prompts()] == ["review"]
    assert client.get_prompt("review", {"code": "x = 1"})["messages"][0]["content"]["text"] == "Review x = 1"
    with pytest.raises(ToolError, match="nothing"):
        client.read_resource("memo://nothing/at/all")


def test_the_server_introduces_itself(client: McpClient) -> None:
    info = client.server_info()
    assert info["serverInfo"]["name"] == "testing"
    assert info["instructions"] == "Be kind."
    client.ping()


def test_callers_of_all_kinds_share_one_session_without_mixing(server: McpServer) -> None:
    client = McpClient(server.url, timeout=60)

    async def ask(text: str) -> str:
        return (await client.call_tool_async("echo", {"text": text})).text

    async def many(prefix: str) -> list[str]:
        return await asyncio.gather(*(ask(f"{prefix}-{number}") for number in range(10)))

    with client, ThreadPoolExecutor(50) as threads:
        waiting = [threads.submit(client.call_tool, "echo", {"text": f"t-{number}"}) for number in range(50)]
        loops = [threads.submit(asyncio.run, many(f"l{number}")) for number in range(5)]
        assert [future.result().text for future in waiting] == [f"t-{number}" for number in range(50)]
        for number, loop in enumerate(loops):
            assert loop.result() == [f"l{number}-{item}" for item in range(10)]
    assert server.count("initialize") == 1
    assert server.count("DELETE") == 1


@pytest.mark.parametrize("mode", MODES)
def test_progress_is_told_where_the_caller_is(client: McpClient, shared: McpServer, mode: str) -> None:
    if "json" in shared.options:
        pytest.skip("an answer of JSON alone has no place for progress")
    if "stateless" in shared.options and OLD_SERVER:
        pytest.skip("this server tells no progress without a session")
    told: list[tuple[float, float | None, str | None, int]] = []

    def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total, message, threading.get_ident()))

    drive(mode, client.call_tool_async("slow", {"seconds": 0.2, "steps": 2}, progress=progress))
    here = threading.get_ident()
    assert told == [(1.0, 2.0, "step 1", here), (2.0, 2.0, "step 2", here)]


def test_time_is_counted_as_a_whole_or_since_the_last_progress(server: McpServer) -> None:
    with McpClient(server.url, timeout=60) as client:
        with pytest.raises(RequestTimeoutError) as caught:
            client.call_tool("slow", {"seconds": 30, "steps": 300}, timeout=0.5)
        assert caught.value.executed is Executed.UNKNOWN
        until(lambda: "cancelled" in server.seen, "the server hears that nobody waits")
        slow = {"seconds": 4, "steps": 20}
        assert client.call_tool("slow", slow, timeout=3, progress_resets_timeout=True).text == "done"
        assert client.call_tool("echo", {"text": "still there"}).text == "still there"
    assert server.count("initialize") == 1


def test_a_cancelled_task_cancels_the_call_on_the_server(server: McpServer) -> None:
    async def scenario(client: McpClient) -> None:
        started = asyncio.Event()
        call = client.call_tool_async(
            "slow", {"seconds": 30, "steps": 300}, progress=lambda done, total, message: started.set()
        )
        task = asyncio.create_task(call)
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(until, lambda: "cancelled" in server.seen, "the call is cancelled")
        assert (await client.call_tool_async("echo", {"text": "on"})).text == "on"

    with McpClient(server.url, timeout=60) as client:
        asyncio.run(scenario(client))
    assert server.count("notifications/cancelled") == 1


def test_an_interrupted_caller_cancels_the_call_on_the_server(server: McpServer) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with McpClient(server.url, timeout=60) as client:
        with pytest.raises(KeyboardInterrupt):
            client.call_tool("slow", {"seconds": 30, "steps": 300}, progress=interrupt)
        until(lambda: "cancelled" in server.seen, "the call is cancelled")


def test_tools_are_asked_for_once_until_they_change(server: McpServer) -> None:
    with McpClient(server.url, timeout=60) as client:
        before = {tool["name"] for tool in client.list_tools()}
        client.list_tools()
        assert server.count("tools/list") == 1
        client.list_tools(refresh=True)
        assert server.count("tools/list") == 2
        client.call_tool("grow", {"name": "fresh"})
        until(lambda: {tool["name"] for tool in client.list_tools()} == before | {"fresh"}, "the new tool is listed")
        assert server.count("tools/list") == 3


def test_log_messages_are_told_in_order(server: McpServer) -> None:
    told: list[tuple[object, ...]] = []
    with McpClient(server.url, timeout=60, on_log=lambda level, data, logger: told.append((level, data))) as client:
        for number in range(5):
            client.call_tool("note", {"text": f"n{number}"})
        until(lambda: len(told) == 5, "all messages come")
    assert told == [("info", f"n{number}") for number in range(5)]


def test_a_server_may_ask_when_there_is_somebody_to_answer(server: McpServer) -> None:
    asked: list[str] = []

    def answer(message: str, schema: object) -> dict[str, str] | None:
        asked.append(message)
        return None if message == "No?" else {"name": "Ada"}

    with McpClient(server.url, timeout=60, on_elicitation=answer) as client:
        assert client.call_tool("ask", {"question": "Who?"}).text == "accept {'name': 'Ada'}"
        assert client.call_tool("ask", {"question": "No?"}).text == "decline None"
    assert asked == ["Who?", "No?"]
    with McpClient(server.url, timeout=60) as client, pytest.raises(ToolError, match="not supported"):
        client.call_tool("ask", {"question": "Who?"}, raise_on_error=True)


def test_a_closed_client_leaves_nothing_and_opens_again(server: McpServer) -> None:
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    client = McpClient(server.url, timeout=60)
    for _ in range(2):
        assert client.call_tool("echo", {"text": "x"}).text == "x"
        client.close()
        assert set(threading.enumerate()) == threads
        assert len(os.listdir("/proc/self/fd")) == files
    client.close()
    assert server.count("initialize") == 2


def test_a_forgotten_client_is_closed(server: McpServer) -> None:
    threads = set(threading.enumerate())
    assert McpClient(server.url, timeout=60).call_tool("echo", {"text": "x"}).text == "x"
    until(lambda: set(threading.enumerate()) == threads, "the thread ends")
    until(lambda: server.count("DELETE") == 1, "the server is told")


def test_a_child_opens_a_session_of_its_own(server: McpServer) -> None:
    with McpClient(server.url, timeout=60) as client:
        client.call_tool("echo", {"text": "parent"})
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writing, client.call_tool("echo", {"text": "child"}).text.encode())
                client.close()
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            assert pipe.read() == "child"
        os.waitpid(child, 0)
        assert client.call_tool("echo", {"text": "parent"}).text == "parent"
    assert server.count("initialize") == 2


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "url"),
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://x", "transport": "websocket"}, "transport"),
        ({"url": "http://x", "command": "y"}, "command"),
        ({"url": "http://x", "args": ["y"]}, "url"),
        ({"transport": "stdio"}, "command"),
        ({"url": "http://x", "timeout": 0}, "timeout"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        McpClient(**arguments)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_requests_to_the_data_plane_are_signed_and_others_are_not(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        base = server.url.removesuffix("/mcp")
        config = Config(
            access_key_id="AK", access_key_secret="SK", data_endpoint=base, headers={"X-Own": "1"}, account_id="1"
        )
        rotated = iter(range(100))
        headers = lambda: {"Authorization": f"Bearer {next(rotated)}"}  # noqa: E731  # It is a value here.
        with McpClient(server.url, config=config, headers=headers, timeout=60) as client:
            client.call_tool("echo", {"text": "x"})
        ours = [message["headers"] for message in server.messages if "headers" in message]
        assert all("Credential=AK/" in each["agentrun-authorization"] and each["x-own"] == "1" for each in ours)
        assert len({each["authorization"] for each in ours}) == len(ours) >= 3
        with McpClient(server.url, config=config.replace(data_endpoint="http://127.0.0.1:9"), timeout=60) as client:
            client.ping()
        pings = [message["headers"] for message in server.messages if message["method"] == "ping"]
        assert pings
        assert not any("agentrun-authorization" in each or "x-own" in each for each in pings)
