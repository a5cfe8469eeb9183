"""The agent as a tool of an MCP server, with the `mcp` package's own client over TCP, in both of its lines."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from importlib import import_module, metadata
from typing import Any, TypeVar

import anyio
import httpx
import pytest

from agentrun.errors import InvalidInputError
from agentrun.server import AgentApp, AgentRequest, MCPProtocolConfig, MCPProtocolHandler, ServerConfig
from tests.gateway.serving import LOOPS, on_port, plain_client
from tests.unit.server.a2a.agents import Listening, Waiting
from tests.unit.server.agents import agent, event
from tests.unit.server.serving import PATIENCE, Served, serving

T = TypeVar("T")
PNG = "iVBORw0KGgo="
TOOL = "agentrun_server"
IS_FIRST = metadata.version("mcp").startswith("1.")


# Old versions of the package leave streams open when a server ends.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")


def on_another_loop() -> bool:
    """Let sse_starlette wait for nothing of another loop, as versions before 2.4 do; whether it is so old."""
    status: Any = import_module("sse_starlette.sse").AppStatus
    if is_old := hasattr(status, "should_exit_event"):
        status.should_exit_event = None
    return is_old


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    yield
    if on_another_loop():
        gc.collect()  # Here, where it is known what is left open, and not in another test.


@asynccontextmanager
async def session_with(served: Served, path: str = "/mcp", **headers: str) -> AsyncGenerator[Any, None]:
    """A session of the package's own client."""
    transport: Any = import_module("mcp.client.streamable_http")
    client: Any = import_module("httpx" if IS_FIRST else "httpx2")
    mcp: Any = import_module("mcp")
    on_another_loop()
    async with (
        client.AsyncClient(timeout=PATIENCE, trust_env=False, verify=False, headers=headers) as http,
        transport.streamable_http_client(f"{served.root}{path}", http_client=http) as streams,
        mcp.ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()
        yield session


def talk(
    served: Served, conversation: Callable[[Any], Coroutine[Any, Any, T]], path: str = "/mcp", **headers: str
) -> T:
    """What a conversation comes to."""

    async def run() -> T:
        with anyio.fail_after(PATIENCE):
            async with session_with(served, path, **headers) as session:
                return await conversation(session)

    return asyncio.run(run())


async def call(session: Any, progress: Any = None, tool: str = TOOL, **arguments: Any) -> Any:
    """What is on the wire of a result."""
    result = await session.call_tool(tool, {"message": "hi", **arguments}, progress_callback=progress)
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)


def told(*items: Any) -> Any:
    """The result of an agent that gives these."""
    with serving(agent(*items)) as served:
        return talk(served, call)


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def test_the_agent_is_the_one_tool() -> None:
    async def tools(session: Any) -> Any:
        found = (await session.list_tools()).tools
        return [tool.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in found]

    with serving(agent("x")) as served:
        (tool,) = talk(served, tools)
    config = ServerConfig(mcp=MCPProtocolConfig(prefix="/tools", tool_name="ask_ada", description="Ask Ada"))
    with serving(agent("x"), config) as served:
        (other,) = talk(served, tools, "/tools")
    assert (tool["name"], tool["inputSchema"]["required"]) == (TOOL, ["message"])
    assert set(tool["inputSchema"]["properties"]) == {"message", "session_id"}
    assert (other["name"], other["description"]) == ("ask_ada", "Ask Ada")


@pytest.mark.parametrize(
    ("items", "content"),
    [
        (["Hel", "lo"], [text("Hello")]),
        ([], [text("")]),
        ([event("REASONING", delta="hm"), "so"], [text("so")]),
        (
            [event("TOOL_CALL", id="t", name="add", args="{}"), event("TOOL_RESULT", id="t", result="2"), "2"],
            [text("2")],
        ),
        ([event("HITL", id="h", type="confirm", prompt="May I?")], [text("May I?")]),
        ([event("STATE", snapshot={}), event("CUSTOM", name="x", value=1), "so"], [text("so")]),
    ],
    ids=["text", "nothing", "reasoning", "a tool", "a question", "other things"],
)
def test_what_an_agent_says_is_the_result(items: list[Any], content: Any) -> None:
    result = told(*items)
    assert (result["content"], result["isError"]) == (content, False)


