"""Responses after their end: turns that follow, retrieval, the background, and what is forgotten."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest

from agentrun.errors import StorageError
from agentrun.server import AgentApp, AgentRequest, ResponsesProtocolConfig, ServerConfig
from agentrun.server.services import InMemorySessionHistoryService, SessionHistoryService, SqlSessionHistoryService
from tests.gateway.serving import LOOPS, on_port, plain_client, wait_until
from tests.unit.server.agents import Listening, Watched, agent
from tests.unit.server.responses import RESPONSES, checked, events_of, needs_methods, told, whole
from tests.unit.server.serving import PATIENCE, Served, serving


def configured(**fields: Any) -> ServerConfig:
    return ServerConfig(responses=ResponsesProtocolConfig(**fields))


def asked(listening: Listening) -> list[str]:
    """What the agent was given to read."""
    return [message.text for message in listening.request.messages]


@contextmanager
def listening_server(**fields: Any) -> Generator[tuple[Served, Listening], None, None]:
    listening = Listening("yes")
    with serving(listening, configured(**fields)) as served:
        yield served, listening


def test_a_response_goes_on_from_another_as_often_as_one_likes() -> None:
    with listening_server() as (served, listening), served.openai() as client:
        first = client.responses.create(model="m", input="one", instructions="be kind")
        session = listening.request.session_id
        second = client.responses.create(model="m", input="two", previous_response_id=first.id)
        assert asked(listening) == ["one", "yes", "two"]
        client.responses.create(model="m", input="other", previous_response_id=first.id)
        assert asked(listening) == ["one", "yes", "other"]
        third = told(served, input="three", previous_response_id=second.id)[-1]["response"]
        assert asked(listening) == ["one", "yes", "two", "yes", "three"]
        assert listening.request.session_id == session == first.id
        wrong = [{"role": "user", "content": [{"type": "smell"}]}]
        answer = served.post(RESPONSES, {"input": wrong, "previous_response_id": first.id})
    assert answer.json()["error"]["param"] == "input[0].content[0].type"
    assert third["previous_response_id"] == second.id


def test_outputs_of_calls_go_to_the_turn_that_made_them() -> None:
    seen: list[AgentRequest] = []

    async def handler(request: AgentRequest) -> AsyncIterator[Any]:
        seen.append(request)
        if len(request.messages) == 1:
            yield {"event": "TOOL_CALL", "data": {"id": "a", "name": "add", "args": '{"x":1}'}}
        else:
            yield "three"

    with serving(handler) as served, served.openai() as client:
        first = client.responses.create(model="m", input="add")
        output: Any = [{"type": "function_call_output", "call_id": "a", "output": "3"}]
        second = client.responses.create(model="m", input=output, previous_response_id=first.id)
    question, call, result = seen[1].messages
    assert (question.text, result.text, result.tool_call_id) == ("add", "3", "a")
    assert [made.id for made in call.tool_calls or ()] == ["a"]
    assert second.output_text == "three"


def test_a_conversation_is_the_session_of_that_name() -> None:
    history = InMemorySessionHistoryService()
    with listening_server(session_history=history) as (served, listening):
        first = whole(served, input="one", conversation="c1", user="ada")
        assert (listening.request.session_id, listening.request.user_id) == ("c1", "ada")
        whole(served, input="two", conversation={"id": "c1"}, user="ada")
        assert asked(listening) == ["one", "yes", "two"]
        whole(served, input="mine", conversation="c1", user="bob")
        assert asked(listening) == ["mine"]
        whole(served, input="back", previous_response_id=first["id"])
        assert asked(listening) == ["one", "yes", "back"]
        assert listening.request.user_id == "ada"
        session = asyncio.run(history.get_session("ada", "c1"))
    assert first["conversation"] == {"id": "c1"}
    assert [message["content"][0]["text"] for message in session.messages] == ["one", "yes", "two", "yes"]


def test_an_agent_that_remembers_by_itself_is_given_only_what_is_new() -> None:
    with listening_server(include_history=False) as (served, listening):
        whole(served, input="one", conversation="c")
        whole(served, input="two", conversation="c")
    assert (asked(listening), listening.request.session_id) == (["two"], "c")


def test_a_response_that_failed_is_no_part_of_its_conversation() -> None:
    async def handler(request: AgentRequest) -> AsyncIterator[str]:
        seen.append([message.text for message in request.messages])
        yield "so"
        if request.messages[-1].text == "fail":
            raise RuntimeError("no luck")

    seen: list[list[str]] = []
    with serving(handler) as served:
        failed = told(served, input="fail", conversation="c")[-1]["response"]
        whole(served, input="two", conversation="c")
        whole(served, input="three", previous_response_id=failed["id"])
    assert seen == [["fail"], ["two"], ["two", "so", "fail", "so", "three"]]


def test_what_is_not_stored_cannot_be_found() -> None:
    with listening_server() as (served, listening), served.openai() as client:
        answer = client.responses.create(model="m", input="hi", store=False)
        assert listening.request.session_id is None
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(answer.id)
        with pytest.raises(openai.BadRequestError) as raised:
            client.responses.create(model="m", input="hi", previous_response_id=answer.id)
    assert raised.value.code == "previous_response_not_found"


@pytest.mark.parametrize("response_id", ["resp_0", "a%00b"])
def test_an_id_that_nobody_knows(response_id: str) -> None:
    with serving(agent("ok")) as served:
        path = f"{served.root}{RESPONSES}/{response_id}"
        answers = [
            served.http.get(path),
            served.http.get(f"{path}?stream=true"),
            served.http.get(f"{path}/input_items"),
            served.http.post(f"{path}/cancel"),
            served.http.delete(path),
        ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert {answer.json()["error"]["type"] for answer in answers} == {"invalid_request_error"}


def test_retrieve_and_delete() -> None:
    with serving(agent("Hel", "lo")) as served, served.openai() as client:
        answer = client.responses.create(model="m", input="hi")
        found = client.responses.retrieve(answer.id)
        assert found.output_text == "Hello"
        assert found.model_dump() == answer.model_dump()
        client.responses.delete(answer.id)
        with pytest.raises(openai.NotFoundError, match="not found"):
            client.responses.retrieve(answer.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.delete(answer.id)


def test_input_items_are_listed_by_pages() -> None:
    given: Any = [{"role": "user", "content": name} for name in "abcde"]
    with serving(agent("ok")) as served, served.openai() as client:
        answer = client.responses.create(model="m", input=given)
        items: Any = list(client.responses.input_items.list(answer.id, limit=2, order="asc"))
        latest: Any = client.responses.input_items.list(answer.id, limit=1)
        bad = [
            served.http.get(f"{served.root}{RESPONSES}/{answer.id}/input_items", params=params)
            for params in ({"limit": "0"}, {"limit": "x"}, {"after": "msg_0"})
        ]
    assert [item.content[0].text for item in items] == list("abcde")
    assert len({item.id for item in items}) == 5
    assert (latest.data[0].content[0].text, latest.has_more) == ("e", True)
    assert [each.status_code for each in bad] == [400] * 3


@pytest.mark.parametrize("stream", [True, False])
def test_what_there_is_is_kept_for_a_client_that_has_gone(stream: bool) -> None:
    watched = Watched()
    ids: list[str] = []

    async def handler(request: AgentRequest) -> AsyncIterator[str]:
        ids.append(str(request.session_id))
        async for word in watched(request):
            yield word

    with serving(handler) as served, served.openai() as client:
        with served.connect() as connection:
            body = json.dumps({"input": "hi", "stream": stream}).encode()
            head = f"POST {RESPONSES} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            assert watched.waits.wait(PATIENCE)
        assert watched.stopped.wait(PATIENCE)
        wait_until(lambda: status_of(client, ids[0]) == "cancelled")
        assert client.responses.retrieve(ids[0]).output_text == "one"


class Stepping:
    """An agent that takes a step when it is told to."""

    def __init__(self) -> None:
        self.steps = threading.Semaphore(0)
        self.stopped = threading.Event()

    async def __call__(self, request: AgentRequest) -> AsyncIterator[str]:
        try:
            for number in range(5):
                await asyncio.to_thread(self.steps.acquire, timeout=PATIENCE)
                yield str(number)
        finally:
            self.stopped.set()

    def go(self, steps: int) -> None:
        self.steps.release(steps)


def status_of(client: openai.OpenAI, response_id: str) -> str | None:
    return client.responses.retrieve(response_id).status


@needs_methods
def test_a_response_in_the_background_is_there_before_it_is_over() -> None:
    stepping = Stepping()
    with serving(stepping) as served, served.openai() as client:
        begun = client.responses.create(model="m", input="hi", background=True)
        assert (begun.status, begun.output) == ("queued", [])
        stepping.go(2)
        wait_until(lambda: client.responses.retrieve(begun.id).output_text == "01")
        assert status_of(client, begun.id) == "in_progress"
        assert [item.type for item in client.responses.input_items.list(begun.id)] == ["message"]
        stepping.go(3)
        wait_until(lambda: status_of(client, begun.id) == "completed")
        assert client.responses.retrieve(begun.id).output_text == "01234"
        following = client.responses.create(model="m", input="on", previous_response_id=begun.id, background=True)
        assert following.previous_response_id == begun.id


@needs_methods
def test_the_stream_of_a_response_in_the_background_can_be_left_and_resumed() -> None:
    stepping = Stepping()
    with serving(stepping) as served, served.openai() as client:
        stepping.go(2)
        first: list[Any] = []
        with client.responses.create(model="m", input="hi", background=True, stream=True) as stream:
            for each in stream:
                first.append(each)
                if each.type == "response.output_text.delta" and each.delta == "1":
                    break
        assert not stepping.stopped.is_set()
        response_id = first[0].response.id
        place = first[-1].sequence_number
        stepping.go(3)
        rest = list(client.responses.retrieve(response_id, stream=True, starting_after=place))
        every = list(client.responses.retrieve(response_id, stream=True))
        beyond = list(client.responses.retrieve(response_id, stream=True, starting_after=1000))
        text = served.http.get(f"{served.root}{RESPONSES}/{response_id}?stream=true").text
    assert first[0].response.status == "queued"
    assert [each.model_dump() for each in first + rest] == [each.model_dump() for each in every]
    assert [each.delta for each in rest if each.type == "response.output_text.delta"] == ["2", "3", "4"]
    assert beyond == []
    checked(text)


def test_a_stream_is_resumed_behind_any_of_its_events() -> None:
    with serving(agent("a", RuntimeError("no luck"))) as served:
        text = served.post(RESPONSES, {"input": "hi", "background": True, "stream": True}).text
        every = checked(text)
        path = f"{served.root}{RESPONSES}/{every[0]['response']['id']}?stream=true&starting_after="
        for number in range(len(every)):
            assert events_of(served.http.get(f"{path}{number}").text) == every[number + 1 :]
        assert served.http.get(f"{path}x").status_code == 400
    assert every[-1]["type"] == "response.failed"


def test_only_a_response_in_the_background_has_a_stream_to_resume() -> None:
    with serving(agent("a")) as served:
        path = f"{served.root}{RESPONSES}/{whole(served)['id']}?stream=true"
        answer = served.http.get(path)
    assert answer.status_code == 404
    assert "background=true" in answer.json()["error"]["message"]


@needs_methods
def test_a_response_in_the_background_is_cancelled() -> None:
    watched = Watched()
    with serving(watched) as served, served.openai() as client:
        begun = client.responses.create(model="m", input="hi", background=True)
        wait_until(lambda: client.responses.retrieve(begun.id).output_text == "one")
        cancelled = client.responses.cancel(begun.id)
        assert (cancelled.status, cancelled.output_text) == ("cancelled", "one")
        assert watched.stopped.is_set()
        assert client.responses.cancel(begun.id).status == status_of(client, begun.id) == "cancelled"
        end = list(client.responses.retrieve(begun.id, stream=True))[-1]
    assert end.type == "response.failed"


@needs_methods
@pytest.mark.parametrize("stream", [True, False])
def test_a_response_to_which_somebody_listens_is_cancelled_too(stream: bool) -> None:
    answers: list[Any] = []

    def ask() -> None:
        body = {"input": "hi", "stream": stream}
        answers.append(served.post(RESPONSES, body))

    watched = Watched()
    ids: list[str] = []

    async def handler(request: AgentRequest) -> AsyncIterator[str]:
        ids.append(str(request.session_id))
        async for word in watched(request):
            yield word

    with serving(handler) as served, served.openai() as client:
        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: watched.waits.is_set())
        assert status_of(client, ids[0]) == "in_progress"
        assert client.responses.cancel(ids[0]).status == "cancelled"
        thread.join()
        assert watched.stopped.is_set()
        assert status_of(client, ids[0]) == "cancelled"
    end = checked(answers[0].text)[-1]["response"] if stream else answers[0].json()
    assert (end["status"], end["output"][0]["content"][0]["text"]) == ("cancelled", "one")


@contextmanager
def application(watched: Watched) -> Generator[Served, None, None]:
    """An application, in which each session has one run at a time; its agent waits in all first turns."""
    app = AgentApp()

    @app.query(framework="text")
    async def query(self: Any, msgs: str, request: AgentRequest, **_: Any) -> AsyncIterator[str]:
        if len(request.messages) > 1:
            yield "on"
            return
        async for word in watched(request):
            yield word

    with on_port(app, LOOPS["uvloop"]) as port, plain_client() as http:
        yield Served(port, http)


@needs_methods
def test_a_session_whose_response_was_cancelled_is_free_again() -> None:
    watched = Watched()
    with application(watched) as served, served.openai() as client:
        begun = client.responses.create(model="m", input="hi", background=True)
        wait_until(lambda: client.responses.retrieve(begun.id).output_text == "one")
        assert client.responses.cancel(begun.id).status == "cancelled"
        after = client.responses.create(model="m", input="go on", previous_response_id=begun.id)
    assert after.output_text == "on"


@pytest.mark.parametrize("background", [True, False])
def test_a_response_whose_session_is_stopped_ends_as_cancelled(background: bool) -> None:
    def ask() -> None:
        body = {"input": "hi", "stream": True, "background": background, "conversation": "c", "user": "ada"}
        answers.append(served.post(RESPONSES, body))

    answers: list[Any] = []
    watched = Watched()
    with application(watched) as served:
        thread = threading.Thread(target=ask)
        thread.start()
        assert watched.waits.wait(PATIENCE)
        busy = served.post(RESPONSES, {"input": "hi", "conversation": "c", "user": "ada"})
        stopped = served.post("/process/stop", {"user_id": "ada", "session_id": "c"})
        thread.join(PATIENCE)
    end = checked(answers[0].text)[-1]
    assert (busy.status_code, stopped.json()) == (409, {"stopped": True})
    assert (end["type"], end["response"]["status"]) == ("response.failed", "cancelled")


@needs_methods
def test_a_running_response_that_is_deleted_is_stopped() -> None:
    watched = Watched()
    with serving(watched) as served, served.openai() as client:
        begun = client.responses.create(model="m", input="hi", background=True)
        wait_until(lambda: watched.waits.is_set())
        client.responses.delete(begun.id)
        assert watched.stopped.is_set()
        for stream in (True, False):
            with pytest.raises(openai.NotFoundError):
                client.responses.retrieve(begun.id, stream=stream)


def _has_status(client: openai.OpenAI, response_id: str, status: str) -> bool:
    return status_of(client, response_id) == status


def in_background(served: Served) -> dict[str, Any]:
    return whole(served, background=True)


def test_an_agent_that_fails_or_interrupts_itself_in_the_background() -> None:
    async def handler(request: AgentRequest) -> str:
        raise asyncio.CancelledError if request.messages[0].text == "stop" else RuntimeError("no luck")

    with serving(handler) as served, served.openai() as client:
        for given, status in (("stop", "cancelled"), ("fail", "failed")):
            begun = whole(served, input=given, background=True)
            wait_until(partial(_has_status, client, begun["id"], status))


def test_so_many_run_in_the_background_and_no_more() -> None:
    watched = Watched()
    with serving(watched, configured(max_background=1)) as served:
        in_background(served)
        assert watched.waits.wait(10)
        answer = served.post(RESPONSES, {"input": "hi", "background": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert watched.stopped.is_set()


def test_what_runs_in_the_background_when_the_server_ends_is_kept() -> None:
    history = InMemorySessionHistoryService()
    watched = Watched()
    config = configured(session_history=history)
    with serving(watched, config) as served:
        begun = in_background(served)
        assert watched.waits.wait(10)
    assert watched.stopped.is_set()
    with serving(agent("ok"), config) as served, served.openai() as client:
        found = client.responses.retrieve(begun["id"])
    assert (found.status, found.output_text) == ("cancelled", "one")


def test_a_response_in_the_background_that_grows_without_end_fails() -> None:
    async def handler(_: AgentRequest) -> AsyncIterator[str]:
        while True:
            yield "x" * 1000

    with serving(handler, configured(max_kept_bytes=100_000)) as served, served.openai() as client:
        begun = in_background(served)
        wait_until(lambda: status_of(client, begun["id"]) == "failed")
        error = client.responses.retrieve(begun["id"]).error
    assert error is not None
    assert "100000 bytes" in error.message


@pytest.mark.parametrize("limit", [{"max_kept": 2}, {"max_kept_bytes": 6_000}, {"keep_seconds": 0.2}])
def test_what_was_not_used_for_long_is_forgotten(limit: dict[str, Any]) -> None:
    with serving(agent("x" * 1000), configured(**limit)) as served, served.openai() as client:
        first, second = whole(served)["id"], whole(served)["id"]
        if "keep_seconds" in limit:
            wait_until(lambda: _is_gone(client, second, pause=0.3))
        else:
            client.responses.retrieve(first)
            third = whole(served)["id"]
            assert [_is_gone(client, each) for each in (first, second, third)] == [False, True, False]
            answer = served.post(RESPONSES, {"input": "hi", "previous_response_id": second})
            assert answer.json()["error"]["code"] == "previous_response_not_found"


def _is_gone(client: openai.OpenAI, response_id: str, pause: float = 0.0) -> bool:
    threading.Event().wait(pause)
    try:
        client.responses.retrieve(response_id)
    except openai.NotFoundError:
        return True
    return False


def test_responses_outlive_their_server_in_a_database(tmp_path: Path) -> None:
    def history() -> SessionHistoryService:
        return SqlSessionHistoryService(f"sqlite:///{tmp_path}/history.db")

    with listening_server(session_history=history()) as (served, _):
        first = whole(served, input="one")
    with listening_server(session_history=history()) as (served, listening), served.openai() as client:
        assert client.responses.retrieve(first["id"]).output_text == "yes"
        whole(served, input="two", previous_response_id=first["id"])
        assert asked(listening) == ["one", "yes", "two"]


class Broken(InMemorySessionHistoryService):
    """A service whose storage is away."""

    async def append_message(self, session: Any, message: Any) -> None:
        raise StorageError("The disk is full")


def test_a_response_that_cannot_be_kept_is_no_success() -> None:
    with serving(agent("ok"), configured(session_history=Broken())) as served:
        answer = served.post(RESPONSES, {"input": "hi"})
        end = told(served)[-1]
        assert served.post(RESPONSES, {"input": "hi", "store": False}).status_code == 200
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "StorageError")
    assert (end["type"], end["response"]["error"]["message"]) == ("response.failed", "The disk is full")


class Away(InMemorySessionHistoryService):
    """A service that cannot be read."""

    async def find_session(self, user_id: str, session_id: str) -> Any:
        raise StorageError("Nobody answers")


def test_a_storage_that_is_away_is_said_to_be() -> None:
    asks: list[Callable[[Served], Any]] = [
        lambda served: served.http.get(f"{served.root}{RESPONSES}/resp_0"),
        lambda served: served.post(RESPONSES, {"input": "hi", "previous_response_id": "resp_0"}),
    ]
    with serving(agent("ok"), configured(session_history=Away())) as served:
        for ask in asks:
            answer = ask(served)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_unavailable")
