"""Long-term memory: what was said is found by its words, the best first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from agentrun.errors import InvalidInputError
from agentrun.server.services.memory import text_of
from tests.unit.server.services.conftest import Medium

pytestmark = pytest.mark.asyncio


class Said(BaseModel):
    role: str = "user"
    content: list[dict[str, str]]


def said(*texts: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [text_of(message) for message in messages]


async def test_what_holds_more_of_the_words_is_first(medium: Medium) -> None:
    async with medium.memory() as service:
        await service.add_memory("user", [said("I like green tea"), said("I like trains"), said("Tea is hot")], "one")
        await service.add_memory("user", [said("My cat likes milk")], "two")
        await service.add_memory("another", [said("I like green tea too")])
        question = [said("ignored: trains"), said("Like TEA?")]
        found = texts(await service.search_memory("user", question))
        assert found == ["I like green tea", "Tea is hot", "My cat likes milk", "I like trains"]
        assert texts(await service.search_memory("user", question, {"top_k": 1})) == ["I like green tea"]


async def test_a_rare_word_counts_more_than_a_common_one(medium: Medium) -> None:
    async with medium.memory() as service:
        await service.add_memory("user", [said("the passport"), said("the train"), said("the tea"), said("the cat")])
        found = texts(await service.search_memory("user", [said("the passport")], {"top_k": 2}))
        assert found == ["the passport", "the cat"], "and among equals the newest"


async def test_chinese_is_found_without_spaces(medium: Medium) -> None:
    async with medium.memory() as service:
        await service.add_memory("user", [said("我喜欢喝绿茶"), said("明天去上海"), said("我的猫叫小白")])
        assert texts(await service.search_memory("user", [said("你知道上海的天气吗")])) == ["明天去上海"]
        assert texts(await service.search_memory("user", [said("我喝什么绿茶")])) == ["我喜欢喝绿茶"]


async def test_all_parts_of_a_message_are_searched(medium: Medium) -> None:
    async with medium.memory() as service:
        image: dict[str, Any] = {"type": "image", "image_url": "http://tea"}
        message = {"role": "user", "content": [image, *said("first", "second tea")["content"]]}
        await service.add_memory("user", [message, {"role": "user", "content": "plain tea"}, {"role": "user"}])
        assert len(await service.search_memory("user", [Said(content=[{"type": "text", "text": "tea"}])])) == 2
        assert len(await service.list_memory("user")) == 3


@pytest.mark.parametrize("question", [[], [said("")], [said("?!")], [{"role": "user", "content": None}]])
async def test_a_question_without_words_finds_nothing(medium: Medium, question: list[Any]) -> None:
    async with medium.memory() as service:
        await service.add_memory("user", [said("anything")])
        assert await service.search_memory("user", question) == []
        assert await service.search_memory("nobody", [said("anything")]) == []


async def test_memories_are_paged(medium: Medium) -> None:
    async with medium.memory() as service:
        await service.add_memory("user", [said(f"b{n}") for n in range(8)], "b")
        await service.add_memory("user", [said(f"a{n}") for n in range(8)], "a")
        await service.add_memory("user", [said("b8")], "b")
        first = texts(await service.list_memory("user"))
        assert first == [*[f"b{n}" for n in range(9)], "a0"]
        second = texts(await service.list_memory("user", {"page_num": 2}))
        assert second == [f"a{n}" for n in range(1, 8)]
        assert texts(await service.list_memory("user", {"page_num": 3, "page_size": 4})) == ["b8", "a0", "a1", "a2"]
        assert await service.list_memory("user", {"page_num": 3}) == []


async def test_a_session_or_all_is_forgotten(medium: Medium) -> None:
    async with medium.memory() as service:
        await service.add_memory("user", [said("in default")])
        await service.add_memory("user", [said("in one")], "one")
        await service.add_memory("another", [said("of another")])
        await service.delete_memory("user", "one")
        assert texts(await service.list_memory("user")) == ["in default"]
        await asyncio.gather(*[service.add_memory("user", [said("x")], str(n)) for n in range(110)])
        await service.delete_memory("user")
        assert await service.list_memory("user") == []
        assert texts(await service.list_memory("another")) == ["of another"]


async def test_writers_lose_nothing_and_the_oldest_go(medium: Medium) -> None:
    async with medium.memory(max_messages_per_session=50) as service:
        await asyncio.gather(*[service.add_memory("user", [said(str(n))]) for n in range(50)])
        everything = {"page_size": 100}
        assert sorted(texts(await service.list_memory("user", everything)), key=int) == [str(n) for n in range(50)]
        await service.add_memory("user", [said("new")])
        found = texts(await service.list_memory("user", everything))
        assert (len(found), found[-1]) == (50, "new")


@pytest.mark.parametrize("filters", [{"page_num": 0}, {"page_size": "x"}, {"page_size": -1}])
async def test_a_wrong_filter_is_refused(medium: Medium, filters: dict[str, Any]) -> None:
    async with medium.memory() as service:
        with pytest.raises(InvalidInputError) as caught:
            await service.list_memory("user", filters)
        assert caught.value.field in filters
        with pytest.raises(InvalidInputError, match="top_k"):
            await service.search_memory("user", [said("x")], {"top_k": 0})