def test_what_an_agent_makes_is_in_the_result() -> None:
    image = event("CUSTOM", name="image_url", value={"image_url": {"url": f"data:image/png;base64,{PNG}"}})
    sound = event("CUSTOM", name="audio", value={"data": "data:audio/wav;base64,AAEC"})
    link = event("CUSTOM", name="image", value={"url": "https://page.test/a.png"})
    file = event("CUSTOM", name="file", value={"file_data": "QUJD", "filename": "a.txt"})
    content = told("see", image, sound, "and", link, file, event("CUSTOM", name="data", value={"a": 1}))["content"]
    kinds = [block["type"] for block in content]
    assert kinds == ["text", "image", "audio", "text", "resource_link", "resource", "text"]
    assert (content[1]["data"], content[1]["mimeType"]) == (PNG, "image/png")
    assert (content[2]["data"], content[2]["mimeType"]) == ("AAEC", "audio/wav")
    assert (content[4]["uri"], content[4]["mimeType"]) == ("https://page.test/a.png", "image/png")
    assert (content[5]["resource"]["blob"], content[5]["resource"]["mimeType"]) == ("QUJD", "text/plain")
    assert content[6] == text('{"a": 1}')


def test_usage() -> None:
    spent = [event("USAGE", input_tokens=3, output_tokens=4), event("USAGE", input_tokens=1, output_tokens=0)]
    assert told("so", *spent)["_meta"]["usage"] == {"inputTokens": 4, "outputTokens": 4}


@pytest.mark.parametrize("before", [[], ["one"]], ids=["before", "between"])
def test_an_error_is_a_result_that_says_so(before: list[Any]) -> None:
    result = told(*before, RuntimeError("no luck"))
    assert (result["content"], result["isError"]) == ([text("no luck")], True)
    assert result["_meta"]["code"] == "RuntimeError"


def test_an_agent_that_interrupts_itself_has_failed() -> None:
    result = told("one", asyncio.CancelledError())
    assert (result["content"], result["isError"]) == ([text("The agent was interrupted")], True)


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        (TOOL, {"message": ""}, "message"),
        (TOOL, {"message": 7}, "message"),
        (TOOL, {"session_id": 7}, "session_id"),
        ("other", {}, "There is no tool 'other'"),
    ],
)
def test_a_bad_call_is_told_what_is_wrong(tool: str, arguments: Any, words: str) -> None:
    with serving(agent("never")) as served:
        result = talk(served, lambda session: call(session, tool=tool, **arguments))
    assert result["isError"]
    assert words in result["content"][0]["text"]


def test_words_are_told_as_they_come_to_those_who_ask_for_progress() -> None:
    waiting = Waiting()
    heard: list[Any] = []

    async def conversation(session: Any) -> Any:
        async def progress(done: float, total: float | None, message: str | None) -> None:
            heard.append((done, total, message))
            waiting.go_on.set()  # So the rest comes only when the first word was heard.

        return await call(session, progress)

    with serving(waiting) as served:
        result = talk(served, conversation)
    assert heard == [(3, None, "one"), (7, None, " two")]
    assert result["content"] == [text("one two")]


def test_what_was_asked_reaches_the_agent() -> None:
    listening = Listening()

    async def conversation(session: Any) -> None:
        async def progress(*_: Any) -> None:
            pass

        await call(session, session_id="S", message="one")
        await call(session, progress, message="two")

    with serving(listening) as served:
        talk(served, conversation, **{"x-agentrun-session-id": "H", "x-mine": "1"})
    first, second = listening.requests
    assert (first.protocol, first.messages[0].text, first.session_id, first.stream) == ("mcp", "one", "S", False)
    assert (second.messages[0].text, second.session_id, second.stream) == ("two", "H", True)
    assert first.raw_request.headers["x-mine"] == "1"


def test_calls_at_once_do_not_mix() -> None:
    async def handler(request: AgentRequest) -> AsyncIterator[str]:
        for _ in range(20):
            yield request.messages[0].text
            await asyncio.sleep(0)

    async def conversation(session: Any) -> Any:
        return await asyncio.gather(*(call(session, message=f"{number},") for number in range(8)))

    with serving(handler) as served:
        results = talk(served, conversation)
    assert [result["content"] for result in results] == [[text(f"{number}," * 20)] for number in range(8)]


