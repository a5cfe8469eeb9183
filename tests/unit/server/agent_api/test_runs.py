from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from agentrun.errors import InvalidInputError
from agentrun.server import AgentEvent, EventType
from agentrun.server.protocols.agent_api import (
    MessageType,
    ResponseWriter,
    RunStatus,
    answer,
    refuse,
    response_json,
    stream,
)
from tests.unit.server.agent_api.runs import (
    call,
    check_grammar,
    check_models,
    custom,
    event,
    given,
    lines_of,
    outline,
    piece,
    request,
    result,
    result_piece,
    text,
    thought,
    told,
)

pytestmark = pytest.mark.asyncio
ODD = 'quote " slash \\ tab \t line \n\r end \x00\x1f\x7f é 汉字 \u2028 😀 </script>'
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
WAVE = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}
RUNS: dict[str, tuple[list[AgentEvent], list[str]]] = {
    "nothing": ([], []),
    "empty texts": ([text(""), thought("")], []),
    "text": ([text("a"), text(ODD)], ["message: a" + ODD]),
    "thoughts, then text": (
        [thought("I "), thought("see"), text("An"), text("swer")],
        ["reasoning: I see", "message: Answer"],
    ),
    "two messages": (
        [text("one", message_id="1"), text("!", message_id="1"), text("two", message_id="2"), text("?")],
        ["message: one!", "message: two?"],
    ),
    "one call": (
        [call("c", "f", '{"a":1}'), result("c", "4"), text("It is 4")],
        [
            'plugin_call: c f {"a":1}',
            'plugin_call_output: c f [{"type": "text", "text": "4"}]',
            "message: It is 4",
        ],
    ),
    "calls in turn, each in pieces": (
        [piece("a", '{"x"', name="f"), piece("a", ":1}"), piece("b", "", name="g"), piece("b", "{}")],
        ['plugin_call: a f {"x":1}', "plugin_call: b g {}"],
    ),
    "calls at once, their pieces mixed": (
        [
            piece("a", "{", name="f"),
            piece("b", '{"y"', name="g"),
            piece("c", "{", name="h"),
            piece("a", "}"),
            piece("b", ":2}"),
            piece("c", "}"),
            result("b", "B"),
            result("a", "A"),
            result("c", "C"),
        ],
        [
            "plugin_call: a f {}",
            'plugin_call: b g {"y":2}',
            "plugin_call: c h {}",
            'plugin_call_output: b g [{"type": "text", "text": "B"}]',
            'plugin_call_output: a f [{"type": "text", "text": "A"}]',
            'plugin_call_output: c h [{"type": "text", "text": "C"}]',
        ],
    ),
    "calls at once, one of which looks complete": (
        [piece("a", '{"x": {}', name="f"), piece("b", "{}", name="g"), piece("a", "}")],
        ['plugin_call: a f {"x": {}}', "plugin_call: b g {}"],
    ),
    "calls without arguments": (
        [piece("a", "", name="f"), piece("b", "", name="g"), text("wait")],
        ["plugin_call: a f ", "plugin_call: b g ", "message: wait"],
    ),
    "an id that is used again": (
        [call("c", "f", "{}"), result("c", "1"), piece("c", '{"n":2}', name="g"), result("c", "2")],
        [
            "plugin_call: c f {}",
            'plugin_call_output: c f [{"type": "text", "text": "1"}]',
            'plugin_call: c g {"n":2}',
            'plugin_call_output: c g [{"type": "text", "text": "2"}]',
        ],
    ),
    "text in the middle of a call": (
        [piece("c", '{"a":', name="f"), thought("more"), piece("c", "1}")],
        ['plugin_call: c f {"a":', "reasoning: more", 'plugin_call: c f {"a":1}'],
    ),
    "results in pieces, mixed": (
        [
            *(call("a", "f", "{}"), call("b", "g", "{}")),
            *(result_piece("a", "1"), result_piece("b", "x"), result_piece("a", "2"), result_piece("b", "y")),
            *(result("b", "z"), result("a", "3")),
        ],
        [
            "plugin_call: a f {}",
            "plugin_call: b g {}",
            'plugin_call_output: a f [{"type": "text", "text": "123"}]',
            'plugin_call_output: b g [{"type": "text", "text": "xyz"}]',
        ],
    ),
    "a call of an MCP server's tool": (
        [call("c", "f", "{}", server_label="maps"), result("c", "there")],
        ["mcp_call: c f {}", 'mcp_call_output: c f [{"type": "text", "text": "there"}]'],
    ),
    "a result nobody called for": (
        [result("x", {"a": 1}, name="f")],
        ['plugin_call_output: x f {"a": 1}'],
    ),
    "a question to a person": (
        [event(EventType.HITL, id="q", type="confirm", prompt="Sure?", options=["yes", "no"])],
        ['component_call: q confirm {"prompt": "Sure?", "options": ["yes", "no"]}'],
    ),
    "images and sound between text": (
        [text("See: "), custom("image", IMAGE), custom("image", IMAGE), custom("input_audio", WAVE), text("!")],
        ["message: See:  | https://example.com/a.png | https://example.com/a.png | QUJD | !"],
    ),
    "a part in the wire's words": (
        [custom("content", {"type": "file", "file_url": "https://example.com/a.pdf"})],
        ["message: https://example.com/a.pdf"],
    ),
    "state and what nobody knows": (
        [event(EventType.STATE, snapshot={"n": 1}), custom("step", {"name": "x"})],
        [
            'message: {"type": "state", "snapshot": {"n": 1}}'
            ' | {"type": "custom", "name": "step", "value": {"name": "x"}}'
        ],
    ),
}


