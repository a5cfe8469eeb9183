"""Conversations that a server keeps: what was said and done, once, however the run ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrun.server import AgentEvent, AgentRequest, AgentRunServer, EventType, keep_conversations
from agentrun.server.services import SqlSessionHistoryService
from tests.gateway.serving import LOOPS, on_port, plain_client, wait_until
from tests.unit.server.serving import answers

PATIENCE = 30.0
CHAT = "/openai/v1/chat/completions"


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'kept.db'}"


def kept(database: str, user: str, session: str) -> list[dict[str, Any]]:
    async def read() -> list[dict[str, Any]]:
        async with SqlSessionHistoryService(database) as service:
            found = await service.find_session(user, session)
            return found.messages if found else []

    return asyncio.run(read())


@contextmanager
def serving(agent: Any, database: str) -> Generator[tuple[str, httpx.Client], None, None]:
    service = SqlSessionHistoryService(database)
    asyncio.run(service.start())
    app: Any = AgentRunServer(agent, around=[keep_conversations(service)]).as_fastapi_app()
    with on_port(app, LOOPS["uvloop"]) as port, plain_client() as http:
        yield f"http://127.0.0.1:{port}", http
    asyncio.run(service.stop())


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}], **more}


async def agent(request: AgentRequest) -> AsyncIterator[Any]:
    if "fail" in request.messages[-1].text:
        yield "Half"
        raise ValueError("no more")
    yield AgentEvent(event=EventType.REASONING, data={"delta": "Hm."})
    yield "Let me "
    yield "see."
    yield AgentEvent(event=EventType.TOOL_CALL_CHUNK, data={"id": "c1", "name": "look_up", "args_delta": '{"word":'})
    yield AgentEvent(event=EventType.TOOL_CALL_CHUNK, data={"id": "c1", "args_delta": ' "ada"}'})
    yield AgentEvent(event=EventType.TOOL_RESULT, data={"id": "c1", "result": "a language"})
    yield "A language."


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_becomes_messages_of_its_session(database: str, stream: bool) -> None:
    with serving(agent, database) as (url, http):
        headers = {"X-AgentRun-Session-ID": "s1"}
        http.post(url + CHAT, json=asked("Ada?", stream=stream, user="u1"), headers=headers, timeout=PATIENCE)
    function = {"name": "look_up", "arguments": '{"word": "ada"}'}
    assert kept(database, "u1", "s1") == [
        {"role": "user", "content": "Ada?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "reasoning_content": "Hm.",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a language"},
        {"role": "assistant", "content": "A language."},
    ]


def test_what_the_client_repeats_is_kept_once(database: str) -> None:
    def agree(request: AgentRequest) -> str:
        return "Yes."

    with serving(agree, database) as (url, http):
        headers = {"X-AgentRun-Conversation-ID": "c1", "X-AgentRun-User-ID": "u2"}
        first = [{"role": "user", "content": "One?"}]
        http.post(url + CHAT, json={"messages": first}, headers=headers, timeout=PATIENCE)
        second = [*first, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Two?"}]
        http.post(url + CHAT, json={"messages": second}, headers=headers, timeout=PATIENCE)
    assert [message["content"] for message in kept(database, "u2", "c1")] == ["One?", "Yes.", "Two?", "Yes."]


def test_a_run_that_fails_is_kept_as_far_as_it_came(database: str) -> None:
    with serving(agent, database) as (url, http):
        headers = {"X-AgentRun-Session-ID": "s1"}
        http.post(url + CHAT, json=asked("fail", stream=True), headers=headers, timeout=PATIENCE)
    assert [message["content"] for message in kept(database, "default", "s1")] == ["fail", "Half"]


def test_a_client_that_goes_leaves_what_was_said(database: str) -> None:
    gone = asyncio.Event()

    async def endless(request: AgentRequest) -> AsyncIterator[str]:
        yield "Begun"
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    with serving(endless, database) as (url, http):
        headers = {"X-AgentRun-Session-ID": "s1"}
        with http.stream(
            "POST", url + CHAT, json=asked("Go", stream=True), headers=headers, timeout=PATIENCE
        ) as answer:
            next(answer.iter_lines())
    assert gone.is_set()
    assert [message["content"] for message in kept(database, "default", "s1")] == ["Go", "Begun"]


PROGRAM = """
import asyncio, sys
from agentrun.server import AgentApp, keep_conversations
from agentrun.server.services import SqlSessionHistoryService

service = SqlSessionHistoryService(sys.argv[1])
app = AgentApp(around=[keep_conversations(service)], before_start=service.start, after_finish=service.stop)

@app.query(framework="text")
async def query(msgs, request):
    yield "one "
    await asyncio.sleep(float(msgs))
    yield "two"

app.run(port=int(sys.argv[2]), timeout_graceful_shutdown=1, log_level="critical")
"""


@pytest.mark.parametrize(("seconds", "said"), [("0.3", "one two"), ("60", "one ")], ids=["in time", "too late"])
def test_a_server_that_is_told_to_end_keeps_what_was_said(database: str, seconds: str, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    root = f"http://127.0.0.1:{port}"
    body = {"session_id": "s", "input": [{"role": "user", "content": [{"type": "text", "text": seconds}]}]}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, database, str(port)]) as program, plain_client() as http:
        try:
            wait_until(lambda: answers(http, f"{root}/health"), PATIENCE)
            with (
                contextlib.suppress(httpx.RemoteProtocolError),  # The end of one that came too late.
                http.stream("POST", f"{root}/process", json=body, timeout=PATIENCE) as answer,
            ):
                for line in answer.iter_lines():
                    if '"one "' in line and program.poll() is None:
                        program.send_signal(signal.SIGTERM)
            assert program.wait(PATIENCE) in (0, -signal.SIGTERM)
        finally:
            program.kill()
    assert [message["content"] for message in kept(database, "s", "s")] == [seconds, said]


def test_who_names_no_session_is_not_kept(database: str) -> None:
    with serving(agent, database) as (url, http):
        assert http.post(url + CHAT, json=asked("Ada?"), timeout=PATIENCE).status_code == 200
    assert kept(database, "default", "default") == []


def test_a_service_that_is_away_stops_nobody(database: str) -> None:
    app: Any = AgentRunServer(agent, around=[keep_conversations(SqlSessionHistoryService(database))]).as_fastapi_app()
    with on_port(app, LOOPS["uvloop"]) as port, plain_client() as http:
        headers = {"X-AgentRun-Session-ID": "s1"}
        answer = http.post(f"http://127.0.0.1:{port}{CHAT}", json=asked("Ada?"), headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"].endswith("A language.")
