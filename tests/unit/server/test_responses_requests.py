"""What an agent is asked through responses, and what is said to a request that is wrong."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from agentrun.server import MessageRole
from tests.unit.server.agents import Listening, agent
from tests.unit.server.responses import RESPONSES, whole
from tests.unit.server.serving import Served, serving

TOOL: dict[str, Any] = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": True}


@pytest.fixture(scope="module")
def silent() -> Generator[Served, None, None]:
    """A server whose agent is never asked."""
    with serving(agent("never")) as served:
        yield served


def said_for(given: Any, **fields: Any) -> list[dict[str, Any]]:
    """The messages that an agent is given for an input."""
    listening = Listening()
    with serving(listening) as served:
        whole(served, input=given, **fields)
    return [message.model_dump(exclude_none=True, exclude={"id"}) for message in listening.request.messages]


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def test_all_that_was_asked_reaches_the_agent_and_is_said_again() -> None:
    listening = Listening()
    with serving(listening) as served, served.openai() as client:
        create: Any = client.responses.create
        answer = create(
            model="m",
            input="hi",
            instructions="be kind",
            tools=[TOOL, {"type": "web_search_preview"}],
            temperature=0.5,
            max_output_tokens=77,
            metadata={"a": "b"},
            user="ada",
            store=False,
            tool_choice="required",
            parallel_tool_calls=False,
            extra_headers={"x-agentrun-session-id": "s1"},
            extra_body={"protocol": "other", "raw_request": 1, "mine": [1]},
        )
    request: Any = listening.request
    assert [(message.role, message.content) for message in request.messages] == [
        (MessageRole.SYSTEM, "be kind"),
        (MessageRole.USER, "hi"),
    ]
    function = {name: value for name, value in TOOL.items() if name != "type"}
    assert [tool.model_dump() for tool in request.tools] == [
        {"type": "function", "function": function},
        {"type": "web_search_preview", "function": {}},
    ]
    assert (request.protocol, request.stream, request.session_id, request.user_id) == (
        *("openai_responses", False, "s1", "ada"),
    )
    assert (request.model, request.temperature, request.max_output_tokens, request.mine) == ("m", 0.5, 77, [1])
    assert (request.instructions, request.metadata, request.store) == ("be kind", {"a": "b"}, False)
    echoed = answer.model_dump(by_alias=True)
    assert (echoed["instructions"], echoed["metadata"], echoed["user"]) == ("be kind", {"a": "b"}, "ada")
    assert (echoed["temperature"], echoed["max_output_tokens"], echoed["store"]) == (0.5, 77, False)
    assert (echoed["tool_choice"], echoed["parallel_tool_calls"], echoed["model"]) == ("required", False, "m")
    assert echoed["tools"][0]["name"] == "add"


def test_what_was_not_asked_has_the_values_of_the_protocol() -> None:
    with serving(agent("ok")) as served:
        answer = whole(served)
    expected: dict[str, Any] = {
        "model": "agentrun",
        "store": True,
        "tools": [],
        "metadata": {},
        "background": False,
        "user": None,
    }
    assert {name: answer[name] for name in expected} == expected
    assert "response" not in answer


INPUTS: list[Any] = [
    ("hi", [{"role": "user", "content": "hi"}]),
    ([{"role": "user", "content": "hi"}], [{"role": "user", "content": "hi"}]),
    (user({"type": "input_text", "text": "hi"}), [{"role": "user", "content": "hi"}]),
    ([{"role": "developer", "content": "be kind"}], [{"role": "system", "content": "be kind"}]),
    ([{"type": "message", "role": "system", "content": "x"}], [{"role": "system", "content": "x"}]),
    (
        user(
            {"type": "input_text", "text": "look"},
            {"type": "input_image", "image_url": "data:,", "detail": "low"},
            {"type": "input_image", "file_id": "file_1"},
            {"type": "input_file", "file_data": "data:,", "filename": "a.pdf"},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            {"type": "input_video", "video_url": "https://x.test/a.mp4"},
        ),
        user(
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}},
            {"type": "file", "file": {"file_id": "file_1"}},
            {"type": "file", "file": {"file_data": "data:,", "filename": "a.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            {"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}},
        ),
    ),
    (
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
    ),
    ([{"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"}], []),
    ([{"type": "mcp_list_tools", "id": "m", "server_label": "web", "tools": []}], []),
]


@pytest.mark.parametrize(("given", "said"), INPUTS)
def test_an_input_as_a_chat(given: Any, said: list[dict[str, Any]]) -> None:
    assert said_for(given) == said


def test_a_turn_of_the_assistant_is_one_message() -> None:
    function = {"name": "add", "arguments": '{"x":1}'}
    given = [
        {"role": "user", "content": "add"},
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"role": "assistant", "content": "I add"},
        {"type": "function_call", "call_id": "a", **function},
        {"type": "function_call", "call_id": "b", **function},
        {"type": "function_call_output", "call_id": "a", "output": "3"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "4"}]},
        {"type": "mcp_call", "id": "m", "server_label": "web", "name": "find", "arguments": "{}", "output": "x"},
        {"type": "mcp_approval_response", "id": "r", "approval_request_id": "q", "approve": True},
        {"type": "image_generation_call", "id": "i", "status": "completed", "result": "AAAA"},
    ]
    turn, mcp = said_for(given)[1], said_for(given)[4]
    calls = [{"id": name, "type": "function", "function": function} for name in ("a", "b")]
    assert turn == {"role": "assistant", "content": "I add", "reasoning_content": "hm", "tool_calls": calls}
    assert mcp["tool_calls"] == [{"id": "m", "type": "function", "function": {"name": "find", "arguments": "{}"}}]
    outputs = [
        (message["tool_call_id"], message["content"]) for message in said_for(given) if "tool_call_id" in message
    ]
    assert outputs == [("a", "3"), ("b", "4"), ("m", "x"), ("q", '{"approve": true}')]
    assert said_for(given)[-1]["content"][0]["image_url"]["url"] == "data:image/png;base64,AAAA"


def test_instructions_may_be_items() -> None:
    instructions = [{"role": "developer", "content": "be kind"}, {"role": "user", "content": "always"}]
    contents = [message["content"] for message in said_for("hi", instructions=instructions)]
    assert contents == ["be kind", "always", "hi"]


WRONG: list[Any] = [
    ({}, "input", "Missing required field: input"),
    ({"input": []}, "input", "nothing to answer"),
    ({"input": 7}, "input", "valid string"),
    ({"input": ["hi"]}, "input[0]", "not an object"),
    ({"input": [{"type": []}]}, "input[0].type", "no type of item"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type", "function_call_output"),
    ({"input": [{"role": "king", "content": "x"}]}, "input[0].role", "'system', 'user'"),
    ({"input": [{"role": "user", "content": 5}]}, "input[0].content", "list of parts"),
    ({"input": user({"type": "smell"})}, "input[0].content[0].type", "input_text"),
    ({"input": user({"type": "input_text"})}, "input[0].content[0].text", "a text"),
    ({"input": user({"type": "input_image"})}, "input[0].content[0].image_url", "missing"),
    ({"input": user({"type": "input_audio"})}, "input[0].content[0].input_audio.data", "no data"),
    ({"input": user({"type": "input_file"})}, "input[0].content[0].file_id", "missing"),
    ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id", "missing"),
    ({"input": [{"type": "function_call", "call_id": "x"}]}, "input[0].name", "missing"),
    ({"input": "hi", "stream": "yes"}, "stream", "boolean"),
    ({"input": "hi", "tools": [7]}, "tools[0]", "dictionary"),
    ({"input": "hi", "temperature": "hot"}, "temperature", "number"),
    ({"input": "hi", "metadata": 1}, "metadata", "dictionary"),
    ({"input": "hi", "conversation": {}}, "conversation", "not empty"),
    ({"input": "hi", "user": ""}, "user", "not empty"),
    ({"input": "hi", "conversation": "a\0"}, "conversation", "cannot be kept"),
    ({"input": "hi", "conversation": "c", "previous_response_id": "r"}, "previous_response_id", "together"),
    ({"input": "hi", "previous_response_id": "resp_0"}, "previous_response_id", "not found"),
    ({"input": "hi", "background": True, "store": False}, "background", "stored"),
    (b"{", None, "not JSON"),
    (b"[1]", None, "not a JSON object"),
    (b"\xff", None, "not JSON"),
]


@pytest.mark.parametrize(("body", "param", "message"), WRONG)
def test_a_bad_request_is_told_what_is_wrong(silent: Served, body: Any, param: str | None, message: str) -> None:
    answer = silent.post(RESPONSES, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert message in error["message"]
