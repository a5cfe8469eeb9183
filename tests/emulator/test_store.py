"""Where the emulator remembers: finding, paging, names, formats, and that nothing is searched through in vain."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentrun.emulator import Emulator, EmulatorError
from agentrun.emulator.store import (
    FILE,
    FORMAT,
    GONE,
    NameTaken,
    Record,
    Scope,
    Store,
    StoreError,
    field_in,
    field_is,
    matches,
)
from tests.emulator import bodies
from tests.emulator.signed import CREDENTIALS, MODEL_SERVICES, Account, account_of, client_of

HERE, THERE = Scope("1", "cn-hangzhou"), Scope("2", "cn-hangzhou")
MANY = 10_000


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture(scope="module")
def full() -> Iterator[Store]:
    """A store with ten thousand resources of one kind."""
    store = Store()
    for number in range(MANY):
        store.insert(record(number, document={"n": number, "credentialName": f"c{number % 5000}"}))
    yield store
    store.close()


def record(number: int, scope: Scope = HERE, **changes: Any) -> Record:
    return replace(Record(scope, "Thing", f"id-{number}", f"name-{number}", "READY"), **changes)


def steps_of(store: Store, work: Any) -> int:
    """How many thousands of instructions SQLite's machine runs, which time on a busy computer does not blur."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    store._database.set_progress_handler(tick, 10)  # pyright: ignore[reportPrivateUsage]
    try:
        work()
    finally:
        store._database.set_progress_handler(None, 10)  # pyright: ignore[reportPrivateUsage]
    return count


def test_what_was_inserted_is_found(store: Store) -> None:
    one = record(1, document={"deep": {"é": [1, 2.5, None, True]}}, next_status="GONE?", due=5.0)
    store.insert(one)
    assert store.get(HERE, "Thing", "id-1") == one
    assert store.get_by_name(HERE, "Thing", "name-1") == one
    assert store.get(THERE, "Thing", "id-1") is None
    assert store.get(HERE, "Other", "id-1") is None
    assert store.get(Scope("1", "us-west-1"), "Thing", "id-1") is None
    assert store.get_by_name(HERE, "Thing", "name-1", "parent") is None


def test_names_and_ids_are_unique_where_they_should_be(store: Store) -> None:
    store.insert(record(1))
    with pytest.raises(NameTaken):
        store.insert(record(1, name="another"))
    with pytest.raises(NameTaken):
        store.insert(record(2, name="name-1"))
    store.insert(record(1, THERE))
    store.insert(record(1, kind="Other"))
    store.insert(record(3, name="name-1", parent="p"))
    assert store.page(HERE, "Thing", limit=10)[1] == 1


def test_saving_changes_and_never_revives(store: Store) -> None:
    store.insert(record(1))
    store.save(record(1, status="UPDATING", document={"a": 1}))
    found = store.get(HERE, "Thing", "id-1")
    assert found is not None
    assert (found.status, found.document) == ("UPDATING", {"a": 1})
    store.delete(record(1))
    store.save(record(1))
    assert store.get(HERE, "Thing", "id-1") is None
    store.insert(record(1))


def test_pages_are_in_the_order_of_creation(store: Store) -> None:
    for number in range(25):
        store.insert(record(number))
        store.insert(record(number, THERE))
    store.save(record(3, status="UPDATING"))
    names: list[str] = []
    for offset in (0, 10, 20, 30):
        records, total, _ = store.page(HERE, "Thing", limit=10, offset=offset)
        assert total == 25
        names += [found.name for found in records]
    assert names == [f"name-{number}" for number in range(25)]
    after, names = 0, []
    while True:
        records, _, after = store.page(HERE, "Thing", limit=10, after=after)
        names += [found.name for found in records]
        if not after:
            break
    assert len(names) == 25


