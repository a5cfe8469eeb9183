"""What a scripted model does beside answering: it reasons, takes its time, breaks off and keeps to a schema."""

from __future__ import annotations

import json
import time
from typing import Literal, Optional

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel, Field

from agentrun.emulator.scripted import Latency, Reply, ReplyError, Rule, Script, ScriptedModel, ToolCall, Usage, When
from tests.emulator.scripted import Served, ask, collect, content, stream, tool, user


def reasoning(chunks: list[ChatCompletionChunk]) -> str:
    deltas = [chunk.choices[0].delta.model_dump() for chunk in chunks if chunk.choices]
    return "".join(delta.get("reasoning_content") or "" for delta in deltas)


def test_reasoning_comes_before_the_content(served: Served) -> None:
    client = served.run(Rule(When(), Reply("Rain.", reasoning="Clouds are grey.")))
    answer = client.chat.completions.create(model="m", messages=user("weather?"))
    assert answer.choices[0].message.model_dump()["reasoning_content"] == "Clouds are grey."
    assert answer.choices[0].message.content == "Rain."
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 4
    assert answer.usage.completion_tokens == 6
    chunks = stream(client)
    assert (reasoning(chunks), content(chunks)) == ("Clouds are grey.", "Rain.")
    kinds = [sorted(chunk.choices[0].delta.model_dump(exclude_unset=True)) for chunk in chunks]
    assert kinds == [["content", "refusal", "role"], *[["reasoning_content"]] * 3, ["content"], []]


def test_usage_tells_what_was_cached(served: Served) -> None:
    client = served.run(Rule(When(), Reply("x", usage=Usage(100, 9, cached_tokens=64, reasoning_tokens=5))))
    usage = client.chat.completions.create(model="m", messages=user("x")).usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 64
    assert usage.completion_tokens_details.reasoning_tokens == 5


def test_parallel_calls_are_ended_one_by_one_for_the_client(served: Served) -> None:
    calls = [ToolCall("search", {"query": "a rather long query"}), ToolCall("now"), ToolCall("search", {"query": "b"})]
    client = served.run(Rule(When(), Reply(tool_calls=calls)))
    tools = [tool("search"), tool("now")]
    with client.chat.completions.stream(model="m", messages=user("x"), tools=tools) as events:
        ended = [event for event in events if event.type == "tool_calls.function.arguments.done"]
        final = events.get_final_completion().choices[0].message.tool_calls
    assert [(event.index, event.name, json.loads(event.arguments)) for event in ended] == [
        (index, call.name, call.arguments) for index, call in enumerate(calls)
    ]
    assert final is not None
    assert [json.loads(call.function.arguments) for call in final] == [call.arguments for call in calls]


def arrivals(served: Served, script: Script) -> list[float]:
    """Seconds until each piece of content came."""
    client = served.serve(ScriptedModel(script))
    began = time.monotonic()
    chunks = client.chat.completions.create(model="m", messages=user("x"), stream=True)
    return [time.monotonic() - began for chunk in chunks if chunk.choices[0].delta.content]


def test_latency_spreads_the_tokens(served: Served) -> None:
    times = arrivals(served, Script([Rule(When(), Reply("a b c d", latency=Latency(0.1, 20)))]))
    assert times == sorted(times)
    for came, due in zip(times, (0.1, 0.15, 0.2, 0.25), strict=True):
        assert due <= came < due + 0.15


def test_latency_of_the_script_is_that_of_a_reply_without_one(served: Served) -> None:
    rules = [Rule("quick", Reply("a b c", latency=Latency())), Rule(When(), "a b c")]
    client = served.serve(ScriptedModel(Script(rules, latency=Latency(0.1, 20))))
    began = time.monotonic()
    assert ask(client, "quick") == "a b c"
    assert time.monotonic() - began < 0.2
    began = time.monotonic()
    assert ask(client, "slow") == "a b c"
    assert 0.25 <= time.monotonic() - began < 0.6


@pytest.mark.parametrize("streamed", [True, False])
def test_client_that_leaves_ends_the_latency(served: Served, streamed: bool) -> None:
    served.run(Rule(When(), Reply("a b c", latency=Latency(0, 0.01))))
    body = json.dumps({"model": "m", "messages": user("x"), "stream": streamed})
    with pytest.raises(httpx.ReadTimeout):
        served.post(body, timeout=0.3)
    assert served.witness.returned.wait(5)
    assert served.witness.bodies < 4


def read(served: Served, reply: Reply) -> tuple[str, Exception | None]:
    """What came of a stream, and the error that ended it."""
    client = served.run(Rule(When(), reply))
    chunks, error = collect(client.chat.completions.create(model="m", messages=user("x"), stream=True))
    return content(chunks), error


@pytest.mark.parametrize(("after", "text"), [(0, ""), (2, "one two"), (4, "one two three four")])
def test_a_stream_that_breaks(served: Served, after: int, text: str) -> None:
    came, error = read(served, Reply("one two three four", break_after=after))
    assert came == text
    assert error is not None
    assert not isinstance(error, openai.APIStatusError)


