"""A2A on the wire, where clients would not say it so: requests of both lines as they are sent, and bad ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from agentrun.server import ServerConfig
from tests.unit.server.agents import agent
from tests.unit.server.serving import Served, serving

OLD = {"role": "user", "messageId": "m1", "kind": "message", "parts": [{"kind": "text", "text": "hi"}]}
NEW = {"role": "ROLE_USER", "messageId": "m1", "parts": [{"text": "hi"}]}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A server for tests that leave nothing behind."""
    with serving(agent("Hel", "lo")) as served:
        yield served


def call(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "1", "method": method, "params": params}


def ask(served: Served, body: Any, path: str = "/a2a", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = served.http.post(f"{served.root}{path}", content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return answer.json()


def has_id(document: Any) -> bool:
    return isinstance(document, dict) and type(cast("Any", document).get("id")) in (str, int)


def frames(served: Served, body: Any) -> list[Any]:
    answer = served.post("/a2a", body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    documents = [json.loads(frame.removeprefix("data: ")) for frame in answer.text.split("\n\n") if frame]
    assert {(each["jsonrpc"], each["id"]) for each in documents} == {("2.0", "1")}
    return [each["result"] for each in documents]


@pytest.mark.parametrize("path", ["/a2a", "/a2a/"])
def test_the_words_of_the_old_line(served: Served, path: str) -> None:
    answer = ask(served, call("message/send", message=OLD), path)
    events = frames(served, call("message/stream", message=OLD))
    task = answer["result"]
    assert (answer["id"], task["kind"], task["status"]["state"]) == ("1", "task", "completed")
    assert task["artifacts"][0]["parts"] == [{"kind": "text", "text": "Hello"}]
    assert [each["kind"] for each in events] == ["task", "status-update", *["artifact-update"] * 2, "status-update"]
    assert [each["final"] for each in events if "final" in each] == [False, True]
    assert (events[0]["history"][0]["kind"], events[0]["history"][0]["role"]) == ("message", "user")


def test_the_words_of_the_new_line(served: Served) -> None:
    task = ask(served, call("SendMessage", message=NEW), **{"a2a-version": "1.0"})["result"]["task"]
    events = frames(served, call("SendStreamingMessage", message=NEW))
    assert (task["status"]["state"], task["history"][0]["role"]) == ("TASK_STATE_COMPLETED", "ROLE_USER")
    assert task["artifacts"][0]["parts"] == [{"text": "Hello"}]
    names = [next(iter(each)) for each in events]
    assert names == ["task", "statusUpdate", "artifactUpdate", "artifactUpdate", "statusUpdate"]
    assert events[-1]["statusUpdate"]["status"]["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"{", -32700, "not JSON"),
        (b"\xff", -32700, "not JSON"),
        ([call("message/send", message=OLD)], -32600, "one at a time"),
        (b"7", -32600, "jsonrpc"),
        ({"id": 1, "method": "message/send"}, -32600, "jsonrpc"),
        ({"jsonrpc": "2.0", "method": "message/send"}, -32600, "id"),
        ({"jsonrpc": "2.0", "id": True, "method": "message/send"}, -32600, "id"),
        ({"jsonrpc": "2.0", "id": 1}, -32600, "method"),
        ({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": [1]}, -32602, "not an object"),
        (call("tasks/list"), -32601, "tasks/list"),
        (call("message/send"), -32602, "params.message"),
        (call("message/send", message={**OLD, "parts": []}), -32602, "params.message.parts"),
        (call("message/send", message={**OLD, "parts": ["hi"]}), -32602, "message.parts[0]"),
        (call("message/send", message={**OLD, "parts": [{"kind": "text"}]}), -32602, "message.parts[0]"),
        (call("message/send", message={**OLD, "parts": [{"text": 1}]}), -32602, "message.parts[0].text"),
        (call("SendMessage", message={**NEW, "parts": [{"raw": "?"}]}), -32602, "base64"),
        (call("SendMessage", message={**NEW, "role": "king"}), -32602, "message.role"),
        (call("SendMessage", message={**NEW, "messageId": ""}), -32602, "params.message.messageId"),
        (call("SendMessage", message=NEW, configuration={"historyLength": -1}), -32602, "historyLength"),
        (call("SendMessage", message=NEW, configuration={"taskPushNotificationConfig": {"url": "x"}}), -32003, "Push"),
        (call("message/send", message=OLD, configuration={"pushNotificationConfig": {"url": "x"}}), -32003, "Push"),
        (call("tasks/get", id=""), -32602, "params.id"),
        (call("GetTask", id="x"), -32001, "'x'"),
        (call("agent/getAuthenticatedExtendedCard"), -32007, "one card"),
        (call("GetExtendedAgentCard"), -32004, "one card"),
        *(
            (call(f"tasks/pushNotificationConfig/{name}", id="x"), -32003, "Push")
            for name in ("get", "set", "list", "delete")
        ),
        *(
            (call(f"{name}TaskPushNotificationConfig{'s' * (name == 'List')}", taskId="x"), -32003, "Push")
            for name in ("Get", "Create", "List", "Delete")
        ),
    ],
)
def test_what_cannot_be_done_is_said_with_the_number_of_the_protocol(
    served: Served, body: Any, code: int, words: str
) -> None:
    answer = ask(served, body)
    assert (answer["jsonrpc"], answer["error"]["code"]) == ("2.0", code)
    assert words in answer["error"]["message"]
    sent: Any = json.loads(body) if isinstance(body, bytes) and code != -32700 else body
    assert answer["id"] == (sent["id"] if has_id(sent) else None)


@pytest.mark.parametrize(
    ("version", "is_served"), [("1.0", True), ("1.3", True), ("0.3.0", True), ("0.2", False), ("2.0", False)]
)
def test_a_version_that_nobody_speaks_is_refused(served: Served, version: str, is_served: bool) -> None:
    answer = ask(served, call("SendMessage", message=NEW), **{"a2a-version": version})
    assert ("result" in answer) == is_served
    if not is_served:
        assert (answer["error"]["code"], answer["error"]["data"][0]["reason"]) == (-32009, "VERSION_NOT_SUPPORTED")


def test_a_request_that_is_too_long_is_refused() -> None:
    with serving(agent("never"), ServerConfig(max_body_bytes=100)) as served:
        answer = served.post("/a2a", call("SendMessage", message={**NEW, "parts": [{"text": "x" * 100}]}))
    assert answer.status_code == 413


def test_several_texts_and_urlsafe_bytes_are_understood() -> None:
    heard: list[Any] = []

    def handler(request: Any) -> str:
        heard.append(request.messages[0].content)
        return "ok"

    with serving(handler) as served:
        ask(served, call("SendMessage", message={**NEW, "parts": [{"text": "a"}, {"text": "b"}]}))
        file = {"raw": "-_8", "mediaType": "image/png"}
        ask(served, call("SendMessage", message={**NEW, "parts": [file]}))
    assert heard == ["a\nb", [{"type": "image_url", "image_url": {"url": "data:image/png;base64,+/8="}}]]