def test_counts_follow_every_change(store: Store) -> None:
    for number in range(5):
        store.insert(record(number, parent="p" if number > 2 else ""))
    store.delete(record(0))
    store.delete(record(0))
    assert store.page(HERE, "Thing", limit=1)[1] == 2
    assert store.page(HERE, "Thing", parent="p", limit=1)[1] == 2
    store.insert(record(9, THERE))
    store.clear(HERE.account)
    assert store.page(HERE, "Thing", limit=1)[1] == 0
    assert store.page(THERE, "Thing", limit=1)[1] == 1
    store.clear()
    assert store.page(THERE, "Thing", limit=1) == ([], 0, 0)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (matches("name", "name-2"), [2]),
        (matches("name", None), [0, 1, 2, 3]),
        (matches("name", "x' OR '1'='1"), []),
        (field_is("color", "red"), [0, 2]),
        (field_is("deep.size", "big"), [3]),
        (field_in("color", "red,blue"), [0, 1, 2, 3]),
        (field_in("color", ""), [0, 1, 2, 3]),
        ([*field_is("color", "red"), *matches("name", "name-0")], [0]),
    ],
)
def test_filters(store: Store, filters: list[tuple[str, tuple[Any, ...]]], expected: list[int]) -> None:
    documents = [
        {"color": "red"},
        {"color": "blue", "credentialName": "key"},
        {"color": "red", "credentialConfiguration": {"credentialName": "key"}},
        {"color": "blue", "deep": {"size": "big"}},
    ]
    for number, document in enumerate(documents):
        store.insert(record(number, document=document))
    records, total, _ = store.page(HERE, "Thing", filters=filters, limit=10)
    assert [found.name for found in records] == [f"name-{number}" for number in expected]
    assert total == len(expected)


def test_who_names_a_credential(store: Store) -> None:
    store.insert(record(1, document={"credentialName": "key"}))
    store.insert(record(2, document={"credentialConfiguration": {"credentialName": "key"}}))
    store.insert(record(3, document={"credentialName": "another"}))
    assert [name for _, _, name in store.naming(HERE, "key")] == ["name-1", "name-2"]
    assert store.naming(THERE, "key") == []


def test_only_what_is_due_is_due(store: Store) -> None:
    store.insert(record(1, due=10.0, next_status="READY"))
    store.insert(record(2, due=5.0, next_status=GONE))
    store.insert(record(3))
    assert store.due(4.9) == []
    assert [found.id for found in store.due(5.0)] == ["id-2"]
    assert [found.id for found in store.due(10.0)] == ["id-2", "id-1"]


def test_finding_costs_the_same_among_ten_thousand(full: Store, store: Store) -> None:
    for number in range(10):
        store.insert(record(number, document={"n": number, "credentialName": f"c{number}"}))

    def come_and_go(where: Store) -> None:
        where.insert(record(-1))
        where.delete(record(-1))

    def work_on(where: Store) -> dict[str, int]:
        return {
            "get": steps_of(where, lambda: where.get(HERE, "Thing", "id-7")),
            "get_by_name": steps_of(where, lambda: where.get_by_name(HERE, "Thing", "name-7")),
            "page": steps_of(where, lambda: where.page(HERE, "Thing", limit=5)),
            "by name": steps_of(where, lambda: where.page(HERE, "Thing", filters=matches("name", "name-7"), limit=5)),
            "users": steps_of(where, lambda: where.naming(HERE, "c7")),
            "save": steps_of(where, lambda: where.save(record(7, document={"credentialName": "c7"}))),
            "create": steps_of(where, lambda: come_and_go(where)),
        }

    few, many = work_on(store), work_on(full)
    assert {name: many[name] for name in few if many[name] > 2 * few[name] + 10} == {}


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("account=? AND region=? AND kind=? AND id=?", "by_id"),
        ("account=? AND region=? AND kind=? AND parent=? AND name=?", "by_name"),
        ("account=? AND region=? AND kind=? AND parent=? AND seq > ? ORDER BY seq LIMIT 10", "by_order"),
        ("due <= ? ORDER BY due", "by_due"),
    ],
)
def test_every_search_has_its_index(full: Store, condition: str, index: str) -> None:
    plan = full._database.execute(  # pyright: ignore[reportPrivateUsage]
        f"EXPLAIN QUERY PLAN SELECT * FROM resources WHERE {condition}", ("",) * condition.count("?")
    ).fetchall()
    text = "; ".join(row[3] for row in plan)
    assert index in text
    assert "SCAN" not in text
    assert "TEMP B-TREE" not in text


# On disk


def test_what_is_on_disk_is_there_again(tmp_path: Path) -> None:
    first = Store(tmp_path)
    first.insert(record(1, due=7.0, next_status="READY"))
    first.close()
    second = Store(tmp_path)
    assert second.get(HERE, "Thing", "id-1") == record(1, due=7.0, next_status="READY")
    assert [found.id for found in second.due(8.0)] == ["id-1"]
    second.close()


