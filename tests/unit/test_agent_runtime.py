"""Agent runtimes: what the object does beside sending one request."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion

from agentrun import (
    AgentRunError,
    AgentRuntime,
    AgentRuntimeClient,
    AgentRuntimeEndpoint,
    AgentRuntimeUpdateInput,
    Config,
    InvalidInputError,
    InvalidResponseError,
    ResourceAlreadyExistError,
    ResourceFailedError,
    ResourceNotExistError,
    ServerError,
    UnsupportedError,
    WaitTimeoutError,
)
from agentrun._core.streams import Stream
from tests.unit.recording import Do, Platform, Sent, by_path, enveloped, in_both_modes, refused

RUNTIMES = "/2025-09-10/agents/runtimes"
CHAT = "/agent-runtimes/a/endpoints/Default/invocations/openai/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]


def runtime(config: Config, **fields: Any) -> AgentRuntime:
    return AgentRuntime.of({"agentRuntimeId": "rt", "agentRuntimeName": "a", "cpu": 4, **fields}, config)


def items(*found: dict[str, Any]) -> httpx.Response:
    return enveloped({"items": list(found)})


# Updates


@in_both_modes
def test_an_update_by_id_keeps_the_cores(do: Do) -> None:
    platform = Platform(lambda _: enveloped({"agentRuntimeId": "rt", "cpu": 8.0}))
    do(AgentRuntime, "update_by_id", "rt", AgentRuntimeUpdateInput(description="d"), platform.config())
    assert platform.calls == [f"GET {RUNTIMES}/rt", f"PUT {RUNTIMES}/rt"]
    assert platform.requests[1].body == {"cpu": 8.0, "description": "d"}


@in_both_modes
def test_an_update_of_the_object_knows_the_cores(do: Do) -> None:
    platform = Platform(lambda _: enveloped({"agentRuntimeId": "rt", "description": "d", "cpu": 4}))
    held = runtime(platform.config())
    assert do(held, "update", description="d") is held
    assert held.description == "d"
    assert [sent.body for sent in platform.requests] == [{"cpu": 4.0, "description": "d"}]


def test_an_update_with_cores_reads_nothing_first() -> None:
    platform = Platform(lambda _: enveloped({"agentRuntimeId": "rt"}))
    AgentRuntimeClient(platform.config()).update("rt", cpu=2, memory=2048)
    assert [sent.body for sent in platform.requests] == [{"cpu": 2.0, "memory": 2048}]


def test_input_and_keywords_together_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="not both"):
        AgentRuntime.update_by_id("rt", AgentRuntimeUpdateInput(cpu=2), memory=1)


# Lists


@in_both_modes
def test_a_list_reads_all_pages_and_gives_nothing_twice(do: Do) -> None:
    def page(sent: Sent) -> httpx.Response:
        start = 0 if sent.query["pageNumber"] == "1" else 49
        return items(*({"agentRuntimeId": f"rt-{n}"} for n in range(start, min(start + 50, 60))))

    platform = Platform(page)
    found = do(AgentRuntime, "list_all", config=platform.config())
    assert [each.agent_runtime_id for each in found] == [f"rt-{n}" for n in range(60)]
    assert [sent.query["pageNumber"] for sent in platform.requests] == ["1", "2"]


def test_a_list_reads_no_further_than_somebody_looks() -> None:
    platform = Platform(lambda _: items(*({"agentRuntimeId": f"rt-{n}"} for n in range(50))))
    found = AgentRuntime.list(platform.config())
    assert platform.calls == []
    assert found[49].agent_runtime_id == "rt-49"
    assert len(platform.requests) == 1


def test_what_a_list_gives_remembers_the_config() -> None:
    platform = Platform(lambda sent: items({"agentRuntimeId": "rt"}) if sent.query else enveloped({"cpu": 1}))
    AgentRuntime.list_all(config=platform.config())[0].refresh()
    assert platform.calls == [f"GET {RUNTIMES}", f"GET {RUNTIMES}/rt"]


@in_both_modes
def test_workspaces_are_found_by_their_exact_names(do: Do) -> None:
    def answer(sent: Sent) -> httpx.Response:
        if sent.path.endswith("/workspaces"):
            name = sent.query["name"]
            found = [{"name": f"{name}-2", "workspaceId": "w-0"}, {"name": name, "workspaceId": f"w-{name}"}]
            return enveloped({"workspaces": found})
        return items()

    platform = Platform(answer)
    config = platform.config().replace(access_key_id=f"AK-{do.__name__}")
    do(AgentRuntime, "list_all", workspace_names="x,y", config=config)
    do(AgentRuntime, "list_all", workspace_name="x", config=config)
    assert [sent.query.get("workspaceIds") or sent.query.get("workspaceId") for sent in platform.requests] == [
        None,
        None,
        "w-x,w-y",
        "w-x",
    ]


def test_a_workspace_that_is_not_there_is_named() -> None:
    platform = Platform(lambda _: enveloped({"workspaces": []}))
    with pytest.raises(ResourceNotExistError, match="Workspace 'nope'"):
        AgentRuntime.list_all(workspace_name="nope", config=platform.config())[0]


# Deleting


class Endpoints:
    """Endpoints that go some looks after they were deleted."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def __call__(self, sent: Sent) -> httpx.Response:
        if sent.method == "GET":
            self.looks -= 1
            return (
                items({"agentRuntimeEndpointId": "ep-1"}, {"agentRuntimeEndpointId": "ep-2"}) if self.looks else items()
            )
        return enveloped({"agentRuntimeId": "rt", "status": "DELETING"})