@pytest.mark.parametrize("name", RUNS)
async def test_a_run_is_told_in_whole_messages_that_follow_each_other(name: str) -> None:
    events, expected = RUNS[name]
    objects = await told(*events)
    assert outline(objects) == expected
    assert objects[-1]["status"] == "completed"
    assert objects[-1]["error"] is None


@pytest.mark.parametrize("name", RUNS)
async def test_every_frame_is_as_its_model_writes_it(name: str) -> None:
    sent = b"".join([frames async for frames in stream(request(), given(RUNS[name][0]))])
    for line in lines_of(sent.decode()):
        check_models(line)


@pytest.mark.parametrize("name", RUNS)
async def test_the_pieces_of_a_content_come_to_the_whole(name: str) -> None:
    pieces: dict[tuple[str, int], str] = {}
    for item in await told(*RUNS[name][0]):
        if item["object"] != "content" or item["type"] != "text":
            continue
        place = (item["msg_id"], item["index"])
        if item["delta"]:
            pieces[place] = pieces.get(place, "") + item["text"]
        else:
            assert pieces.pop(place) == item["text"]
    assert pieces == {}


@pytest.mark.parametrize("name", RUNS)
async def test_one_answer_is_what_the_stream_ends_with(name: str) -> None:
    response = await answer(request(), given(RUNS[name][0]))
    sent = json.loads(response_json(response))
    last = (await told(*RUNS[name][0]))[-1]
    varying = ("id", "output", "created_at", "completed_at")
    assert {**sent, **dict.fromkeys(varying)} == {**last, **dict.fromkeys(varying)}
    assert outline([sent]) == outline([last])


async def test_the_first_frames_come_before_the_agent_does_anything() -> None:
    async def never() -> AsyncGenerator[AgentEvent, None]:
        await asyncio.Event().wait()
        yield text("")

    frames = stream(request(), never())
    first = lines_of((await anext(frames)).decode())
    assert [json.loads(line)["status"] for line in first] == ["created", "in_progress"]
    await frames.aclose()


async def test_a_piece_is_sent_when_it_comes() -> None:
    writer = ResponseWriter()
    writer.begin()
    assert lines_of(writer.write(text("a")).decode())[-1].endswith('"text":"a"}')
    assert lines_of(writer.write(text("b")).decode())[0].endswith('"text":"b"}')


async def test_arguments_are_told_while_they_come_and_a_long_one_not_every_time() -> None:
    pieces = [piece("c", "x" * 10) for _ in range(3000)]
    objects = await told(piece("c", "", name="f"), *pieces)
    sizes = [len(item["data"]["arguments"]) for item in objects if item["object"] == "content"]
    assert sizes[:4] == [0, 10, 20, 30]
    assert sizes[-1] == 30_000
    assert sizes == sorted(sizes)
    assert sum(sizes) < 20 * 30_000


