"""The spans of runs, and of what is done in them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from typing import Any

import openai
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from agentrun import CodeInterpreterSandbox, Config
from agentrun._core import local
from agentrun._core.api import timeouts
from agentrun._core.signed_client import signed_client
from agentrun.errors import AgentRunError
from agentrun.model.completion import ModelCompletionAPI
from agentrun.sandbox.data import CodeInterpreterDataAPI
from agentrun.server import AgentEvent, AgentRequest, EventType, ServerConfig
from agentrun.server.tracing.around import Tracing
from agentrun.toolset.mcp import McpClient
from agentrun.toolset.openapi import OpenAPI
from tests.gateway.answers import completion, refusal, streamed
from tests.unit.server.traced import Traced, id_of, is_below, name, told, traced
from tests.unit.servers import Behaviour, answer, serving, stream
from tests.unit.toolset.documents import minimal
from tests.unit.toolset.mcp.speaking import speaking

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
PAUSE = 0.2


def event(kind: EventType, **data: Any) -> AgentEvent:
    return AgentEvent(event=kind, data=data)


async def agent(request: AgentRequest) -> AsyncGenerator[Any, None]:
    """Does what it is asked."""
    text = request.messages[-1].text
    if text == "fail":
        raise ValueError(f"refused with the key {SECRET}")
    await asyncio.sleep(PAUSE)
    yield "a word"
    if text == "fail later":
        raise KeyError("name")
    if text == "interrupt":
        raise asyncio.CancelledError
    if text == "wait":
        await asyncio.sleep(60)
    await asyncio.sleep(PAUSE)
    yield event(EventType.USAGE, input_tokens=3, output_tokens=5)
    yield event(EventType.USAGE, input_tokens=4, output_tokens=6)


@pytest.fixture(scope="module")
def server() -> Generator[Traced]:
    with traced(agent) as served:
        yield served


# Runs


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_is_a_span_by_the_conventions(server: Traced, stream: bool) -> None:
    server.ask("hi", stream=stream, **{"x-agentrun-session-id": "s-1"})
    (span,) = server.spans()
    assert (span.name, span.kind, span.parent) == ("invoke_agent guide", SpanKind.INTERNAL, None)
    assert span.status.status_code == StatusCode.UNSET
    attributes: dict[str, Any] = dict(span.attributes or {})
    assert PAUSE <= attributes.pop("gen_ai.response.time_to_first_chunk") < 2 * PAUSE
    assert attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "guide",
        "gen_ai.conversation.id": "s-1",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 11,
        "agentrun.protocol": "openai",
        "agentrun.outcome": "completed",
    }
    assert (span.end_time or 0) - (span.start_time or 0) >= 2 * PAUSE * 1e9


def test_a_run_is_below_the_span_that_its_request_names(server: Traced) -> None:
    server.ask("hi", traceparent=TRACEPARENT)
    span = server.run()
    context = span.get_span_context()
    assert context
    assert f"{context.trace_id:032x}" == TRACE
    assert span.parent
    assert f"{span.parent.span_id:016x}" == PARENT


@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_run_is_marked_without_its_secrets(server: Traced, stream: bool) -> None:
    with pytest.raises(openai.APIError):
        server.ask("fail", stream=stream)
    span = server.run()
    assert span.status.status_code == StatusCode.ERROR
    assert told(span, "error.type") == "ValueError"
    assert told(span, "agentrun.outcome") == "failed"
    assert (span.status.description or "").startswith("refused with the key <")
    assert SECRET not in span.to_json()


def test_a_run_that_fails_after_its_first_words_is_marked(server: Traced) -> None:
    with pytest.raises(openai.APIError):
        server.ask("fail later", stream=True)
    span = server.run()
    assert span.status.status_code == StatusCode.ERROR
    assert told(span, "error.type") == "KeyError"


def test_an_interrupted_run_is_cancelled_and_no_failure(server: Traced) -> None:
    with pytest.raises(openai.APIError):
        server.ask("interrupt")
    span = server.run()
    assert told(span, "agentrun.outcome") == "cancelled"
    assert span.status.status_code == StatusCode.UNSET


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_whose_client_has_gone_is_cancelled(server: Traced, stream: bool) -> None:
    asked: Any = {"model": "agentrun", "stream": stream, "messages": [{"role": "user", "content": "wait"}]}
    body = json.dumps(asked).encode()
    head = f"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head.encode() + body)
        time.sleep(2 * PAUSE)  # It has to begin before its client goes.
    span = server.run()
    assert told(span, "agentrun.outcome") == "cancelled"
    assert span.status.status_code == StatusCode.UNSET


def test_a_refused_request_is_no_run(server: Traced) -> None:
    assert server.post("/openai/v1/chat/completions", b"{").status_code == 400
    server.ask("hi")
    assert len(server.spans()) == 1


# What was said


def talk(_: AgentRequest) -> Generator[Any]:
    yield "the "
    yield event(EventType.TOOL_CALL, id="c1", name="look", args='{"at": "moon"}')
    yield event(EventType.TOOL_RESULT, id="c1", result="cheese")
    yield "answer"


def test_texts_are_in_no_span() -> None:
    with traced(talk) as talking:
        talking.ask("the question")
        spans = talking.spans()
    assert len(spans) == 2
    for word in ("question", "answer", "moon", "cheese"):
        assert all(word not in span.to_json() for span in spans)


def test_texts_are_in_spans_when_they_are_asked_for() -> None:
    with traced(talk, ServerConfig(trace_content=True)) as talking:
        talking.ask("the question")
        tool, run = talking.spans()
    assert json.loads(told(run, "gen_ai.input.messages")) == [
        {"role": "user", "parts": [{"type": "text", "content": "the question"}]}
    ]
    assert json.loads(told(run, "gen_ai.output.messages")) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "the answer"}]}
    ]
    assert json.loads(told(tool, "gen_ai.tool.call.arguments")) == {"at": "moon"}
    assert told(tool, "gen_ai.tool.call.result") == "cheese"


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("true", True), ("SPAN_ONLY", True), ("span_and_event", True), ("EVENT_ONLY", False), ("NO_CONTENT", False)],
)
def test_the_environment_can_ask_for_texts(said: str, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", said)
    with traced(talk) as talking:
        talking.ask("the question")
        assert (told(talking.run(), "gen_ai.input.messages") is not None) == wanted
    with traced(talk, ServerConfig(trace_content=False)) as talking:
        talking.ask("the question")
        assert told(talking.run(), "gen_ai.input.messages") is None, "what the configuration says counts more"


# Tools


async def use_tools(request: AgentRequest) -> AsyncGenerator[AgentEvent, None]:
    yield event(EventType.TOOL_CALL, id="c1", name="slow", args="{}")
    yield event(EventType.TOOL_CALL_CHUNK, id="c2", name="broken", args_delta="{")
    yield event(EventType.TOOL_CALL_CHUNK, id="c2", args_delta="}")
    yield event(EventType.TOOL_RESULT, id="c2", result="no", is_error=True)
    await asyncio.sleep(PAUSE)
    yield event(EventType.TOOL_RESULT_CHUNK, id="c1", delta="a part")
    yield event(EventType.TOOL_CALL, id="c3", name="left", args="{}")
    if request.messages[-1].text == "fail":
        raise ValueError


def test_tools_are_spans_below_the_run() -> None:
    with traced(use_tools) as using:
        using.ask()
        broken, slow, run = using.spans()
    assert [name(broken), name(slow)] == ["execute_tool broken", "execute_tool slow"]
    assert is_below(broken, run)
    assert is_below(slow, run)
    assert told(slow, "gen_ai.operation.name") == "execute_tool"
    assert (told(slow, "gen_ai.tool.name"), told(slow, "gen_ai.tool.call.id")) == ("slow", "c1")
    assert slow.status.status_code == StatusCode.UNSET
    assert broken.status.status_code == StatusCode.ERROR
    assert told(broken, "error.type") == "tool_error"
    lasted = [(span.end_time or 0) - (span.start_time or 0) for span in (slow, broken)]
    assert lasted[0] >= PAUSE * 1e9 > lasted[1]


def test_a_tool_that_was_under_way_when_the_run_broke_off_is_told() -> None:
    with traced(use_tools) as using:
        with pytest.raises(openai.APIError):
            using.ask("fail")
        found = {name(span): told(span, "agentrun.outcome") for span in using.spans()}
    assert found["execute_tool left"] == "cancelled"


# What an agent does is below its run


Where = dict[str, int]


async def _streams(found: Where) -> AsyncGenerator[str, None]:
    found["before"] = here()
    yield "a"
    found["after"] = here()
    await asyncio.create_task(_noting(found))
    yield "b"


async def _noting(found: Where) -> None:
    found["task"] = here()
    found["thread"] = await asyncio.to_thread(here)


async def _returns(found: Where) -> str:
    await _noting(found)
    return "a"


def _blocks(found: Where) -> Generator[str]:
    found["before"] = here()
    yield "a"
    found["after"] = here()


def _answers(found: Where) -> str:
    found["only"] = here()
    return "a"


def here() -> int:
    """The current span."""
    return trace.get_current_span().get_span_context().span_id


@pytest.mark.parametrize("agent_of_a_kind", [_streams, _returns, _blocks, _answers])
def test_the_span_is_current_wherever_an_agent_runs(agent_of_a_kind: Callable[[Where], Any]) -> None:
    found: Where = {}

    def served_agent(_: AgentRequest) -> Any:
        return agent_of_a_kind(found)

    with traced(served_agent) as served:
        served.ask(stream=True)
        assert set(found.values()) == {id_of(served.run())}


def test_runs_at_once_do_not_see_each_other() -> None:
    found: dict[str, set[int]] = {"one": set(), "two": set()}
    both = threading.Barrier(2)

    def note(request: AgentRequest) -> Generator[str]:
        for _ in range(5):
            both.wait(10)
            found[request.messages[-1].text].add(here())
            yield "a"

    with traced(note) as served:
        threads = [threading.Thread(target=served.ask, args=(text,)) for text in found]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ids = {id_of(span) for span in served.spans(of=2)}
    assert found["one"] | found["two"] == ids
    assert len(found["one"]) == len(found["two"]) == 1


def test_spans_of_the_agent_last_from_one_of_its_steps_to_the_next() -> None:
    found: Where = {}

    async def nested(_: AgentRequest) -> AsyncGenerator[str, None]:
        own = trace.NonRecordingSpan(trace.SpanContext(1, 77, is_remote=False))
        with trace.use_span(own):
            yield "a"
            found["within"] = here()
        found["behind"] = here()
        yield "b"

    with traced(nested) as served:
        served.ask(stream=True)
        assert found == {"within": 77, "behind": id_of(served.run())}


# What the SDK does is a span too


Use = Callable[[str, Config], Any]


def with_server(behaviour: Behaviour, use: Use) -> list[Any]:
    """The spans of a run in which an agent uses a server, in the order in which they ended, and what it received."""
    with serving(behaviour) as other:

        async def using(_: AgentRequest) -> str:
            async with Config.local(int(other.url.rpartition(":")[2])) as config:
                with suppress(AgentRunError):
                    await use(other.url, config)
            return "done"

        with traced(using) as served:
            served.ask()
            *spans, run = served.spans()
        assert all(is_below(span, run) for span in spans)
        return [*spans, other.requests[-1]]


def model(url: str, config: Config) -> ModelCompletionAPI:
    return ModelCompletionAPI(api_key=SECRET, base_url=f"{url}/v1", model="m-1", provider="tongyi", config=config)


ASKED: Any = [{"role": "user", "content": "a question"}]


async def _ask(url: str, config: Config) -> None:
    await model(url, config).acompletion(ASKED)


async def _ask_and_wait(url: str, config: Config) -> None:
    await asyncio.to_thread(model(url, config).completion, ASKED)


async def _read(url: str, config: Config) -> None:
    async for _ in await model(url, config).acompletion(ASKED, stream=True):
        pass


@pytest.mark.parametrize(
    ("behaviour", "use"),
    [
        (completion(), _ask),
        (completion(), _ask_and_wait),
        (streamed(), _read),
    ],
    ids=["awaited", "blocking", "streamed"],
)
def test_a_model_call_is_a_span(behaviour: Behaviour, use: Use) -> None:
    span, received = with_server(behaviour, use)
    assert (span.name, span.kind) == ("chat m-1", SpanKind.CLIENT)
    assert span.status.status_code == StatusCode.UNSET
    wanted = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "tongyi",
        "gen_ai.request.model": "m-1",
        "gen_ai.response.model": "m",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "127.0.0.1",
    }
    assert wanted.items() <= dict(span.attributes or {}).items()
    assert ("gen_ai.response.time_to_first_chunk" in (span.attributes or {})) == (use is _read)
    assert f"{id_of(span):016x}" in received.headers["traceparent"], "who is asked can tell what it did"
    assert "a question" not in span.to_json()
    assert SECRET not in span.to_json()


def test_a_model_call_that_fails_is_marked() -> None:
    span, _ = with_server(refusal(401, f"wrong key {SECRET}"), _ask)
    assert span.status.status_code == StatusCode.ERROR
    assert told(span, "error.type") == "AuthenticationError"
    assert SECRET not in span.to_json()


def foreign(url: str, config: Config) -> openai.AsyncOpenAI:
    """A client as frameworks have it: theirs, with our connections."""
    connections: Any = signed_client(config.session, None, timeouts(config), True)
    return openai.AsyncOpenAI(api_key=SECRET, base_url=f"{url}/v1", http_client=connections, max_retries=0)


async def _foreign(url: str, config: Config) -> None:
    async with foreign(url, config) as client:
        await client.chat.completions.create(model="m-1", messages=ASKED)


async def _foreign_stream(url: str, config: Config) -> None:
    async with foreign(url, config) as client:
        async for _ in await client.chat.completions.create(model="m-1", messages=ASKED, stream=True):
            pass


async def _foreign_and_blocking(url: str, config: Config) -> None:
    connections: Any = signed_client(config.session, None, timeouts(config), False)
    with openai.OpenAI(api_key=SECRET, base_url=f"{url}/v1", http_client=connections) as client:
        await asyncio.to_thread(client.chat.completions.create, model="m-1", messages=ASKED)


@pytest.mark.parametrize(
    ("behaviour", "use"),
    [(completion(), _foreign), (completion(), _foreign_and_blocking), (streamed(), _foreign_stream)],
)
def test_a_model_call_by_the_client_of_a_framework_is_a_span(behaviour: Behaviour, use: Use) -> None:
    span, received = with_server(behaviour, use)
    assert (span.name, span.kind) == ("chat m-1", SpanKind.CLIENT)
    assert span.status.status_code == StatusCode.UNSET
    assert (told(span, "gen_ai.usage.input_tokens"), told(span, "gen_ai.usage.output_tokens")) == (7, 3)
    assert f"{id_of(span):016x}" in received.headers["traceparent"]
    assert "a question" not in span.to_json()
    assert SECRET not in span.to_json()


def test_a_model_call_by_the_client_of_a_framework_that_fails_is_marked() -> None:
    async def fail(url: str, config: Config) -> None:
        with suppress(openai.RateLimitError):
            await _foreign(url, config)

    span, _ = with_server(refusal(429), fail)
    assert span.status.status_code == StatusCode.ERROR
    assert told(span, "error.type") == "429"


def test_a_stream_that_nobody_reads_to_its_end_ends_its_span() -> None:
    async def close(url: str, config: Config) -> None:
        stream = await model(url, config).acompletion(ASKED, stream=True)
        async for _ in stream:
            break
        await stream.close_async()

    span, _ = with_server(streamed(), close)
    assert span.name == "chat m-1"
    assert span.status.status_code == StatusCode.UNSET


@pytest.mark.parametrize(("status", "marked"), [(200, StatusCode.UNSET), (503, StatusCode.ERROR)])
def test_a_call_of_an_api_is_a_span(status: int, marked: StatusCode) -> None:
    tools = minimal({"operationId": "look"})
    span, _ = with_server(
        answer({"said": "cheese"}, status),
        lambda url, config: OpenAPI(tools, url, config=config).invoke_tool_async("look", {}),
    )
    assert span.name == "execute_tool look"
    assert told(span, "gen_ai.operation.name") == "execute_tool"
    assert told(span, "http.response.status_code") == status
    assert span.status.status_code == marked
    assert "cheese" not in span.to_json()


@pytest.mark.xdist_group("mcp")
@pytest.mark.parametrize("failed", [False, True])
def test_a_call_of_an_mcp_tool_is_a_span(failed: bool) -> None:
    async def call(url: str, _: Config) -> None:
        async with McpClient(f"{url}/mcp", timeout=60) as client:
            await client.call_tool_async("add")

    made = speaking(
        tools=[{"name": "add", "inputSchema": {"type": "object"}}], result={"content": [], "isError": failed}
    )
    span, _ = with_server(made, call)
    assert (span.name, told(span, "gen_ai.tool.name")) == ("execute_tool add", "add")
    assert span.status.status_code == (StatusCode.ERROR if failed else StatusCode.UNSET)


def test_a_tool_has_one_span_though_it_is_told_of_too() -> None:
    with serving(answer({})) as other:

        def using(_: AgentRequest) -> Generator[AgentEvent]:
            with Config() as config:
                tools = OpenAPI(minimal({"operationId": "look"}), other.url, config=config)
                for number in (1, 2):
                    yield event(EventType.TOOL_CALL, id=str(number), name="look", args="{}")
                    if number == 1:
                        tools.invoke_tool("look", {})
                    yield event(EventType.TOOL_RESULT, id=str(number), result="{}")

        with traced(using) as served:
            served.ask()
            names = [name(span) for span in served.spans()]
    assert names == ["execute_tool look", "execute_tool look", "invoke_agent guide"]


@pytest.mark.parametrize(
    ("results", "error"),
    [
        ([{"type": "result", "text": "forty-two"}], None),
        ([{"type": "error", "name": "NameError", "value": "x", "text": "a traceback"}], "NameError"),
    ],
)
def test_code_in_a_sandbox_is_a_span(results: list[dict[str, Any]], error: str | None) -> None:
    span, _ = with_server(
        answer({"results": results, "contextId": "ctx"}),
        lambda _, config: CodeInterpreterDataAPI("sb-1", config).execute_code_async("6 * 7", None),
    )
    assert (span.name, span.kind) == ("execute_code python", SpanKind.CLIENT)
    assert told(span, "agentrun.sandbox.id") == "sb-1"
    assert told(span, "error.type") == error
    assert span.status.status_code == (StatusCode.ERROR if error else StatusCode.UNSET)
    assert all(text not in span.to_json() for text in ("6 * 7", "forty-two", "traceback", local.ACCESS_KEY_SECRET))


STDOUT = {"type": "stdout", "text": "printed"}
END = {"type": "endOfExecution", "status": "ok", "contextId": "ctx"}
FAILED = {"type": "error", "name": "NameError", "value": "x", "text": "a traceback"}


@pytest.mark.parametrize(("entries", "error"), [([STDOUT, END], None), ([STDOUT, FAILED, END], "NameError")])
def test_code_whose_output_is_streamed_is_a_span(entries: list[dict[str, Any]], error: str | None) -> None:
    async def execute(_: str, config: Config) -> None:
        sandbox = CodeInterpreterSandbox.of({"sandboxId": "sb-1"}, config)
        async for _event in await sandbox.context.execute_stream_async("6 * 7", context_id="ctx"):
            pass

    span, _ = with_server(stream(*(b"data: %b\n\n" % json.dumps(entry).encode() for entry in entries)), execute)
    assert (span.name, told(span, "agentrun.sandbox.context_id")) == ("execute_code", "ctx")
    assert told(span, "error.type") == error
    assert "printed" not in span.to_json()


async def _command_of_data(_: str, config: Config) -> None:
    await CodeInterpreterDataAPI("sb-1", config).cmd_async("ls /private")


async def _command_of_sandbox(_: str, config: Config) -> None:
    await CodeInterpreterSandbox.of({"sandboxId": "sb-1"}, config).process.cmd_async("ls /private")


@pytest.mark.parametrize(("code", "marked"), [(0, StatusCode.UNSET), (3, StatusCode.ERROR)])
@pytest.mark.parametrize("run", [_command_of_data, _command_of_sandbox])
def test_a_command_in_a_sandbox_is_a_span(run: Use, code: int, marked: StatusCode) -> None:
    answered = answer({"status": "completed", "result": {"exitCode": code, "stdout": "printed"}})
    span, _ = with_server(answered, run)
    assert span.name == "execute_command"
    assert told(span, "process.exit.code") == code
    assert span.status.status_code == marked
    assert all(text not in span.to_json() for text in ("printed", "/private"))


# Off


def test_without_a_provider_a_run_is_left_alone() -> None:
    events = invoked()
    tracing = Tracing("guide", ServerConfig())
    assert tracing.around(AgentRequest(), events) is events, "nothing stands between an agent and its answer"


async def invoked() -> AsyncGenerator[AgentEvent, None]:
    yield event(EventType.TEXT, delta="a")