@in_both_modes
def test_a_deleted_runtime_takes_its_endpoints_along(do: Do) -> None:
    platform = Platform(Endpoints(3))
    assert do(runtime(platform.config()), "delete").status == "DELETING"
    endpoints = f"{RUNTIMES}/rt/endpoints"
    assert platform.calls == [
        f"GET {endpoints}",
        f"DELETE {endpoints}/ep-1",
        f"DELETE {endpoints}/ep-2",
        f"GET {endpoints}",
        f"GET {endpoints}",
        f"DELETE {RUNTIMES}/rt",
    ]


def test_endpoints_that_stay_are_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentrun.agent_runtime.runtime.ENDPOINTS_GONE_SECONDS", 0.1)
    with pytest.raises(WaitTimeoutError, match="endpoints of AgentRuntime 'rt'"):
        runtime(Platform(Endpoints(-1)).config()).delete()


# Waiting


@in_both_modes
def test_waiting_ends_with_the_reason_of_a_failure(do: Do) -> None:
    states = iter(["CREATING", "CREATE_FAILED"])
    platform = Platform(
        lambda _: enveloped({"agentRuntimeId": "rt", "status": next(states), "statusReason": "no such image"})
    )
    seen: list[Any] = []
    held = runtime(platform.config(), status="CREATING")

    def note(each: AgentRuntime) -> None:
        seen.append(each.status)

    with pytest.raises(ResourceFailedError, match="CREATE_FAILED: no such image"):
        do(held, "wait_until_ready", note, 0.01)
    assert seen == ["CREATING", "CREATE_FAILED"]


@in_both_modes
def test_waiting_returns_the_object(do: Do) -> None:
    platform = Platform(lambda _: enveloped({"agentRuntimeId": "rt", "status": "READY"}))
    held = runtime(platform.config())
    assert do(held, "wait_until_ready_or_failed") is held
    assert held.refresh().get() is held


# Errors


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "agent runtime rt does not exist", ResourceNotExistError),
        (409, "agent runtime a already exists", ResourceAlreadyExistError),
        (500, "agent runtime a already exists", ResourceAlreadyExistError),
        (500, "disk on fire", ServerError),
    ],
)
def test_errors_tell_what_is_the_matter(status: int, message: str, kind: type[AgentRunError]) -> None:
    platform = Platform(lambda _: refused(status, message, "ERR_X"))
    with pytest.raises(kind) as caught:
        AgentRuntime.get_by_id("rt", platform.config().replace(max_retries=0))
    assert (caught.value.status_code, caught.value.error_code, caught.value.request_id) == (status, "ERR_X", "R-2")


def test_a_missing_endpoint_is_not_a_missing_runtime() -> None:
    platform = Platform(by_path({}))
    with pytest.raises(ResourceNotExistError, match="AgentRuntimeEndpoint 'ep'"):
        runtime(platform.config()).get_endpoint("ep")


# The running agent


def completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "reasoning_content": "hm"}
    return {"id": "c", "choices": [{"index": 0, "message": message}]}


def chunks(*pieces: dict[str, Any], end: str = "data: [DONE]\n\n") -> httpx.Response:
    text = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + end
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=text.encode())