@pytest.mark.parametrize("before", [[], [text("Hel")], [text("Hel"), call("c", "f", "{}"), piece("d", "{", name="g")]])
@pytest.mark.parametrize(
    ("trouble", "status", "error"),
    [
        (
            ValueError("boom"),
            "failed",
            {"code": "AGENT_UNKNOWN_ERROR", "message": "Unknown agent error: ValueError: boom"},
        ),
        (
            event(EventType.ERROR, message="boom", code="ValueError"),
            "failed",
            {"code": "AGENT_UNKNOWN_ERROR", "message": "Unknown agent error: ValueError: boom"},
        ),
        (
            event(EventType.ERROR, message="slow", code="MODEL_TIMEOUT"),
            "failed",
            {"code": "MODEL_TIMEOUT", "message": "slow"},
        ),
        (
            event(EventType.ERROR, message="odd"),
            "failed",
            {"code": "AGENT_UNKNOWN_ERROR", "message": "Unknown agent error: odd"},
        ),
        (event(EventType.ERROR, message="stopped", code="CancelledError"), "canceled", None),
    ],
)
async def test_trouble_ends_the_response_and_nothing_follows(
    before: list[AgentEvent], trouble: AgentEvent | Exception, status: str, error: dict[str, str] | None
) -> None:
    objects = await told(*before, trouble, text("never"))
    assert objects[-1]["status"] == status
    assert objects[-1]["error"] == error
    assert objects[-1]["completed_at"] is None
    assert "never" not in json.dumps(objects)


async def test_what_was_completed_before_a_failure_stays_and_what_was_open_is_incomplete() -> None:
    objects = await told(thought("hm"), text("Hel"), text("lo"), RuntimeError("boom"))
    assert outline(objects) == ["reasoning: hm"]
    assert objects[-2]["object"] == "message"
    assert objects[-2]["status"] == "incomplete"
    assert [(part["text"], part["status"]) for part in objects[-2]["content"]] == [("Hello", "incomplete")]


@pytest.mark.parametrize(
    "odd",
    [
        text(4),  # type: ignore[arg-type]
        event(EventType.TEXT),
        event(EventType.TOOL_CALL, name="f"),
        custom("content", {"type": "smell"}),
        event(EventType.STATE, snapshot=object()),
        event(EventType.USAGE, input_tokens=object()),
        AgentEvent(event=EventType.TEXT, data={"delta": "x"}, addition={"a": object()}),
    ],
    ids=lambda event: str(event.event.value),
)
async def test_what_cannot_be_told_fails_the_response_without_a_gap(odd: AgentEvent) -> None:
    objects = await told(text("before"), odd, text("after"))
    assert objects[-1]["status"] == "failed"
    assert objects[-1]["error"]["code"] == "AGENT_UNKNOWN_ERROR"


async def test_a_response_has_one_end_whatever_is_called_after_it() -> None:
    writer = ResponseWriter(request())
    sent = writer.begin() + writer.write(text("a")) + writer.cancel()
    assert writer.is_over
    assert (writer.write(text("b")), writer.complete(), writer.fail("A", "b"), writer.cancel()) == (b"", b"", b"", b"")
    objects = [json.loads(line) for line in lines_of(sent.decode())]
    check_grammar(objects)
    assert objects[-1]["status"] == RunStatus.CANCELED.value


async def test_the_agent_is_closed_when_the_client_is_gone() -> None:
    closed = asyncio.Event()

    async def agent() -> AsyncGenerator[AgentEvent, None]:
        try:
            while True:
                yield text("more")
        finally:
            closed.set()

    frames = stream(request(), agent())
    for _ in range(3):
        await anext(frames)
    await frames.aclose()
    assert closed.is_set()


async def test_who_is_cancelled_gets_no_frames_instead() -> None:
    waiting = asyncio.Event()

    async def agent() -> AsyncGenerator[AgentEvent, None]:
        waiting.set()
        await asyncio.Event().wait()
        yield text("never")

    async def read() -> list[bytes]:
        return [frames async for frames in stream(request(), agent())]

    task = asyncio.create_task(read())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_agent_is_not_asked_for_more_than_is_read() -> None:
    given_away: list[int] = []

    async def agent() -> AsyncGenerator[AgentEvent, None]:
        for number in range(1000):
            given_away.append(number)
            yield text("more")

    frames = stream(request(), agent())
    for _ in range(4):
        await anext(frames)
    assert len(given_away) == 3
    await frames.aclose()