def test_a_format_from_the_future_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).close()
    database = sqlite3.connect(tmp_path / FILE)
    database.execute(f"PRAGMA user_version={FORMAT + 1}")
    database.close()
    with pytest.raises(StoreError, match=f"newer agentrun \\(format {FORMAT + 1}, this one reads {FORMAT}\\); upgrade"):
        Store(tmp_path)
    with pytest.raises(EmulatorError, match="newer agentrun"):
        Emulator(state=tmp_path).start()


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\x00" + b"\xff" * 4080])
def test_a_garbage_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StoreError, match=r"is not a state of the emulator .*choose another --state directory"):
        Store(tmp_path)
    with pytest.raises(EmulatorError, match="is not a state of the emulator"):
        Emulator(state=tmp_path).start()
    assert (tmp_path / FILE).read_bytes() == content


def test_a_database_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / FILE)
    database.execute("CREATE TABLE resources (a)")
    database.close()
    with pytest.raises(StoreError, match="is not a state of the emulator"):
        Store(tmp_path)
    database = sqlite3.connect(tmp_path / FILE)
    assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("resources",)]
    database.close()


def test_a_state_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EmulatorError, match="choose another --state directory"):
        Emulator(state=tmp_path / "file").start()


def test_one_state_has_one_emulator(tmp_path: Path) -> None:
    with Emulator(state=tmp_path), pytest.raises(EmulatorError, match="is used by another emulator; stop it"):
        Emulator(state=tmp_path).start()
    with Emulator(state=tmp_path):
        pass


def test_an_emulator_finds_its_state_again(tmp_path: Path) -> None:
    for round_number in range(3):
        with Emulator(state=tmp_path) as emulator, client_of(emulator) as client:
            account = account_of(emulator, client, "mine")
            assert account.done("GET", CREDENTIALS)["total"] == round_number
            account.done("POST", CREDENTIALS, bodies.credential(f"key-{round_number}"))
            assert account.done("GET", f"{CREDENTIALS}/key-0")["credentialSecret"] == bodies.SECRET
    assert tmp_path.stat().st_mode & 0o777 == 0o700


# Over HTTP


def test_paging_over_http(account: Account) -> None:
    for number in range(12):
        account.done("POST", CREDENTIALS, bodies.credential(f"key-{number}"))
    first = account.done("GET", CREDENTIALS, pageSize="5")
    assert (first["pageNumber"], first["pageSize"], first["total"]) == (1, 5, 12)
    last = account.done("GET", CREDENTIALS, pageSize="5", pageNumber="3")
    assert [item["credentialName"] for item in last["items"]] == ["key-10", "key-11"]
    assert account.done("GET", CREDENTIALS, pageSize="5", pageNumber="4")["items"] == []
    assert len(account.done("GET", CREDENTIALS)["items"]) == 10


def test_tenants_work_at_the_same_time(emulator: Emulator) -> None:
    def live(number: int) -> list[str]:
        with client_of(emulator) as client:
            account = account_of(emulator, client)
            for name in range(20):
                account.done("POST", CREDENTIALS, bodies.credential(f"{number}-{name}"))
            account.done("DELETE", f"{CREDENTIALS}/{number}-0")
            return [item["credentialName"] for item in account.done("GET", CREDENTIALS, pageSize="100")["items"]]

    with ThreadPoolExecutor(8) as pool:
        for number, names in enumerate(pool.map(live, range(8))):
            assert names == [f"{number}-{name}" for name in range(1, 20)]


def test_of_one_name_only_one_is_created(account: Account) -> None:
    def create(_: int) -> int:
        return account.call("POST", CREDENTIALS, bodies.credential()).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(create, range(16))) == [200] + [409] * 15


def test_the_work_of_a_request_does_not_grow_with_the_account() -> None:
    with Emulator() as emulator, client_of(emulator) as client:
        account, store = account_of(emulator, client), emulator.platform.store
        account.done("POST", CREDENTIALS, bodies.credential())
        requests = {
            "get": lambda: account.done("GET", f"{CREDENTIALS}/key"),
            "list": lambda: account.done("GET", CREDENTIALS),
            "update": lambda: account.done("PUT", f"{CREDENTIALS}/key", {"description": "x"}),
            "create": lambda: (
                account.done("POST", CREDENTIALS, bodies.credential("new")),
                account.done("DELETE", f"{CREDENTIALS}/new"),
            ),
        }
        few = {name: steps_of(store, request) for name, request in requests.items()}
        scope = emulator.platform.auth.tenant(account.key).scope
        for number in range(2000):
            document = {"modelServiceName": f"m{number}", "credentialName": f"other-{number}"}
            store.insert(Record(scope, "ModelService", f"ms-{number}", f"m{number}", "READY", document))
        many = {name: steps_of(store, request) for name, request in requests.items()}
        assert account.done("GET", MODEL_SERVICES)["total"] == 2000
    assert {name: many[name] for name in few if many[name] > 2 * few[name] + 20} == {}
