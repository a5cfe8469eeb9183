"""An application that is told by decorators what its agent does."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from pydantic import SecretStr

from agentrun.errors import InvalidInputError
from agentrun.server import (
    A2AProtocolConfig,
    AgentApp,
    AgentInvoker,
    AgentRunServer,
    AGUIProtocolConfig,
    BaseProtocolHandler,
    OpenAIProtocolHandler,
    Runner,
    ServerConfig,
)
from tests.gateway.serving import LOOPS, on_port, plain_client
from tests.unit.server.serving import PATIENCE, Served


@contextmanager
def running(app: Any) -> Generator[Served, None, None]:
    with on_port(app, LOOPS["uvloop"]) as port, plain_client() as http:
        yield Served(port, http)


def asked(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"stream": False, "input": [{"role": "user", "content": [{"type": "text", "text": text}]}], **more}


def said(answer: httpx.Response) -> str:
    return "".join(part["text"] for message in answer.json()["output"] for part in message["content"])


def test_what_is_made_ready_answers_and_is_put_away() -> None:
    app, story = AgentApp(app_name="Friday"), list[str]()

    @app.init
    async def init(self: Any) -> None:
        self.greeting = "Good day"
        story.append("init")

    @app.query(framework="text")
    async def query(self: Any, msgs: str, request: Any = None, **_: Any) -> AsyncIterator[str]:
        yield f"{self.greeting}, {msgs} of {request.session_id}"

    @app.shutdown
    def shutdown(self: Any) -> None:
        story.append(f"shutdown {self.greeting}")

    with running(app) as served:
        answer = served.post("/process", asked("you", session_id="s1"))
        assert said(answer) == "Good day, you of s1"
        assert story == ["init"]
    assert story == ["init", "shutdown Good day"]


def test_it_says_what_it_is_and_how_it_is() -> None:
    with running(AgentApp(app_name="Friday", app_description="Helps", endpoint_path="/ask")) as served:
        found = served.http.get(f"{served.root}/").json()
        health = served.http.get(f"{served.root}/health").json()
    assert (found["service"], found["description"], found["endpoints"]["process"]) == ("Friday", "Helps", "/ask")
    assert "/openai/v1" in found["protocols"]["openai_chat_completions"]
    assert health == {"status": "healthy", "mode": "daemon_thread", "runner": "ready"}


def test_one_without_an_agent_says_what_to_do() -> None:
    with running(AgentApp()) as served:
        answer = served.post("/process", asked())
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "AGENT_NOT_FOUND"
    assert "@app.query" in answer.json()["error"]["message"]


def test_a_framework_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidInputError, match="langgraph"):
        AgentApp().query(framework="lang")


def test_a_path_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="is no path"):
        AgentApp(endpoint_path="process")


class Echo(Runner):
    framework_type = "text"

    def query_handler(self, msgs: Any, request: Any = None, **_: Any) -> Iterator[str]:
        yield from msgs.split()


def test_a_runner_answers_in_its_place() -> None:
    with running(AgentApp(runner=Echo())) as served:
        assert said(served.post("/process", asked("a b c"))) == "abc"


@pytest.mark.asyncio
async def test_a_runner_answers_without_a_server() -> None:
    async with Echo() as runner:
        events = [event async for event in runner.stream_query(asked("a b"))]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [events[0].status, events[-1].status] == ["created", "completed"]


def test_hooks_and_lifespan_are_around_everything() -> None:
    story: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        story.append("lifespan")
        yield
        story.append("end of lifespan")

    def before() -> None:
        story.append("before")

    def after(app: AgentApp) -> None:
        story.append(app.title)

    app = AgentApp(before_start=before, after_finish=after, lifespan=lifespan)

    @app.init
    def init(self: Any) -> None:
        story.append(f"init of {type(self).__name__}")

    with running(app):
        pass
    assert story == ["before", "lifespan", "init of Runner", "end of lifespan", "AgentApp"]


def test_routes_and_middleware_of_its_own() -> None:
    app = AgentApp()

    def user(request: Request) -> str:
        return request.headers["x-user"]

    @app.get("/me")
    def me(name: str = Depends(user)) -> dict[str, str]:
        return {"name": name}

    @app.middleware("http")
    async def stamp(request: Request, call_next: Any) -> Any:
        answer = await call_next(request)
        answer.headers["x-stamp"] = "seen"
        return answer

    with running(app) as served:
        answer = served.http.get(f"{served.root}/me", headers={"x-user": "Ada"})
    assert (answer.json(), answer.headers["x-stamp"]) == ({"name": "Ada"}, "seen")


@pytest.mark.parametrize("is_async", [True, False])
def test_what_a_generator_of_an_endpoint_gives_is_streamed(is_async: bool) -> None:
    app = AgentApp()

    async def later(to: int) -> AsyncIterator[Any]:
        for number in range(to):
            yield {"number": number}

    def now(to: int) -> Iterator[Any]:
        yield from ({"number": number} for number in range(to))

    app.endpoint("/count", methods=["GET"])(later if is_async else now)
    with running(app) as served:
        answer = served.http.get(f"{served.root}/count", params={"to": 2})
        wrong = served.http.get(f"{served.root}/count", params={"to": "many"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == 'data: {"number":0}\n\ndata: {"number":1}\n\n'
    assert wrong.status_code == 422


def test_an_endpoint_that_fails_between_two_values_says_so() -> None:
    app = AgentApp()

    @app.endpoint("/broken")
    async def broken() -> AsyncIterator[str]:
        yield "one"
        raise ValueError("no more")

    with running(app) as served:
        answer = served.post("/broken", {})
    assert answer.text.startswith('data: "one"\n\n')
    assert "no more" in answer.text


def test_only_who_has_a_key_is_let_in() -> None:
    app = AgentApp(runner=Echo(), config=ServerConfig(api_keys=[SecretStr("first"), SecretStr("second")]))

    def status(**headers: str) -> int:
        return served.http.post(f"{served.root}/process", json=asked("a"), headers=headers).status_code

    with running(app) as served:
        assert served.http.get(f"{served.root}/health").status_code == 200
        assert status() == 401
        assert status(authorization="Bearer third") == 401
        assert status(authorization="Basic first") == 401
        assert status(authorization="Bearer second") == 200
        assert status(**{"x-api-key": "first"}) == 200
    assert "first" not in repr(app.engine.config)


def test_only_who_has_the_token_ends_it() -> None:
    ended: list[float] = []
    app = AgentApp(config=ServerConfig(shutdown_token=SecretStr("please")))
    app.engine.shutdown.end = lambda: ended.append(time.monotonic())
    with running(app) as served:
        url = f"{served.root}/shutdown"
        assert served.http.post(url).status_code == 401
        assert served.http.post(url, headers={"authorization": "Bearer wrong"}).status_code == 401
        assert not ended
        assert served.http.post(url, headers={"authorization": "Bearer please"}, timeout=PATIENCE).status_code == 200
    assert len(ended) == 1
    with running(AgentApp()) as served:
        assert served.http.post(f"{served.root}/shutdown").status_code == 403


def test_a_misspelt_argument_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="endpoint_pat"):
        AgentApp(endpoint_pat="/ask")
    with pytest.raises(InvalidInputError, match="response_type"):
        AgentApp(response_type="json")
    AgentApp(response_type="sse", stream=True, docs_url=None)


def test_endpoints_may_be_given_as_a_list() -> None:
    def shout(text: str) -> dict[str, str]:
        return {"text": text.upper()}

    with running(AgentApp(custom_endpoints=[{"path": "/shout", "handler": shout, "methods": ["GET"]}])) as served:
        assert served.http.get(f"{served.root}/shout", params={"text": "a"}).json() == {"text": "A"}


def test_protocols_are_told_apart_by_their_own_settings() -> None:
    app = AgentApp(a2a_config=A2AProtocolConfig(enable=False), agui_config=AGUIProtocolConfig(prefix="/ui"))
    with running(app) as served:
        protocols = served.http.get(f"{served.root}/").json()["protocols"]
    assert "a2a" not in protocols
    assert protocols["ag-ui"][0] == "/ui"


class Unable(BaseProtocolHandler):
    name = "unable"

    def get_prefixes(self) -> Sequence[str]:
        return []

    def endpoints(self, agent_invoker: AgentInvoker) -> Sequence[Any]:
        raise AssertionError("it is not served")

    async def parse_request(self, request: Any, request_data: dict[str, Any]) -> Any:
        raise AssertionError("it is not served")


def test_a_protocol_without_a_path_is_not_served_and_not_told() -> None:
    server = AgentRunServer(lambda _: "hi", [Unable(), OpenAIProtocolHandler()], ServerConfig(web_ui=True))
    with running(server.as_fastapi_app()) as served:
        assert list(served.http.get(f"{served.root}/").json()["protocols"]) == ["openai_chat_completions"]
        assert served.http.get(f"{served.root}/chat").status_code == 200