def test_an_answer_that_breaks_as_a_whole(served: Served) -> None:
    client = served.run(Rule(When(), Reply("one two", break_after=1)))
    with pytest.raises(openai.APIConnectionError):
        ask(client)


def test_a_short_answer_does_not_break(served: Served) -> None:
    assert read(served, Reply("one two", break_after=9)) == ("one two", None)


def test_a_stream_that_ends_in_an_error(served: Served) -> None:
    reply = Reply("one two three", break_after=2, error=ReplyError(503))
    text, error = read(served, reply)
    assert text == "one two"
    assert isinstance(error, openai.APIError)
    assert (error.message, error.code) == ("The model is overloaded.", "overloaded")
    with pytest.raises(openai.InternalServerError):
        ask(served.client())


class Step(BaseModel):
    explanation: str = Field(min_length=3)
    kind: Literal["add", "carry"]
    weight: float = Field(gt=0)


class Plan(BaseModel):
    steps: list[Step] = Field(min_length=1)
    parent: Optional[Plan]  # noqa: UP045  # pydantic on Python 3.10 cannot follow `Plan | None` before Plan exists
    answer: int


FITTING = {"steps": [{"explanation": "sum", "kind": "add", "weight": 1}], "parent": None, "answer": 42}


def parsed(served: Served, *rules: Rule) -> Plan | None:
    client = served.serve(ScriptedModel(Script(rules)))
    completions = client.beta.chat.completions
    answer = completions.parse(model="m", messages=user("plan"), response_format=Plan)
    return answer.choices[0].message.parsed


def test_json_that_fits_the_schema(served: Served) -> None:
    for rule in (Rule("plan", FITTING), Rule("plan", Reply(json=FITTING)), Rule("plan", lambda _: FITTING)):
        plan = parsed(served, rule)
        assert plan is not None
        assert plan.answer == 42


@pytest.mark.parametrize("rules", [(), (Rule("plan", Reply.from_schema()),)])
def test_json_made_from_the_schema(served: Served, rules: tuple[Rule, ...]) -> None:
    plan = parsed(served, *rules)
    assert plan is not None
    assert (plan.answer, plan.parent, len(plan.steps), plan.steps[0].kind) == (0, None, 1, "add")


def test_json_that_does_not_fit_names_the_path(served: Served) -> None:
    wrong = {**FITTING, "steps": [{"explanation": "sum", "kind": "subtract", "weight": 1}]}
    with pytest.raises(openai.BadRequestError, match=r"rule 'sums' .*\$\.steps\[0\]\.kind: 'subtract'") as raised:
        parsed(served, Rule("plan", wrong, name="sums"))
    assert (raised.value.code, raised.value.param) == ("script_mismatch", "response_format.json_schema.schema")


def test_text_is_not_held_against_the_schema(served: Served) -> None:
    with pytest.raises(ValueError, match="JSON"):
        parsed(served, Rule("plan", "no JSON"))


def formatted(served: Served, response_format: object) -> tuple[int, str]:
    body = {"model": "m", "messages": user("x"), "response_format": response_format}
    response = served.post(json.dumps(body))
    shown = response.json()
    return response.status_code, shown["choices"][0]["message"]["content"] if response.is_success else shown["error"]


def test_any_object(served: Served) -> None:
    served.serve(ScriptedModel())
    assert formatted(served, {"type": "json_object"}) == (200, "{}")
    served.run(Rule(When(), [1, 2]))
    assert formatted(served, {"type": "text"}) == (200, "[1, 2]")
    status, error = formatted(served, {"type": "json_object"})
    assert (status, "no object" in str(error)) == (400, True)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "strng"}, "'strng'"),
        ({"$ref": "#/$defs/gone"}, "leads nowhere"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "leads nowhere"),
        (
            {"type": "object", "properties": {"x": {"type": "string", "pattern": "^[0-9]{5}$"}}, "required": ["x"]},
            "$.x",
        ),
        ({"$ref": "#"}, "leads nowhere"),
        ("text", "must be an object"),
    ],
)
def test_schemas_that_lead_to_no_answer(served: Served, schema: object, reason: str) -> None:
    served.serve(ScriptedModel())
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    status, error = formatted(served, format_)
    assert (status, reason in str(error)) == (400, True), error


def test_from_schema_needs_a_schema(served: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="has none"):
        ask(served.run(Rule(When(), Reply.from_schema())))


def test_models_with_scripts_of_their_own(served: Served) -> None:
    script = Script([Rule(When(), "small")], models={"small": None, "large": Script([Rule(When(), "large")])})
    client = served.serve(ScriptedModel(script))
    assert [model.id for model in client.models.list()] == ["small", "large"]
    for name in ("small", "large"):
        answer = client.chat.completions.create(model=name, messages=user("x"))
        assert answer.choices[0].message.content == name
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="other", input="x")
