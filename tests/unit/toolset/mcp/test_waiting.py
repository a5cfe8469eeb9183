"""No call waits longer than its own time, whatever others and the server do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agentrun._core.background import BackgroundLoop
from agentrun.errors import Executed, RequestTimeoutError, TransportError
from agentrun.toolset.mcp import McpClient
from tests.unit.servers import Line, Received, after, answer, raw, serving
from tests.unit.toolset.mcp.mcp_servers import until
from tests.unit.toolset.mcp.speaking import speaking

pytestmark = pytest.mark.xdist_group("mcp")

silent = after(120, raw(b""))


def test_who_has_little_time_is_not_kept_by_who_has_much() -> None:
    with serving(silent) as server, ThreadPoolExecutor() as threads:
        client = McpClient(f"{server.url}/mcp", timeout=100)
        patient = threads.submit(client.list_tools)
        until(lambda: server.requests, "the patient one opens a session")
        with pytest.raises(RequestTimeoutError) as caught:
            client.call_tool("echo", timeout=0.5)
        assert caught.value.executed is Executed.NO
        assert not patient.done()
        client.close()
        with pytest.raises(TransportError):
            patient.result(60)


def test_all_pages_have_the_time_of_one_call() -> None:
    def endless(line: Line, request: Received) -> bool:
        message = json.loads(request.body or b"{}")
        if message.get("method") != "tools/list":
            return speaking()(line, request)
        body: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"], "result": {"tools": [], "nextCursor": "more"}}
        return after(0.3, answer(body, headers={"content-type": "application/json"}))(line, request)

    with serving(endless) as server:
        client = McpClient(f"{server.url}/mcp", timeout=3)
        with pytest.raises(RequestTimeoutError):
            client.list_tools()
        client.close()


def test_a_server_that_takes_no_note_holds_up_nothing_for_ever() -> None:
    def behave(line: Line, request: Received) -> bool:
        takes_note = request.method != "POST" or "id" in json.loads(request.body)
        return (speaking() if takes_note else silent)(line, request)

    with serving(behave) as server, McpClient(f"{server.url}/mcp", timeout=60) as client:
        assert [tool["name"] for tool in client.list_tools()] == ["tool-0", "tool-1", "tool-2"]


def test_tools_are_asked_for_again_when_nobody_could_tell_of_a_change() -> None:
    tools: list[dict[str, Any]] = [{"name": "old", "inputSchema": {"type": "object"}}]
    with serving(speaking(tools=tools)) as server, McpClient(f"{server.url}/mcp", timeout=60) as client:
        assert [tool["name"] for tool in client.list_tools()] == ["old"]
        tools[0]["name"] = "new"
        until(lambda: [tool["name"] for tool in client.list_tools()] == ["new"], "the change is seen")


def test_nothing_is_taken_by_a_loop_that_was_told_to_stop() -> None:
    background, refused = BackgroundLoop(), threading.Event()

    def stop(start: Callable[[Callable[[], object]], None]) -> None:
        background.stop()
        try:
            start(lambda: None)
        except TransportError:
            refused.set()

    background.start(lambda: stop(background.start))
    assert refused.wait(60)
    background.stop()
