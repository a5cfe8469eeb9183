"""The rules of a script, without HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import pytest

from agentrun.emulator.scripted import (
    Conversation,
    Latency,
    Message,
    Reply,
    ReplyError,
    Rule,
    Script,
    ScriptError,
    ScriptMismatchError,
    ToolCall,
    Usage,
    When,
    count_tokens,
)
from agentrun.emulator.scripted.condition import Trigger
from agentrun.emulator.scripted.script import Answer

SYSTEM = Message("system", "You are a pirate.")
QUESTION = Message("user", "What is the weather in Hangzhou?")
CALL = Message("assistant", tool_calls=(ToolCall("get_weather", {"city": "Hangzhou"}, "call_1"),))
RESULT = Message("tool", "sunny, 21 degrees", tool_call_id="call_1", name="get_weather")
ANSWER = Message("assistant", "It is sunny.")

ASKED = Conversation((SYSTEM, QUESTION), tools=("get_weather",))
ANSWERED_BY_TOOL = Conversation((SYSTEM, QUESTION, CALL, RESULT), tools=("get_weather",))
SECOND_QUESTION = Conversation((SYSTEM, QUESTION, CALL, RESULT, ANSWER, Message("user", "And tomorrow?")))

FOLLOWED_BY_USER = Conversation((QUESTION, CALL, RESULT, Message("user", "See this picture of the weather.")))


def is_short(conversation: Conversation) -> bool:
    return len(conversation.messages) < 3


@pytest.mark.parametrize(
    ("when", "conversation", "expected"),
    [
        ("weather", ASKED, True),
        ("Weather", ASKED, False),
        ("pirate", ASKED, False),
        (re.compile(r"in (Hang|Su)zhou\?$"), ASKED, True),
        (re.compile(r"^weather"), ASKED, False),
        ("weather", ANSWERED_BY_TOOL, False),
        ("weather", SECOND_QUESTION, False),
        ("tomorrow", SECOND_QUESTION, True),
        ("picture", FOLLOWED_BY_USER, True),
        (When(tool="get_weather"), FOLLOWED_BY_USER, True),
        (1, ASKED, True),
        (2, ASKED, False),
        (2, ANSWERED_BY_TOOL, True),
        (3, SECOND_QUESTION, True),
        (When(system="pirate"), ASKED, True),
        (When(system="parrot"), ASKED, False),
        (When(tool="get_weather"), ANSWERED_BY_TOOL, True),
        (When(tool="weather"), ANSWERED_BY_TOOL, False),
        (When(tool=re.compile("weather")), ANSWERED_BY_TOOL, True),
        (When(result=""), ANSWERED_BY_TOOL, True),
        (When(result=""), ASKED, False),
        (When(tool="get_weather", result=re.compile(r"\d+ degrees")), ANSWERED_BY_TOOL, True),
        (When(tool="get_weather", result="rain"), ANSWERED_BY_TOOL, False),
        (When(tool="get_weather"), SECOND_QUESTION, False),
        (When(user="weather", tool="get_weather"), ANSWERED_BY_TOOL, True),
        (When(user="weather", turn=2), ANSWERED_BY_TOOL, True),
        (When(user="weather", system="pirate"), ANSWERED_BY_TOOL, False),
        (When(model="scripted"), ASKED, True),
        (When(model="script"), ASKED, False),
        (is_short, ASKED, True),
        (is_short, ANSWERED_BY_TOOL, False),
        (When(user="weather", check=is_short), ASKED, True),
        (When(turn=7) | When(user="weather") | When(turn=8), ASKED, True),
        (When(turn=7) | When(turn=8), ASKED, False),
        (When(), SECOND_QUESTION, True),
    ],
)
def test_when(when: Trigger, conversation: Conversation, expected: bool) -> None:
    assert (Script([Rule(when, "yes")]).find(conversation) is not None) is expected


@pytest.mark.parametrize("when", [True, None, 1.5])
def test_when_refuses_what_is_no_trigger(when: object) -> None:
    with pytest.raises(TypeError, match=r"When\(\) matches always"):
        Rule(cast("Trigger", when), "yes")


def test_first_matching_rule_answers() -> None:
    script = Script([Rule("snow", "first"), Rule("weather", "second"), Rule(When(), "third")])
    assert script.answer(ASKED).content == "second"


def test_without_a_match_the_user_is_repeated() -> None:
    assert Script().answer(ASKED) == Reply("What is the weather in Hangzhou?")
    assert Script([Rule("snow", "cold")]).answer(SECOND_QUESTION).content == "And tomorrow?"
    assert Script().answer(Conversation((SYSTEM,))).content == ""


def test_default_answers_instead() -> None:
    assert Script(default="pardon?").answer(ASKED).content == "pardon?"
    assert Script(default=lambda conversation: f"turn {conversation.turn}").answer(ASKED).content == "turn 1"


def test_strict_script_has_no_default() -> None:
    with pytest.raises(ValueError, match="no default"):
        Script(strict=True, default="x")


def test_functions_make_replies() -> None:
    def call(conversation: Conversation) -> Reply:
        return Reply(tool_calls=[ToolCall(conversation.tools[0], {"city": conversation.last_user[-9:-1]})])

    def tell(conversation: Conversation) -> str:
        return f"It is {conversation.tool_results[-1].content}."

    script = Script([Rule("weather", call), Rule(When(tool="get_weather"), tell)], strict=True)
    assert script.answer(ASKED).tool_calls == [ToolCall("get_weather", {"city": "Hangzhou"})]
    assert script.answer(ANSWERED_BY_TOOL) == Reply("It is sunny, 21 degrees.")


def refusal(script: Script, conversation: Conversation) -> str:
    with pytest.raises(ScriptMismatchError) as raised:
        script.answer(conversation)
    return str(raised.value)


def test_mismatch_shows_what_was_asked_and_the_nearest_rule() -> None:
    rules = [
        Rule("refund my order", "no", name="refund"),
        Rule("the wether in", "sunny", name="forecast"),
        Rule(3, "x"),
    ]
    text = refusal(Script(rules, strict=True), ASKED)
    assert "What is the weather in Hangzhou?" in text
    assert "You are a pirate." in text
    assert "Offered tools: 'get_weather'" in text
    assert "Nearest rule: 'forecast' (user says 'the wether in')" in text
    assert "the last user message does not contain 'the wether in'" in text
    assert "strict=False" in text


@pytest.mark.parametrize(
    ("when", "conversation", "reason"),
    [
        ("WEATHER", ASKED, "contains 'WEATHER' in another case only"),
        (re.compile("wea?ther$"), ASKED, "no match of /wea?ther$/"),
        ("weather", ANSWERED_BY_TOOL, "match that with When(tool='get_weather')"),
        (When(tool="get_wether"), ANSWERED_BY_TOOL, "the tool results are of 'get_weather', not of 'get_wether'"),
        (When(tool="get_weather", result="rain"), ANSWERED_BY_TOOL, "the result of 'get_weather' does not contain"),
        (When(tool="get_weather"), ASKED, "no tool result came since the model spoke last"),
        (When(turn=4), ASKED, "this is turn 1, not 4"),
        (When(model="qwen"), ASKED, "the model is 'scripted', not 'qwen'"),
        (When(user="weather", system="parrot"), ASKED, "because the system prompt does not contain 'parrot'."),
        (is_short, ANSWERED_BY_TOOL, "is_short(conversation) is false"),
        (When(result="", check=is_short), ANSWERED_BY_TOOL, "because is_short(conversation) is false."),
        (When(turn=5) | When(turn=6), ASKED, "not 5, and this is turn 1, not 6"),
    ],
)
def test_mismatch_says_why(when: Trigger, conversation: Conversation, reason: str) -> None:
    assert reason in refusal(Script([Rule(when, "x")], strict=True), conversation)


@pytest.mark.parametrize(("asked", "nearest"), [("我想退贷", "退货"), ("杭州天汽怎么样", "天气"), ("天气预告", "预报")])
def test_nearest_rule_without_word_boundaries(asked: str, nearest: str) -> None:
    script = Script([Rule(text, "x", name=text[-2:]) for text in ("我想退货", "杭州天气", "天气预报")], strict=True)
    assert f"Nearest rule: '{nearest}'" in refusal(script, Conversation((Message("user", asked),)))


def test_nearest_rule_has_long_pieces_and_not_many_letters() -> None:
    scattered = Rule("watering hats", "x", name="scattered")
    rules = [scattered, Rule("weather forecast please", "y", name="long piece")]
    assert "Nearest rule: 'long piece'" in refusal(Script(rules, strict=True), ASKED)


def test_mismatch_without_rules_and_with_a_long_question() -> None:
    text = refusal(Script(strict=True), Conversation((Message("user", "x" * 100_000),)))
    assert "has no rules" in text
    assert len(text) < 1000


def test_mismatch_does_not_ask_a_function_that_is_not_due() -> None:
    def first_result_is_good(conversation: Conversation) -> bool:
        return conversation.tool_results[0].content == "good"

    text = refusal(Script([Rule(When(result="", check=first_result_is_good), "x")], strict=True), ASKED)
    assert "no tool result came" in text


def test_strict_script_refuses_a_tool_that_is_not_offered() -> None:
    rules = [Rule(When(), Reply(tool_calls=[ToolCall("get_wether")]), name="forecast")]
    text = refusal(Script(rules, strict=True), ASKED)
    assert "rule 'forecast' (always) calls the tool 'get_wether'" in text
    assert "Did you mean 'get_weather'?" in text
    assert "offers no tools" in refusal(Script(rules, strict=True), SECOND_QUESTION)
    assert Script(rules).answer(ASKED).tool_calls


def fail(conversation: Conversation) -> str:
    raise KeyError(conversation.model)


def answer_nothing(_: Conversation) -> None:
    return None


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Script([Rule("weather", fail, name="r")]), "rule 'r' (user says 'weather') raised KeyError"),
        (lambda: Script([Rule(lambda c: bool(c.tool_results[3]), "x")]), "raised IndexError"),
        (lambda: Script(default=cast("Answer", answer_nothing)), "the default returned NoneType"),
    ],
)
def test_faults_in_functions_are_reported(make: Callable[[], Script], reason: str) -> None:
    with pytest.raises(ScriptError, match=re.escape(reason)):
        make().answer(ASKED)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("four", 1), ("fiver", 2), ("天气", 2), ("🌧", 1), ("\ud83c", 1)]
)
def test_tokens(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


def test_invalid_replies_fail_where_they_are_written() -> None:
    with pytest.raises(ValueError, match="no content"):
        Reply("text", error=ReplyError(500))
    with pytest.raises(ValueError, match="delay"):
        Reply("text", delay=-1)
    with pytest.raises(ValueError, match="status"):
        ReplyError(200)
    with pytest.raises(TypeError):
        ToolCall("f", {"x": object()})
    with pytest.raises(ValueError, match="JSON"):
        ToolCall("f", {"x": float("nan")})


def test_fingerprint_depends_on_the_conversation_alone() -> None:
    again = Conversation((SYSTEM, QUESTION), parameters={"temperature": 1}, notes=("x",))
    assert again.fingerprint == ASKED.fingerprint
    assert Conversation((SYSTEM, QUESTION), model="other").fingerprint != ASKED.fingerprint
    assert len({ASKED.fingerprint, ANSWERED_BY_TOOL.fingerprint, SECOND_QUESTION.fingerprint}) == 3


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Reply("text", json={}), "not both"),
        (lambda: Reply(reasoning="x", error=ReplyError(500)), "break_after"),
        (lambda: Reply("x", break_after=-1), "break_after"),
        (lambda: Reply(json={"x": float("nan")}), "JSON"),
        (lambda: Usage(1, 1, cached_tokens=2), "cached_tokens"),
        (lambda: Usage(1, 1, reasoning_tokens=2), "reasoning_tokens"),
        (lambda: Latency(-1), "first_token"),
        (lambda: Latency(0, 0), "tokens_per_second"),
        (lambda: Script(models={"a": Script(models=["b"])}), "models of its own"),
    ],
)
def test_what_makes_no_sense_fails_where_it_is_written(make: Callable[[], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()


def test_json_is_content() -> None:
    assert Reply(json={"a": "天", "b": [1, None]}).content == '{"a": "天", "b": [1, null]}'
    assert Script([Rule("weather", {"a": 1})]).answer(ASKED) == Reply(json={"a": 1})
    with pytest.raises(TypeError, match="mapping or a list"):
        Reply(json=cast("Any", 5))


@pytest.mark.parametrize("value", [object(), float("inf")])
def test_json_of_a_function_that_cannot_be_written(value: object) -> None:
    with pytest.raises(ScriptError, match=r"rule 'r' .* raised (Type|Value)Error"):
        Script([Rule(When(), lambda _: {"a": value}, name="r")]).answer(ASKED)


def test_latency_is_due_since_the_beginning() -> None:
    assert [Latency(0.5, 10).due(tokens) for tokens in (0, 1, 10)] == [0.5, 0.6, 1.5]
    assert Latency(0.5).due(100) == 0.5
    assert Script(latency=Latency(1)).answer(ASKED).latency == Latency(1)
    assert Script([Rule(When(), Reply(latency=Latency()))], latency=Latency(1)).answer(ASKED).latency == Latency()
