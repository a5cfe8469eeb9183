"""Lists that read their pages when somebody looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from agentrun._core.blocking import sleep
from agentrun._core.paging import AsyncLazyList, LazyList, continued, numbered
from agentrun.errors import ServerError


class Pages:
    """A list of numbers on a service, which counts what is asked of it."""

    def __init__(self, count: int, fails_at: int | None = None) -> None:
        self.items = list(range(count))
        self.asked: list[tuple[int, int]] = []
        self.fails_at = fails_at
        self.between: Callable[[int], None] = lambda page: None

    async def page(self, number: int, size: int) -> Sequence[int]:
        await sleep(0)
        self.asked.append((number, size))
        if number == self.fails_at:
            raise ServerError(500, "broken")
        found = self.items[(number - 1) * size : number * size]
        self.between(number)
        return found

    def all(self) -> AsyncIterator[int]:
        return numbered(self.page, lambda item: item, page_size=10)

    def lazy(self) -> LazyList[int]:
        return LazyList(self.all())


# What is looked at, of 35 items in pages of ten, and how many pages that takes.
LOOKS: list[tuple[str, Callable[[LazyList[int]], Any], Any, int]] = [
    ("nothing", lambda items: None, None, 0),
    ("repr", repr, "[...]", 0),
    ("bool", bool, True, 1),
    ("first", lambda items: items[0], 0, 1),
    ("tenth", lambda items: items[9], 9, 1),
    ("eleventh", lambda items: items[10], 10, 2),
    ("last by number", lambda items: items[34], 34, 4),
    ("last", lambda items: items[-1], 34, 4),
    ("len", len, 35, 4),
    ("all", list, list(range(35)), 4),
    ("some", lambda items: items[2:5], [2, 3, 4], 1),
    ("steps", lambda items: items[1:20:9], [1, 10, 19], 2),
    ("head", lambda items: items[:10], list(range(10)), 1),
    ("none of it", lambda items: items[0:0], [], 0),
    ("tail", lambda items: items[30:], [30, 31, 32, 33, 34], 4),
    ("tail from behind", lambda items: items[-2:], [33, 34], 4),
    ("reversed slice", lambda items: items[::-1][:2], [34, 33], 4),
    ("backwards", lambda items: items[2:0:-1], [2, 1], 4),
    ("beyond", lambda items: items[30:99], [30, 31, 32, 33, 34], 4),
    ("in", lambda items: 12 in items, True, 2),
    ("not in", lambda items: 99 in items, False, 4),
    ("index", lambda items: items.index(3), 3, 1),
    ("count", lambda items: items.count(3), 1, 4),
    ("reversed", lambda items: next(reversed(items)), 34, 4),
    ("equal", lambda items: items == list(range(35)), True, 4),
    ("not equal", lambda items: items == [1], False, 4),
    ("reflected", lambda items: list(range(35)) == items, True, 4),
    ("another type", lambda items: items == "text", False, 0),
    ("next", lambda items: next(iter(items)), 0, 1),
]


@pytest.mark.parametrize(("look", "seen", "pages"), [case[1:] for case in LOOKS], ids=[case[0] for case in LOOKS])
def test_only_the_pages_needed_are_read(look: Callable[[LazyList[int]], Any], seen: Any, pages: int) -> None:
    service = Pages(35)
    assert look(service.lazy()) == seen
    assert service.asked == [(number, 10) for number in range(1, pages + 1)]


def test_what_was_read_is_not_read_again() -> None:
    service = Pages(35)
    items = service.lazy()
    assert (items[15], len(items), list(items), items[-1], bool(items)) == (15, 35, list(range(35)), 34, True)
    assert len(service.asked) == 4


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (9, 1), (10, 2), (11, 2), (20, 3)])
def test_the_last_page_is_the_first_that_is_not_full(count: int, pages: int) -> None:
    service = Pages(count)
    assert service.lazy() == list(range(count))
    assert len(service.asked) == pages


def test_an_index_beyond_the_end() -> None:
    with pytest.raises(IndexError):
        Pages(3).lazy()[3]
    assert not Pages(0).lazy()


def test_two_lazy_lists_compare_by_content() -> None:
    assert Pages(12).lazy() == Pages(12).lazy()
    assert Pages(12).lazy() != Pages(13).lazy()
    with pytest.raises(TypeError, match="unhashable"):
        hash(Pages(1).lazy())


def test_its_repr_shows_what_was_read() -> None:
    items = Pages(2).lazy()
    assert items[0] == 0
    assert repr(items) == "[0, ...]"
    assert len(items) == 2
    assert repr(items) == "[0, 1]"


def test_two_loops_over_one_list() -> None:
    service = Pages(12)
    items = service.lazy()
    assert [(a, b) for a in items for b in items][-1] == (11, 11)
    assert len(service.asked) == 2


def test_what_moves_to_the_next_page_is_given_once() -> None:
    service = Pages(25)

    def insert(page: int) -> None:
        service.items.insert(0, 100 + page)

    service.between = insert
    items = list(service.lazy())
    assert sorted(items) == list(range(25))


def test_a_failure_is_not_a_shorter_list() -> None:
    items = Pages(35, fails_at=3).lazy()
    for _ in range(2):
        with pytest.raises(ServerError, match="broken"):
            len(items)
    assert items[:20] == list(range(20)), "what was read stays"
    with pytest.raises(ServerError):
        list(items)


# The asynchronous twin


@pytest.mark.asyncio
async def test_it_is_awaited_or_looped_over_as_often_as_wanted() -> None:
    service = Pages(35)
    items = AsyncLazyList(service.all())
    assert await items == list(range(35))
    assert await items == list(range(35))
    assert [item async for item in items] == list(range(35))
    assert len(service.asked) == 4


@pytest.mark.asyncio
async def test_a_loop_left_early_reads_no_further() -> None:
    service = Pages(35)
    items = AsyncLazyList(service.all())
    async for item in items:
        if item == 12:
            break
    assert len(service.asked) == 2
    assert await items == list(range(35))
    assert len(service.asked) == 4


@pytest.mark.asyncio
async def test_several_tasks_read_one_list() -> None:
    service = Pages(35)
    items = AsyncLazyList(service.all())

    async def read() -> list[int]:
        return [item async for item in items]

    found = [*await asyncio.gather(read(), read(), read())]
    assert found == [list(range(35))] * 3
    assert len(service.asked) == 4


@pytest.mark.asyncio
async def test_an_asynchronous_failure_is_not_a_shorter_list() -> None:
    items = AsyncLazyList(Pages(35, fails_at=2).all())
    for _ in range(2):
        with pytest.raises(ServerError, match="broken"):
            await items
    reading = aiter(items)
    assert [await anext(reading) for _ in range(10)] == list(range(10))
    with pytest.raises(ServerError):
        await anext(reading)


def test_a_list_that_nobody_reads_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    AsyncLazyList(Pages(3).all())
    Pages(3).lazy()
    assert not recwarn.list


# Pages that name the next one


async def letters(token: str | None) -> tuple[Sequence[str], str | None]:
    pages: dict[str | None, tuple[Sequence[str], str | None]] = {
        None: (["a", "b"], "2"),
        "2": ([], "3"),
        "3": (["c"], ""),
    }
    return pages[token]


def test_pages_by_token() -> None:
    assert LazyList(continued(letters)) == ["a", "b", "c"]


def test_the_first_page_by_token_does_not_ask_for_the_second() -> None:
    asked: list[str | None] = []

    async def page(token: str | None) -> tuple[Sequence[str], str | None]:
        asked.append(token)
        return await letters(token)

    assert LazyList(continued(page))[1] == "b"
    assert asked == [None]
