"""Sessions: nothing that was said is lost, and each is found again."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from pydantic import BaseModel

from agentrun.errors import InvalidInputError
from agentrun.server.services import Session, SessionHistoryService
from agentrun.server.services.storage.base import Storage
from tests.unit.server.services.conftest import Clock, Medium

pytestmark = pytest.mark.asyncio


class Said(BaseModel):
    role: str
    content: str


def said(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def texts(session: Session | None) -> list[str]:
    return [message["content"][0]["text"] for message in session.messages] if session else ["no session"]


async def test_what_was_said_is_found_again(medium: Medium) -> None:
    async with medium.sessions() as service:
        session = await service.create_session("user", " chosen ")
        assert session == Session(id="chosen", user_id="user", messages=[])
        await service.append_message(session, said("one"))
        await service.append_message(session, [said("two"), said("three")])
        assert texts(session) == ["one", "two", "three"]
        assert await service.get_session("user", "chosen") == session


async def test_a_session_without_an_id_gets_one_of_its_own(medium: Medium) -> None:
    async with medium.sessions() as service:
        first, second = await service.create_session("user"), await service.create_session("user", "  ")
        assert first.id != second.id
        assert [session.id for session in await service.list_sessions("user")] == [first.id, second.id]


async def test_models_and_dicts_are_messages(medium: Medium) -> None:
    async with medium.sessions() as service:
        session = await service.create_session("user")
        await service.append_message(session, [Said(role="user", content="Hi"), {"role": "assistant", "content": "Ho"}])
        expected = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
        assert (await service.get_session("user", session.id)).messages == session.messages == expected


@pytest.mark.parametrize("wrong", ["Hi", 7, None, {"role": object()}])
async def test_of_messages_with_a_wrong_one_none_is_added(medium: Medium, wrong: Any) -> None:
    async with medium.sessions() as service:
        session = await service.create_session("user")
        with pytest.raises(InvalidInputError) as caught:
            await service.append_message(session, [said("right"), wrong])
        assert caught.value.field == "message"
        assert session.messages == (await service.get_session("user", session.id)).messages == []


async def test_a_text_is_no_message(medium: Medium) -> None:
    async with medium.sessions() as service:
        with pytest.raises(InvalidInputError, match="dict or a model"):
            await service.append_message(await service.create_session("user"), cast(Any, "Hi"))


async def test_to_make_a_session_again_loses_nothing(medium: Medium) -> None:
    async with medium.sessions() as service:
        await service.append_message(await service.create_session("user", "s"), said("one"))
        assert texts(await service.create_session("user", "s")) == ["one"]


async def test_a_session_is_made_when_it_is_asked_for(medium: Medium) -> None:
    async with medium.sessions() as service:
        assert await service.find_session("user", "s") is None
        assert await service.list_sessions("user") == []
        assert (await service.get_session("user", "s")).messages == []
        assert [session.id for session in await service.list_sessions("user")] == ["s"]


async def test_a_deleted_session_is_gone(medium: Medium) -> None:
    async with medium.sessions() as service:
        for name in "ab":
            await service.append_message(await service.create_session("user", name), said(name))
        await service.delete_session("user", "a")
        await service.delete_session("user", "none")
        assert await service.find_session("user", "a") is None
        assert texts(await service.find_session("user", "b")) == ["b"]
        await service.create_session("another", "b")
        await service.delete_user_sessions("user")
        assert await service.list_sessions("user") == []
        assert len(await service.list_sessions("another")) == 1


async def test_writers_of_one_session_lose_nothing(medium: Medium) -> None:
    async with medium.sessions() as service:
        copies = [await service.create_session("user", "s") for _ in range(8)]
        await asyncio.gather(
            *[service.append_message(copies[n % 8], [said(f"{n}a"), said(f"{n}b")]) for n in range(80)]
        )
        found = texts(await service.get_session("user", "s"))
        assert sorted(found) == sorted(f"{n}{letter}" for n in range(80) for letter in "ab")
        assert all(second == first[:-1] + "b" for first, second in zip(found[::2], found[1::2], strict=True))


async def test_the_oldest_messages_go(medium: Medium) -> None:
    async with medium.sessions(max_messages_per_session=3) as service:
        session = await service.create_session("user")
        for n in range(5):
            await service.append_message(session, said(str(n)))
        assert texts(session) == texts(await service.get_session("user", session.id)) == ["2", "3", "4"]
    with pytest.raises(InvalidInputError, match="at least 1"):
        medium.sessions(max_messages_per_session=0)


async def test_sessions_are_paged(medium: Medium) -> None:
    async with medium.sessions() as service:
        for n in range(7):
            await service.append_message(await service.create_session("user", f"s{n}"), said("x"))
        first = await service.page_sessions("user", limit=3)
        assert [session.id for session in first.sessions] == ["s0", "s1", "s2"]
        assert [session.messages for session in first.sessions] == [[], [], []]
        await service.delete_session("user", "s2")
        second = await service.page_sessions("user", first.next_cursor, limit=3)
        assert [session.id for session in second.sessions] == ["s3", "s4", "s5"]
        last = await service.page_sessions("user", second.next_cursor, limit=3)
        assert [session.id for session in last.sessions] == ["s6"]
        assert last.next_cursor is None
        for cursor, limit in (("x", 1), ("²", 1), (None, 0)):
            with pytest.raises(InvalidInputError):
                await service.page_sessions("user", cursor, limit)


async def test_more_sessions_than_a_page_are_listed(medium: Medium) -> None:
    async with medium.sessions() as service:
        await asyncio.gather(*[service.create_session("user", str(n)) for n in range(130)])
        listed = [session.id for session in await service.list_sessions("user")]
        assert sorted(listed, key=int) == [str(n) for n in range(130)]


async def test_a_session_that_is_used_is_kept(clocked: tuple[Storage, Clock]) -> None:
    storage, clock = clocked
    async with SessionHistoryService(storage) as service:
        used, unused = await service.create_session("user", "used"), await service.create_session("user", "unused")
        await service.append_message(used, said("one"))
        await service.append_message(unused, said("one"))
        for _ in range(4):
            clock.now += 30
            await service.get_session("user", "used")
        assert texts(await service.find_session("user", "used")) == ["one"]
        assert await service.find_session("user", "unused") is None
        assert [session.id for session in await service.list_sessions("user")] == ["used"]


async def test_some_messages_are_forgotten_and_the_others_stay(medium: Medium) -> None:
    async with medium.sessions() as service:
        session = await service.create_session("user", "one")
        await service.append_message(session, [{**said(text), "id": text} for text in ("a", "b", "c")])
        assert await service.delete_messages(session, {"b", "nobody"}) == 1
        assert texts(session) == texts(await service.get_session("user", "one")) == ["a", "c"]
        await service.append_message(session, said("d"))
        assert texts(await service.get_session("user", "one")) == ["a", "c", "d"]
        assert await service.delete_messages(session) == 3
        assert texts(await service.find_session("user", "one")) == []
