"""Runs of agents as lists of events, what the Agent API makes of them, and the rules that all of it keeps."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from pydantic import TypeAdapter

from agentrun.server import AgentEvent, EventType
from agentrun.server.protocols.agent_api import (
    AgentRequest,
    AgentResponse,
    AnyContent,
    Event,
    Message,
    read_request,
    stream,
)

ASKED: dict[str, Any] = {"input": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "session_id": "s"}
_CONTENTS: TypeAdapter[AnyContent] = TypeAdapter(AnyContent)
_ENDS = ("completed", "failed", "canceled")


def event(kind: EventType, **data: Any) -> AgentEvent:
    return AgentEvent(event=kind, data=data)


def text(delta: str, **more: Any) -> AgentEvent:
    return event(EventType.TEXT, delta=delta, **more)


def thought(delta: str) -> AgentEvent:
    return event(EventType.REASONING, delta=delta)


def call(call_id: str, name: str, args: str, **more: Any) -> AgentEvent:
    return event(EventType.TOOL_CALL, id=call_id, name=name, args=args, **more)


def piece(call_id: str, args_delta: str, **name: str) -> AgentEvent:
    return event(EventType.TOOL_CALL_CHUNK, id=call_id, args_delta=args_delta, **name)


def result(call_id: str, value: Any, **more: Any) -> AgentEvent:
    return event(EventType.TOOL_RESULT, id=call_id, result=value, **more)


def result_piece(call_id: str, delta: str) -> AgentEvent:
    return event(EventType.TOOL_RESULT_CHUNK, id=call_id, delta=delta)


def custom(name: str, value: Any) -> AgentEvent:
    return event(EventType.CUSTOM, name=name, value=value)


async def given(events: Iterable[AgentEvent | Exception]) -> AsyncIterator[AgentEvent]:
    """An agent that does all this; an error among the events is raised."""
    for item in events:
        if isinstance(item, Exception):
            raise item
        yield item


def request() -> AgentRequest:
    return read_request(ASKED)


async def told(*events: AgentEvent | Exception) -> list[dict[str, Any]]:
    """The objects of the stream of a run, after they were held against the grammar."""
    sent = b"".join([frames async for frames in stream(request(), given(events))])
    objects = [json.loads(line) for line in lines_of(sent.decode())]
    check_grammar(objects)
    return objects


def lines_of(sent: str) -> list[str]:
    """The JSON of every frame; there is nothing between the frames."""
    frames = sent.split("\n\n")
    assert frames.pop() == ""
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames)
    return [frame.removeprefix("data: ") for frame in frames]


def check_models(line: str) -> None:
    """The model of an object writes it as it was sent, to the byte."""
    kind = json.loads(line)["object"]
    if kind == "content":
        assert _CONTENTS.dump_json(_CONTENTS.validate_json(line)).decode() == line
        return
    models: dict[str, type[Event]] = {"response": AgentResponse, "message": Message}
    model = models[kind]
    assert model.model_validate_json(line).model_dump_json() == line


def check_grammar(objects: list[dict[str, Any]]) -> None:
    """Numbers without gaps, a beginning, one end, and messages that follow each other."""
    assert [item["sequence_number"] for item in objects] == list(range(len(objects)))
    responses = [item["status"] for item in objects if item["object"] == "response"]
    assert responses[:2] == ["created", "in_progress"]
    assert responses[2] in _ENDS
    assert len(responses) == 3
    assert [objects[place]["object"] for place in (0, 1, -1)] == ["response"] * 3
    check_messages(objects[2:-1])
    whole = [item for item in objects if item["object"] == "message" and item["status"] == "completed"]
    assert (objects[-1]["output"] or []) == whole


def check_messages(objects: list[dict[str, Any]]) -> None:
    """Each message begins, has its contents, and ends before the next one begins."""
    open_id, contents = None, list[dict[str, Any]]()
    for item in objects:
        if item["object"] == "content":
            assert item["msg_id"] == open_id
            contents.append(item)
        elif item["status"] == "in_progress":
            assert open_id is None
            open_id = item["id"]
        else:
            assert item["id"] == open_id
            check_contents(contents, item)
            open_id, contents = None, []
    assert open_id is None


def check_contents(contents: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """Each content is completed once, and then the next one begins; a message has all of them."""
    completed = 0
    for content in contents:
        assert content["index"] == completed
        completed += content["status"] == "completed"
    if message["status"] == "completed":
        assert completed == len(message["content"])
        assert contents[-1]["status"] == "completed"
    else:
        assert message["status"] == "incomplete"


def outline(objects: list[dict[str, Any]]) -> list[str]:
    """The messages of a response by type, with what they say."""
    return [f"{message['type']}: {_said(message)}" for message in objects[-1]["output"] or ()]


def _said(message: dict[str, Any]) -> str:
    return " | ".join(_payload(content) for content in message["content"])


def _payload(content: dict[str, Any]) -> str:
    if content["type"] != "data":
        return str(content.get("text") or content.get("image_url") or content.get("data") or content.get("file_url"))
    body = content["data"]
    value = body.get("arguments", body.get("output"))
    return f"{body['call_id']} {body['name']} {value}" if "call_id" in body else json.dumps(body)