def test_a_canceled_call_stops_the_agent_and_the_session_goes_on() -> None:
    waiting = Waiting()

    async def handler(request: AgentRequest) -> Any:
        return waiting(request) if request.messages[0].text == "wait" else "ok"

    async def conversation(session: Any) -> Any:
        calling = asyncio.create_task(call(session, message="wait"))
        assert await asyncio.to_thread(waiting.waits.wait, PATIENCE)
        assert not waiting.stopped.is_set()
        for number in range(4):  # The two lines count differently, and what is over already cannot be canceled.
            await cancel(session, number)
        assert await asyncio.to_thread(waiting.stopped.wait, PATIENCE)
        calling.cancel()
        return await call(session)

    with serving(handler) as served:
        assert talk(served, conversation)["content"] == [text("ok")]


async def cancel(session: Any, request_id: int) -> None:
    types: Any = import_module("mcp.types")
    notification = {"method": "notifications/cancelled", "params": {"requestId": request_id}}
    cancelled = types.CancelledNotification.model_validate(notification)
    await session.send_notification(types.ClientNotification(cancelled) if IS_FIRST else cancelled)


class Plain:
    """A client that says no more than it must, and can be gone at any moment."""

    def __init__(self, served: Served, http: httpx.Client) -> None:
        on_another_loop()
        self._url, self._http = f"{served.root}/mcp", http
        self._headers = {"accept": "application/json, text/event-stream"}
        begin = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
        self._headers["mcp-session-id"] = self._post("initialize", begin, id=0).headers["mcp-session-id"]
        self._post("notifications/initialized", {})

    def _post(self, method: str, params: Any, **more: Any) -> httpx.Response:
        body = {"jsonrpc": "2.0", "method": method, "params": params, **more}
        return self._http.post(self._url, json=body, headers=self._headers)

    @contextmanager
    def calling(self, waiting: Waiting, seconds: float) -> Generator[None, None, None]:
        """A call within the block that comes to nothing, at the latest after so many seconds."""

        def call() -> None:
            self._http.timeout = httpx.Timeout(seconds)
            with suppress(httpx.HTTPError):
                self._post("tools/call", {"name": TOOL, "arguments": {"message": "hi"}}, id=1)

        thread = threading.Thread(target=call)
        thread.start()
        assert waiting.waits.wait(PATIENCE)
        assert not waiting.stopped.is_set()
        yield
        thread.join(PATIENCE)


def plain_http() -> httpx.Client:
    return httpx.Client(trust_env=False, verify=False, timeout=PATIENCE)


def test_an_agent_is_stopped_when_its_client_has_gone() -> None:
    waiting = Waiting()
    with serving(waiting) as served, plain_http() as http:
        with Plain(served, http).calling(waiting, 1):
            pass
        assert waiting.stopped.wait(PATIENCE / 2)


def test_a_server_that_ends_stops_its_agents() -> None:
    waiting = Waiting()
    with plain_http() as http, ExitStack() as stack:
        with serving(waiting) as served:
            stack.enter_context(Plain(served, http).calling(waiting, PATIENCE))
        assert waiting.stopped.is_set()


def test_the_tool_of_an_application_has_its_name_in_letters_that_clients_take() -> None:
    app = AgentApp(app_name="Ada, the First!")

    @app.query()
    def answer(self: Any, msgs: Any, request: Any) -> str:
        return "hello"

    with on_port(app, LOOPS["uvloop"]) as port, plain_client() as http:
        result = talk(Served(port, http), lambda session: call(session, tool="ada_the_first"))
    assert result["content"] == [text("hello")]


def test_it_can_be_switched_off() -> None:
    with serving(agent("x"), ServerConfig(mcp=MCPProtocolConfig(enable=False))) as served:
        assert served.post("/mcp", {}).status_code == 404


def test_a_tool_has_a_name_that_clients_take() -> None:
    with pytest.raises(InvalidInputError, match="cannot be called 'ask me'"):
        MCPProtocolHandler(ServerConfig(mcp=MCPProtocolConfig(tool_name="ask me")))


WITHOUT = """
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == "mcp" else find_spec(name, *rest)
from agentrun.server import AgentRunServer
paths = AgentRunServer(lambda _: "x").as_fastapi_app().openapi()["paths"]
assert "/mcp" not in paths and "/a2a" in paths, paths
"""
LATE = """
import sys
from agentrun.server import AgentRunServer
paths = AgentRunServer(lambda _: "x").as_fastapi_app().openapi()["paths"]
assert "/mcp" in paths
assert not {"mcp", "mcp_types", "a2a", "sse_starlette", "jsonschema"} & set(sys.modules)
"""


@pytest.mark.parametrize("program", [WITHOUT, LATE], ids=["without the package", "before the first request"])
def test_the_package_is_not_needed_and_waits_for_the_first_request(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)
