"""The server around the protocols: what it serves, whom it lets in, and when it is ready."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

import agentrun.server
from agentrun._core.credentials import get_request_sts
from agentrun.errors import InvalidInputError
from agentrun.server import (
    AgentInvoker,
    AgentRequest,
    AgentRunServer,
    OpenAIProtocolConfig,
    ProtocolHandler,
    ServerConfig,
)
from tests.gateway.serving import LOOPS, on_port, plain_client, wait_until
from tests.unit.server.serving import ASKED, PATIENCE, answers, serving

CHAT = "/openai/v1/chat/completions"


def hello(_: AgentRequest) -> str:
    return "hello"


@pytest.mark.parametrize("path", ["/health", "/liveness", "/readiness"])
def test_it_says_that_it_is_well(path: str) -> None:
    with serving(hello) as served:
        answer = served.http.get(f"{served.root}{path}")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_protocol_that_is_switched_off_is_not_served() -> None:
    with serving(hello, ServerConfig(openai=OpenAIProtocolConfig(enable=False))) as served:
        assert served.post(CHAT, {"messages": ASKED}).status_code == 404


def test_pages_of_other_origins_are_let_in_only_where_they_are_named() -> None:
    asks = {"origin": "https://page.test", "access-control-request-method": "POST"}
    with serving(hello) as served:
        closed = served.http.options(f"{served.root}{CHAT}", headers=asks)
    with serving(hello, ServerConfig(cors_origins=["https://page.test"])) as served:
        opened = served.http.options(f"{served.root}{CHAT}", headers=asks)
        other = served.http.options(f"{served.root}{CHAT}", headers={**asks, "origin": "https://other.test"})
    assert closed.status_code == 405
    assert (opened.status_code, opened.headers["access-control-allow-origin"]) == (200, "https://page.test")
    assert "access-control-allow-origin" not in other.headers


def test_any_origin_is_let_in_without_its_cookies() -> None:
    with serving(hello, ServerConfig(cors_origins=["*"])) as served:
        answer = served.http.get(f"{served.root}/health", headers={"origin": "https://page.test", "cookie": "a=b"})
    assert answer.headers["access-control-allow-origin"] in ("*", "https://page.test")
    assert "access-control-allow-credentials" not in answer.headers


class Runner:
    def __init__(self) -> None:
        self.story: list[str] = []

    async def init_handler(self) -> None:
        self.story.append("init")

    def query_handler(self, msgs: Any, request: AgentRequest) -> Iterator[str]:
        self.story.append("query")
        yield f"{msgs[0].text} {request.protocol}"

    def shutdown_handler(self) -> None:
        self.story.append("shutdown")


def test_a_runner_is_started_and_stopped_with_the_server() -> None:
    runner = Runner()
    with serving(runner) as served:
        answer = served.post(CHAT, {"messages": ASKED}).json()
    assert answer["choices"][0]["message"]["content"] == "hi openai"
    assert runner.story == ["init", "query", "shutdown"]


def test_it_can_be_mounted_beside_other_routes() -> None:
    app: Any = FastAPI()
    app.mount("/agent", AgentRunServer(hello).as_fastapi_app())
    with on_port(app, LOOPS["asyncio"]) as port, plain_client() as http:
        answer = http.post(f"http://127.0.0.1:{port}/agent{CHAT}", json={"messages": ASKED})
    assert answer.json()["choices"][0]["message"]["content"] == "hello"


class Words(ProtocolHandler):
    """A protocol of one's own, as the official client's users write them."""

    name = "words"

    def get_prefix(self) -> str:
        return "/words"

    def as_fastapi_router(self, agent_invoker: AgentInvoker) -> APIRouter:
        router = APIRouter()

        @router.post("/say")
        async def say() -> list[str]:
            return [event.data["delta"] for event in await agent_invoker.invoke(AgentRequest())]

        return router


def test_a_protocol_of_ones_own_takes_the_place_of_the_others() -> None:
    app: Any = AgentRunServer(hello, protocols=[Words()]).as_fastapi_app()
    with on_port(app, LOOPS["asyncio"]) as port, plain_client() as http:
        assert http.post(f"http://127.0.0.1:{port}/words/say").json() == ["hello"]
        assert http.post(f"http://127.0.0.1:{port}{CHAT}").status_code == 404


def test_blocking_handlers_leave_the_server_free_for_others() -> None:
    others = threading.Barrier(21)

    def waits(_: AgentRequest) -> str:
        others.wait(PATIENCE)  # Passed when all are inside at once, and this test with them.
        return "done"

    with serving(waits) as served, ThreadPoolExecutor(20) as threads:
        answers = [threads.submit(served.post, CHAT, {"messages": ASKED}) for _ in range(20)]
        assert served.http.get(f"{served.root}/health").status_code == 200
        others.wait(PATIENCE)
        assert [answer.result().status_code for answer in answers] == [200] * 20


LENT = {"x-fc-access-key-id": "lent", "x-fc-access-key-secret": "s", "x-fc-security-token": "t"}


def tells_its_key(_: AgentRequest) -> Iterator[str]:
    found = get_request_sts()
    yield str(found.access_key_id) if found else "its own"


def key_used(monkeypatch: pytest.MonkeyPatch, *, on_the_platform: bool) -> str:
    if on_the_platform:
        monkeypatch.setenv("FC_FUNCTION_NAME", "f")
    else:
        monkeypatch.delenv("FC_FUNCTION_NAME", raising=False)
    with serving(tells_its_key) as served:
        answer = served.http.post(f"{served.root}{CHAT}", json={"messages": ASKED}, headers=LENT)
        plain = served.post(CHAT, {"messages": ASKED})
    assert said(plain) == "its own"
    return said(answer)


def said(answer: httpx.Response) -> str:
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def test_access_keys_in_headers_count_on_the_platform_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_used(monkeypatch, on_the_platform=True) == "lent"
    assert key_used(monkeypatch, on_the_platform=False) == "its own"


PROGRAM = """
import sys, time
from agentrun.server import AgentRunServer

