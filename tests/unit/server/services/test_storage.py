"""What every storage does, whatever it keeps things in."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import NullPool, create_engine, func, select

from agentrun.server.services.storage.base import Entry, Shelf, Storage, numbered
from agentrun.server.services.storage.memory import MemoryStorage
from agentrun.server.services.storage.sql import ENTRIES, SHELVES, SqlStorage
from tests.unit.server.services.conftest import Clock, Make

SHELF = Shelf("kind", "owner", "name")


@pytest.fixture
def storage(make: Make) -> Iterator[Storage]:
    storage = make()
    storage.open()
    yield storage
    storage.close()


def values(storage: Storage, shelf: Shelf = SHELF) -> list[str]:
    return [entry.value for entry in storage.read(shelf) or ()]


def test_what_is_appended_is_read_in_order(storage: Storage) -> None:
    assert storage.append(SHELF, ["a", "b"]) == 2
    assert storage.append(SHELF, ["c"]) == 3
    assert storage.read(SHELF) == [Entry(numbered(n), value) for n, value in enumerate("abc", 1)]
    assert storage.find(SHELF) == Entry(numbered(3), "c")
    assert storage.find(SHELF, numbered(2)) == Entry(numbered(2), "b")
    assert storage.find(SHELF, numbered(4)) is None


def test_numbers_go_on_behind_the_highest(storage: Storage) -> None:
    storage.put(SHELF, {numbered(41): "x"})
    storage.put(SHELF, {numbered(7): "y"})
    assert storage.append(SHELF, ["z"]) == 42
    assert values(storage) == ["y", "x", "z"]


def test_only_the_newest_stay(storage: Storage) -> None:
    assert storage.append(SHELF, list("abcdef"), most=4) == 6
    assert values(storage) == list("cdef")
    storage.append(SHELF, ["g"], most=4)
    storage.append(SHELF, ["h"])
    assert values(storage) == list("defgh")


def test_put_replaces_or_leaves(storage: Storage) -> None:
    storage.put(SHELF, {"a": "1", "b": "2"})
    storage.put(SHELF, {"b": "3", "c": "4"}, replace=False)
    assert storage.read(SHELF) == [Entry("a", "1"), Entry("b", "2"), Entry("c", "4")]
    storage.put(SHELF, {"b": "3"})
    assert storage.find(SHELF, "b") == Entry("b", "3")


def test_keys_are_in_the_order_of_their_code_points(storage: Storage) -> None:
    keys = ["b", "B", "a-", "a", "aa", "_", "1", "10", "9"]
    storage.put(SHELF, dict.fromkeys(keys, "x"))
    assert [entry.key for entry in storage.read(SHELF) or ()] == sorted(keys)
    assert (storage.find(SHELF) or Entry("", "")).key == max(keys)


def test_the_last_one_is_found_after_it_was_dropped(storage: Storage) -> None:
    storage.append(SHELF, ["a", "b", "c"])
    storage.drop(SHELF, [numbered(3), numbered(1), "none"])
    assert storage.find(SHELF) == Entry(numbered(2), "b")
    storage.drop(SHELF, [numbered(2)])
    assert storage.find(SHELF) is None
    assert storage.read(SHELF) == []


def test_a_shelf_may_be_empty_and_missing(storage: Storage) -> None:
    assert storage.read(SHELF) is None
    storage.create(SHELF)
    assert storage.read(SHELF) == []
    storage.append(SHELF, ["a"])
    storage.create(SHELF)
    assert values(storage) == ["a"]
    storage.delete(SHELF)
    storage.delete(SHELF)
    storage.drop(SHELF, ["a"])
    assert storage.read(SHELF) is None
    assert storage.find(SHELF) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a:b", "c"), ("a", "b:c")),
        (("a", "b"), ("A", "b")),
        (("a", "b"), ("a ", "b")),
        (("é", "b"), ("e\u0301", "b")),
        (("a", "x" * 5000), ("a", "x" * 5001)),
        (("{a}", "*"), ("a", "?")),
        (("a%3Ab", "c"), ("a:b", "c")),
    ],
)
def test_shelves_are_told_apart(storage: Storage, first: tuple[str, str], second: tuple[str, str]) -> None:
    shelves = [Shelf("kind", *first), Shelf("kind", *second), Shelf("other", *first)]
    for shelf in shelves:
        storage.append(shelf, [repr(shelf)])
    assert [values(storage, shelf) for shelf in shelves] == [[repr(shelf)] for shelf in shelves]
    assert sorted(storage.owners("kind")) == sorted({first[0], second[0]})
    storage.delete(shelves[1])
    assert values(storage, shelves[0]) == [repr(shelves[0])]


def test_any_text_is_kept(storage: Storage) -> None:
    texts = ["", "\U0001f600 \u4f60\u597d", "'; DROP TABLE x; --\\", "x" * 200_000]
    storage.append(SHELF, texts)
    assert values(storage) == texts


def test_shelves_are_paged_in_the_order_in_which_they_were_made(storage: Storage) -> None:
    names = ["z", "a", "m", "b"]
    for name in names:
        storage.create(Shelf("kind", "owner", name))
    storage.create(Shelf("kind", "another", "c"))
    storage.append(Shelf("kind", "owner", "z"), ["x"])
    first = storage.shelves("kind", "owner", limit=2)
    assert [place.name for place in first] == ["z", "a"]
    storage.delete(Shelf("kind", "owner", "a"))
    storage.create(Shelf("kind", "owner", "new"))
    rest = storage.shelves("kind", "owner", after=first[-1].position)
    assert [place.name for place in rest] == ["m", "b", "new"]
    assert storage.shelves("kind", "owner", after=rest[-1].position) == []


def test_a_shelf_made_after_the_last_was_deleted_is_behind_it(storage: Storage) -> None:
    storage.create(Shelf("kind", "owner", "a"))
    (seen,) = storage.shelves("kind", "owner")
    storage.delete(Shelf("kind", "owner", "a"))
    storage.create(Shelf("kind", "owner", "b"))
    assert [place.name for place in storage.shelves("kind", "owner", after=seen.position)] == ["b"]


def test_all_of_an_owner_is_read_at_once(storage: Storage) -> None:
    for name in "ba":
        storage.append(Shelf("kind", "owner", name), [name + "1", name + "2"])
    storage.create(Shelf("kind", "owner", "empty"))
    storage.append(Shelf("kind", "another", "b"), ["not this"])
    found = storage.read_all("kind", "owner")
    assert list(found) == ["b", "a", "empty"]
    assert [entry.value for entries in found.values() for entry in entries] == ["b1", "b2", "a1", "a2"]
    assert storage.read_all("kind", "nobody") == {}


def test_writers_of_one_shelf_lose_nothing(storage: Storage) -> None:
    def write(writer: int) -> list[int]:
        return [storage.append(SHELF, [f"{writer}-{n}a", f"{writer}-{n}b"]) for n in range(25)]

    with ThreadPoolExecutor(8) as threads:
        numbers = [number for each in threads.map(write, range(8)) for number in each]
    assert sorted(numbers) == list(range(2, 402, 2))
    found = values(storage)
    assert len(set(found)) == 400
    assert all(second == first[:-1] + "b" for first, second in zip(found[::2], found[1::2], strict=True))


def test_makers_of_one_shelf_make_it_once(storage: Storage) -> None:
    with ThreadPoolExecutor(8) as threads:
        for n in range(10):
            list(threads.map(storage.create, [Shelf("kind", "owner", str(n))] * 8))
    assert [place.name for place in storage.shelves("kind", "owner")] == list(map(str, range(10)))


def test_a_shelf_is_forgotten_some_time_after_its_last_use(clocked: tuple[Storage, Clock]) -> None:
    storage, clock = clocked
    used, unused = Shelf("kind", "owner", "used"), Shelf("kind", "owner", "unused")
    storage.append(used, ["a"])
    storage.append(unused, ["a"])
    clock.now += 60
    assert storage.find(used)
    clock.now += 60
    assert values(storage, used) == ["a"]
    assert storage.read(unused) is None
    assert list(storage.read_all("kind", "owner")) == ["used"]
    assert [place.name for place in storage.shelves("kind", "owner")] == ["used"]
    clock.now += 100
    assert storage.owners("kind") == []
    assert storage.find(used) is None
    assert storage.append(used, ["b"]) == 1
    assert values(storage, used) == ["b"]


def test_what_is_over_leaves_nothing(clocked: tuple[Storage, Clock]) -> None:
    storage, clock = clocked
    for n in range(40):
        storage.append(Shelf("kind", "owner", str(n)), ["a"])
    clock.now += 200
    for n in range(300):
        storage.append(Shelf("kind", "owner", "used"), [str(n)], most=2)
    assert kept(storage) == (1, 2)


def kept(storage: Storage) -> tuple[int, int]:
    """How many shelves and entries there are, wherever they are."""
    if isinstance(storage, MemoryStorage):
        return storage.size, len(storage.read(Shelf("kind", "owner", "used")) or ())
    assert isinstance(storage, SqlStorage)
    with create_engine(storage.url, poolclass=NullPool).connect() as connection:
        shelves, entries = (connection.scalar(select(func.count()).select_from(each)) for each in (SHELVES, ENTRIES))
    return int(shelves or 0), int(entries or 0)
