"""Finding the few tools that fit: by words, by meaning, and by the model itself."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from agentrun.errors import InvalidInputError, InvalidResponseError
from agentrun.integration._ranking import words
from agentrun.integration._select import EmbeddingIndex, ToolIndex, searchable, select, select_async
from agentrun.integration.utils import CommonToolSet, Tool
from tests.unit.modes import both_modes, drive


async def perform(arguments: dict[str, Any]) -> Any:
    return arguments


def made(name: str, description: str, **arguments: str) -> Tool:
    properties = {key: {"type": "string", "description": said} for key, said in arguments.items()}
    return Tool(name, description, {"type": "object", "properties": properties}, perform=perform)


TOOLS = [
    made("create_issue", "Open an issue in a repository", title="What is wrong"),
    made("refundPayment", "Give the money of a payment back", reason="Why the customer wants it"),
    made("list_payments", "List payments"),
    made("send_mail", "Send a message", recipient="The address of who gets it"),
    made("天气", "查询城市的天气预报"),
]


def names(tools: Sequence[Tool]) -> list[str]:
    return [tool.name for tool in tools]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("refund a payment", "refundPayment"),
        ("refunding payments to customers", "refundPayment"),
        ("issues", "create_issue"),
        ("address of the recipient", "send_mail"),
        ("今天天气", "天气"),
    ],
)
def test_words_find_what_is_meant(query: str, first: str) -> None:
    assert names(select(TOOLS, query, 2))[0] == first


def test_only_what_has_a_word_of_the_query_is_found() -> None:
    assert select(TOOLS, "quantum", 5) == []
    assert select([], "payment") == []
    assert len(select(TOOLS, "payment message issue", 2)) == 2


def test_names_in_any_case_are_words() -> None:
    assert words("createHTTPServer list_items_2") == ["creat", "http", "server", "list", "item", "2"]


def test_a_set_of_ten_thousand_keeps_its_order_among_equals() -> None:
    many = [made(f"tool_{number}", "does the same") for number in range(10_000)]
    assert names(ToolIndex(many).select("same", 3)) == ["tool_0", "tool_1", "tool_2"]


def test_top_k_is_positive() -> None:
    with pytest.raises(InvalidInputError, match="top_k"):
        select(TOOLS, "payment", 0)


class Vectors:
    """A model that knows three directions: money, mail and everything else; it counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    async def aembedding(self, input: Sequence[str], model: str | None = None) -> Any:
        self.asked.append(input)
        data = [SimpleNamespace(index=at, embedding=self._vector(text)) for at, text in enumerate(input)]
        return SimpleNamespace(data=data[::-1])

    def _vector(self, text: str) -> list[float]:
        is_money = any(word in text for word in ("money", "payment", "cash"))
        is_mail = any(word in text for word in ("message", "mail", "letter"))
        return [5.0 * is_money, 3.0 * is_mail, 0.1]


@both_modes
def test_meaning_finds_what_has_no_word_in_common(mode: str) -> None:
    model = Vectors()
    index = EmbeddingIndex(TOOLS, model)
    assert set(names(drive(mode, index.select_async("cash", 2)))) == {"refundPayment", "list_payments"}
    assert names(drive(mode, index.select_async("letter", 1))) == ["send_mail"]
    assert [len(texts) for texts in model.asked] == [len(TOOLS), 1, 1]


@both_modes
def test_the_vector_of_a_tool_is_asked_for_once(mode: str) -> None:
    model = Vectors()
    for _ in range(3):
        assert names(drive(mode, select_async(TOOLS, "letter", 1, by=model))) == ["send_mail"]
    drive(mode, select_async([*TOOLS, made("new", "Something new")], "letter", 1, by=model))
    assert [len(texts) for texts in model.asked] == [len(TOOLS), 1, 1, 1, 1, 1]


def test_vectors_may_be_kept_and_shared() -> None:
    vectors: dict[str, list[float]] = {}
    EmbeddingIndex(TOOLS, Vectors(), vectors=vectors).select("cash")
    again = Vectors()
    EmbeddingIndex(TOOLS, again, vectors=vectors).select("cash")
    assert [len(texts) for texts in again.asked] == [1]


def test_a_model_that_gives_too_few_vectors_is_told() -> None:
    class Short(Vectors):
        async def aembedding(self, input: Sequence[str], model: str | None = None) -> Any:
            return SimpleNamespace(data=[])

    with pytest.raises(InvalidResponseError, match="0 vectors for 5 texts"):
        EmbeddingIndex(TOOLS, Short()).select("cash")


@both_modes
def test_a_model_finds_tools_and_calls_them(mode: str) -> None:
    find, call = searchable(CommonToolSet(TOOLS), top_k=2).tools()
    found = drive(mode, find.outcome_async({"query": "payment"})).value
    assert [each["name"] for each in found] == ["list_payments", "refundPayment"]
    assert found[1]["parameters"] == TOOLS[1].parameters
    assert drive(mode, find.outcome_async({"query": "payment", "limit": 1})).value[0]["name"] == "list_payments"
    assert drive(mode, call.outcome_async({"name": "refundPayment", "arguments": {"reason": "x"}})).value == {
        "reason": "x"
    }
    assert "Did you mean refundPayment?" in drive(mode, call.outcome_async({"name": "refund_payments"})).text
    assert "InvalidInputError" in drive(mode, find.outcome_async({"query": "a", "limit": 0})).text


def test_closing_what_is_searched_closes_the_set() -> None:
    closed: list[bool] = []

    class Held(CommonToolSet):
        async def close_async(self) -> None:
            closed.append(True)

    with searchable(Held(TOOLS)):
        pass
    assert closed == [True]