def piece(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


@in_both_modes
def test_an_agent_answers_with_a_completion(do: Do) -> None:
    platform = Platform(lambda _: httpx.Response(200, json=completion("hello")))
    answer = do(runtime(platform.config()), "invoke_openai", messages=HI, temperature=0.5)
    assert isinstance(answer, ChatCompletion)
    assert answer.choices[0].message.content == "hello"
    assert platform.calls == [f"POST {CHAT}"]
    assert platform.requests[0].body == {"model": "a", "messages": HI, "temperature": 0.5}
    assert platform.requests[0].headers["agentrun-authorization"].startswith("AGENTRUN4-HMAC-SHA256 ")


def test_an_answer_can_be_sent_back() -> None:
    platform = Platform(lambda _: httpx.Response(200, json=completion("hello")))
    held = runtime(platform.config())
    first = held.invoke_openai(messages=HI)
    assert isinstance(first, ChatCompletion)
    held.invoke_openai("Default", messages=[*HI, first.choices[0].message])
    assert platform.requests[1].body["messages"][1] == {
        "role": "assistant",
        "content": "hello",
        "reasoning_content": "hm",
    }


def test_an_agent_answers_in_pieces() -> None:
    platform = Platform(lambda _: chunks(piece("a"), piece("b")))
    stream = AgentRuntimeClient(platform.config()).invoke_openai("a", messages=HI, stream=True)
    assert isinstance(stream, Stream)
    assert [chunk.choices[0].delta.content for chunk in stream] == ["a", "b"]


@pytest.mark.asyncio
async def test_an_agent_answers_in_pieces_on_a_loop() -> None:
    platform = Platform(lambda _: chunks(piece("a"), piece("b")))
    stream = await runtime(platform.config()).invoke_openai_async(messages=HI, stream=True)
    assert isinstance(stream, Stream)
    assert [chunk.choices[0].delta.content async for chunk in stream] == ["a", "b"]


def test_an_error_in_the_middle_of_a_stream_is_raised() -> None:
    error = {"error": {"message": "out of tokens", "code": 503}}
    platform = Platform(lambda _: chunks(piece("a"), error, piece("b")))
    stream = runtime(platform.config()).invoke_openai(messages=HI, stream=True)
    assert isinstance(stream, Stream)
    seen: list[Any] = []
    with pytest.raises(ServerError, match="out of tokens"):
        seen.extend(chunk.choices[0].delta.content for chunk in stream)
    assert seen == ["a"]


def test_an_answer_in_one_piece_is_no_stream() -> None:
    platform = Platform(lambda _: httpx.Response(200, json=completion("hello")))
    with pytest.raises(InvalidResponseError, match="one whole answer came"):
        runtime(platform.config()).invoke_openai(messages=HI, stream=True)


@in_both_modes
def test_an_endpoint_knows_its_runtime(do: Do) -> None:
    path = CHAT.replace("Default", "prod")
    platform = Platform(
        by_path(
            {
                f"GET {RUNTIMES}/rt": lambda: enveloped({"agentRuntimeName": "a"}),
                f"POST {path}": lambda: httpx.Response(200, json=completion("hello")),
            }
        )
    )
    data = {"agentRuntimeId": "rt", "agentRuntimeEndpointId": "ep", "agentRuntimeEndpointName": "prod"}
    endpoint = AgentRuntimeEndpoint.of(data, platform.config())
    do(endpoint, "invoke_openai", messages=HI)
    do(endpoint, "invoke_openai", messages=HI)
    assert platform.calls == [f"GET {RUNTIMES}/rt", f"POST {path}", f"POST {path}"]


def test_every_route_of_an_agent_can_be_called() -> None:
    platform = Platform(lambda sent: chunks({"n": 1}) if sent.body else httpx.Response(200, text="pong"))
    held = runtime(platform.config())
    assert held.invoke("/ping", "GET") == "pong"
    assert list(held.invoke("ag-ui/agent", json={"x": 1}, stream=True)) == ['{"n": 1}']
    assert platform.calls == [
        "GET /agent-runtimes/a/endpoints/Default/invocations/ping",
        "POST /agent-runtimes/a/endpoints/Default/invocations/ag-ui/agent",
    ]


@in_both_modes
def test_logs_are_lines(do: Do) -> None:
    platform = Platform(lambda _: httpx.Response(200, json={"lines": ["a", "b"]}))
    assert do(runtime(platform.config()), "logs", 2) == ["a", "b"]
    assert platform.requests[0].query == {"tail": "2"}


def test_the_cloud_has_no_logs_here() -> None:
    platform = Platform(by_path({}))
    cloud = platform.config().replace(data_endpoint="https://1.agentrun-data.cn-hangzhou.aliyuncs.com")
    with pytest.raises(UnsupportedError, match="log_configuration"):
        runtime(cloud).logs()
    assert platform.calls == []
