from __future__ import annotations

import json
from typing import Any

import pytest

from agentrun.errors import InvalidInputError
from agentrun.server import EventType
from agentrun.server.protocols.agent_api import chat_request, read_request
from tests.unit.server.agent_api.runs import ASKED, call, event, result, text, thought, told


def said(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    """A conversation as a chat, without the ids of messages."""
    chat = chat_request(read_request({"input": list(messages)}))["messages"]
    return [{name: value for name, value in message.items() if name != "id"} for message in chat]


def says(role: str, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": role, "content": list(parts), **more}


def words(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def body(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "content": [{"type": "data", "data": data}]}


def called(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize("as_sent", [json.dumps(ASKED), json.dumps(ASKED).encode(), ASKED])
def test_a_request_is_read_from_what_was_sent(as_sent: Any) -> None:
    request = read_request(as_sent)
    assert request.session_id == request.user_id == "s"
    assert request.stream is True
    assert chat_request(request)["messages"][0]["content"] == "hi"


def test_anonymous_requests_never_meet() -> None:
    first, second = read_request({"input": []}), read_request({"input": []})
    assert first.session_id
    assert first.session_id == first.user_id
    assert first.session_id != second.session_id
    assert first.id != second.id


def test_what_else_was_sent_reaches_the_agent() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    sent = {**ASKED, "temperature": 0.5, "biz": {"a": 1}, "tools": [tool], "user_id": "u", "stream": False}
    chat = chat_request(read_request(sent))
    assert (chat["temperature"], chat["biz"], chat["user_id"], chat["stream"]) == (0.5, {"a": 1}, "u", False)
    assert chat["tools"] == [tool]
    assert "top_p" not in chat


def test_parts_are_said_as_chats_say_them() -> None:
    parts = (
        words("look"),
        {"type": "image", "image_url": "https://example.com/a.png"},
        {"type": "audio", "data": "QUJD", "format": "wav"},
        {"type": "video", "video_url": "https://example.com/a.mp4"},
        {"type": "file", "file_id": "f1", "filename": "a.txt"},
        {"type": "data", "data": {"a": 1}},
        {"type": "refusal", "refusal": "no"},
    )
    assert said(says("user", *parts))[0]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
        {"type": "file", "file": {"file_id": "f1", "filename": "a.txt"}},
        {"type": "text", "text": '{"a": 1}'},
        {"type": "refusal", "refusal": "no"},
    ]


def test_a_turn_of_the_assistant_is_one_message() -> None:
    assert said(
        says("system", words("be kind")),
        says("user", words("add")),
        says("assistant", words("hm, "), type="reasoning"),
        says("assistant", words("two"), type="reasoning"),
        says("assistant", words("I will")),
        body("plugin_call", call_id="a", name="f", arguments='{"x":1}'),
        body("mcp_call", call_id="b", name="g", arguments="{}", server_label="maps"),
        body("plugin_call_output", call_id="a", name="f", output='[{"type": "text", "text": "4"}]'),
        body("mcp_call_output", call_id="b", output="plain"),
        says("assistant", words("so"), type="reasoning"),
        says("assistant", words("It is 4")),
        says("assistant", words("Bye")),
    ) == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "add"},
        {
            "role": "assistant",
            "content": "I will",
            "reasoning_content": "hm, two",
            "tool_calls": [called("a", "f", '{"x":1}'), called("b", "g", "{}")],
        },
        {"role": "tool", "tool_call_id": "a", "name": "f", "content": "4"},
        {"role": "tool", "tool_call_id": "b", "content": "plain"},
        {"role": "assistant", "content": "It is 4", "reasoning_content": "so"},
        {"role": "assistant", "content": "Bye"},
    ]


def test_an_answer_of_a_person_is_the_result_of_the_question() -> None:
    assert said(
        body("mcp_approval_request", id="q", name="rm", arguments="{}", server_label="shell"),
        body("mcp_approval_response", approval_request_id="q", approve=False, reason="no"),
    ) == [
        {"role": "assistant", "content": None, "tool_calls": [called("q", "rm", "{}")]},
        {"role": "tool", "tool_call_id": "q", "content": '{"approve": false, "reason": "no"}'},
    ]


def test_what_is_not_for_the_agent_is_left_out() -> None:
    assert said({"type": "heartbeat"}, {"type": "error", "content": None}, {"type": "mcp_list_tools"}) == []


@pytest.mark.parametrize("output", ["", "[", "[1]", '[{"a": 1}]', '{"a": 1}', "text"])
def test_an_output_that_is_no_list_of_blocks_is_text(output: str) -> None:
    assert said(body("plugin_call_output", call_id="a", output=output))[0]["content"] == output


@pytest.mark.asyncio
async def test_what_an_agent_answered_can_be_sent_back() -> None:
    objects = await told(
        thought("hm"), text("Let me"), call("c", "f", '{"a":1}'), result("c", "four"), text("It is four")
    )
    assert said(*objects[-1]["output"]) == [
        {
            "role": "assistant",
            "content": "Let me",
            "reasoning_content": "hm",
            "tool_calls": [called("c", "f", '{"a":1}')],
        },
        {"role": "tool", "tool_call_id": "c", "name": "f", "content": "four"},
        {"role": "assistant", "content": "It is four"},
    ]


@pytest.mark.asyncio
async def test_a_question_and_its_answer_can_be_sent_back() -> None:
    objects = await told(event(EventType.HITL, id="q", type="confirm", prompt="Sure?"))
    answered = body("component_call_output", call_id="q", output="yes")
    assert [message["role"] for message in said(*objects[-1]["output"], answered)] == ["assistant", "tool"]


@pytest.mark.parametrize(
    ("sent", "field", "words"),
    [
        ("{", "", "Send a JSON object"),
        ("[]", "", "Send a JSON object"),
        ("{}", "input", 'The least that a request has is {"input"'),
        ({"input": "hi"}, "input", "It is a list"),
        ({"input": [{"role": "user", "content": "hi"}]}, "input.0.content", "It is a list"),
        ({"input": [says("bob")]}, "input.0.role", "'assistant', 'system', 'user' or 'tool'"),
        ({"input": [says("user", {"type": "smell"})]}, "input.0.content.0", "text, image, data"),
        ({"input": [says("user", {"text": "x"})]}, "input.0.content.0", "Every part has a type"),
        ({"input": [], "n": 9}, "n", "less than or equal to 5"),
    ],
)
def test_a_request_that_cannot_be_read_says_what_to_change(sent: Any, field: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_request(sent)
    assert caught.value.field == field
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"role": "user"}, "input.0.content: the message has no content. Give its parts"),
        ({"type": "sonnet", "content": []}, "'sonnet' is no type of message. Known are: message"),
        ({"type": "plugin_call", "content": []}, "a plugin_call has a body"),
        (body("plugin_call", call_id="a"), "input.0.content.data.name is missing"),
        (body("plugin_call", name="f"), "input.0.content.data.call_id is missing"),
        (body("plugin_call_output", output="x"), "input.0.content.data.call_id is missing"),
        (says("user", {"type": "image"}), "input.0.content.0: the image has no image_url"),
        (says("user", {"type": "file"}), "the file has no file_url or file_id or file_data"),
    ],
)
def test_a_message_that_cannot_be_said_says_what_to_change(message: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        said(message)
    assert words in str(caught.value)