async def test_nothing_more_is_asked_of_an_agent_that_failed() -> None:
    asked = False

    async def agent() -> AsyncGenerator[AgentEvent, None]:
        nonlocal asked
        yield event(EventType.ERROR, message="boom")
        asked = True

    assert all([frames async for frames in stream(request(), agent())])
    assert not asked


async def test_usage_is_that_of_the_last_message() -> None:
    objects = await told(
        text("a", message_id="1"),
        event(EventType.USAGE, input_tokens=1, output_tokens=2),
        text("b", message_id="2"),
        event(EventType.USAGE, input_tokens=3, output_tokens=4),
    )
    usages = [message["usage"] for message in objects[-1]["output"]]
    assert usages == [{"input_tokens": 1, "output_tokens": 2}, {"input_tokens": 3, "output_tokens": 4}]
    assert objects[-1]["usage"] == usages[-1]


async def test_a_failed_call_says_so() -> None:
    objects = await told(call("c", "f", "{}"), result("c", "no such file", is_error=True))
    assert objects[-1]["output"][-1]["content"][0]["data"]["is_error"] is True
    assert "is_error" not in (await told(result("c", "fine")))[-1]["output"][-1]["content"][0]["data"]


async def test_an_addition_goes_into_the_frame_of_its_event() -> None:
    added = {"metadata": {"score": 1}, "text": "B"}
    objects = await told(text("a"), AgentEvent(event=EventType.TEXT, data={"delta": "b"}, addition=added))
    deltas = [item for item in objects if item.get("delta")]
    assert [item["text"] for item in deltas] == ["a", "B"]
    assert deltas[1]["metadata"] == {"score": 1}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"a": [], "b": {"c": 1, "d": 2}, "e": 3}),
        ({"concat_list": True}, {"a": [1], "b": {"c": 1, "d": 2}, "e": 3}),
        ({"ignore_empty_list": True}, {"a": [1], "b": {"c": 1, "d": 2}, "e": 3}),
        ({"no_new_field": True}, {"a": [], "b": {"c": 1}}),
    ],
)
async def test_how_an_addition_is_merged(options: dict[str, Any], expected: dict[str, Any]) -> None:
    body = {"a": [1], "b": {"c": 1}}
    part = AgentEvent.model_validate(
        {
            "event": "CUSTOM",
            "data": {"name": "content", "value": {"type": "data", "data": body}},
            "addition": {"data": {"a": [], "b": {"d": 2}, "e": 3}},
            "addition_merge_options": options,
        }
    )
    told_of_it = next(item for item in await told(part) if item["object"] == "content")
    assert told_of_it["data"] == expected


@pytest.mark.parametrize("raw", ['data: {"raw":1}\n\n', 'data: {"raw":1}', {"raw": 1}])
async def test_what_is_raw_is_sent_as_it_is_and_has_no_number(raw: Any) -> None:
    sent = b"".join([frames async for frames in stream(request(), given([event(EventType.RAW, raw=raw), text("a")]))])
    lines = [json.loads(line) for line in lines_of(sent.decode())]
    assert lines.pop(2) == {"raw": 1}
    check_grammar(lines)


async def test_half_a_character_joins_its_other_half() -> None:
    objects = await told(text("\ud83d"), text("\ude00"))
    assert outline(objects) == ["message: 😀"]


async def test_what_an_agent_changes_later_stays_as_it_was_told() -> None:
    snapshot = {"n": 1}

    async def agent() -> AsyncGenerator[AgentEvent, None]:
        yield event(EventType.STATE, snapshot=snapshot)
        snapshot["n"] = 2

    response = await answer(request(), agent())
    assert outline([json.loads(response_json(response))]) == ['message: {"type": "state", "snapshot": {"n": 1}}']


async def test_a_refused_request_is_a_response_that_failed() -> None:
    refusal = refuse(InvalidInputError("AgentRequest needs 'input'", field="input"))
    objects = [json.loads(line) for line in lines_of(refusal.frames.decode())]
    check_grammar(objects)
    assert objects[-1]["status"] == refusal.response.status == "failed"
    assert objects[-1]["error"] == {"code": "INVALID_REQUEST", "message": "AgentRequest needs 'input'"}


async def test_types_of_messages_are_those_of_the_wire() -> None:
    kinds = {message["type"] for events, _ in RUNS.values() for message in (await told(*events))[-1]["output"]}
    assert kinds <= {kind.value for kind in MessageType}