def handler(request):
    yield "one"
    time.sleep(1)
    yield "two"

AgentRunServer(handler).start(port=int(sys.argv[1]), log_level="warning")
"""


def test_a_program_that_is_told_to_end_finishes_its_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    root = f"http://127.0.0.1:{port}"
    body = {"messages": ASKED, "stream": True}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(port)]) as program, plain_client() as http:
        try:
            wait_until(lambda: answers(http, f"{root}/health"), PATIENCE)
            with http.stream("POST", f"{root}{CHAT}", json=body, timeout=PATIENCE) as answer:
                lines = answer.iter_lines()
                first = next(lines)
                program.send_signal(signal.SIGTERM)
                text = "\n".join([first, *lines])
            # Uvicorn ends as the signal would have ended it.
            assert program.wait(PATIENCE) in (0, -signal.SIGTERM)
        finally:
            program.kill()
    assert '"one"' in text
    assert text.rstrip().endswith("[DONE]")


def test_what_it_cannot_do_is_said_at_once() -> None:
    with pytest.raises(InvalidInputError, match="memory collection"):
        AgentRunServer(hello, memory_collection_name="talks")


def test_every_name_is_there_and_no_other() -> None:
    assert all(getattr(agentrun.server, name).__name__ for name in ("AgentRunServer", "AgentInvoker"))
    assert [name for name in agentrun.server.__all__ if not hasattr(agentrun.server, name)] == []
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = agentrun.server.Nothing


def test_the_events_come_without_the_server_and_the_server_without_fastapi() -> None:
    code = """
import sys
from agentrun.server import AgentEvent
assert "starlette" not in sys.modules and "uvicorn" not in sys.modules
from agentrun.server import AgentRunServer
assert "fastapi" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
