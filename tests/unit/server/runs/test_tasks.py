"""Functions that run in the background of a server, in its process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import anyio
import pytest
import pytest_asyncio

from agentrun._serving.openai_error import ApiError
from agentrun.server.runs.tasks import Tasks, TaskStatus
from tests.unit.server.runs.test_sessions import PATIENCE

pytestmark = pytest.mark.asyncio


def square(number: int) -> int:
    return number * number


async def square_later(number: int) -> int:
    await asyncio.sleep(0.01)
    return number * number


def square_by_coroutine(number: int) -> Any:
    return square_later(number)


class Squarer:
    async def __call__(self, number: int) -> int:
        return await square_later(number)


def fail(number: int) -> None:
    raise ValueError(f"no {number}")


async def fail_later(number: int) -> None:
    raise ValueError(f"no {number}")


def leave(number: int) -> None:
    raise SystemExit(number)


async def wait(number: int) -> None:
    await asyncio.sleep(600)


@pytest_asyncio.fixture
async def tasks() -> AsyncGenerator[Tasks, None]:
    made = Tasks(drain_seconds=0)
    yield made
    await made.close()


async def when(tasks: Tasks, task_id: str, condition: Callable[[TaskStatus], bool]) -> TaskStatus:
    with anyio.fail_after(PATIENCE):
        while True:
            status = await tasks.status(task_id)
            if condition(status):
                return status
            await asyncio.sleep(0.001)


def is_over(status: TaskStatus) -> bool:
    return status["status"] in ("finished", "error")


@pytest.mark.parametrize("function", [square, square_later, square_by_coroutine, Squarer(), Squarer().__call__])
async def test_any_function_runs(tasks: Tasks, function: Callable[..., Any]) -> None:
    began = time.time()
    task_id = await tasks.submit(function, 7)
    assert (await tasks.status(task_id))["status"] == "pending"
    status = await when(tasks, task_id, is_over)
    assert (status["status"], status["result"]) == ("finished", 49)
    assert began <= status.get("started_at", 0) <= time.time()


@pytest.mark.parametrize(
    ("function", "result"),
    [(fail, "ValueError: no 7"), (fail_later, "ValueError: no 7"), (leave, "SystemExit: 7")],
)
async def test_a_failure_is_told(tasks: Tasks, function: Callable[..., Any], result: str) -> None:
    status = await when(tasks, await tasks.submit(function, 7), is_over)
    assert (status["status"], status["result"]) == ("error", result)


async def test_a_task_is_cancelled(tasks: Tasks) -> None:
    task_id = await tasks.submit(wait, 1)
    await when(tasks, task_id, lambda status: status["status"] == "running")
    assert await tasks.cancel(task_id)
    assert (await tasks.status(task_id))["result"] == "CancelledError"
    assert not await tasks.cancel(task_id)
    early = await tasks.submit(wait, 1)
    assert await tasks.cancel(early)
    assert (await tasks.status(early))["status"] == "error"


async def test_a_blocking_task_is_left_behind(tasks: Tasks) -> None:
    may_end = threading.Event()
    task_id = await tasks.submit(may_end.wait, PATIENCE)
    await when(tasks, task_id, lambda status: status["status"] == "running")
    assert await tasks.cancel(task_id)
    assert (await tasks.status(task_id))["status"] == "error"
    may_end.set()


async def test_what_is_not_known_is_told() -> None:
    for ask in (Tasks().status, Tasks().cancel):
        with pytest.raises(ApiError, match="'nope'") as unknown:
            await ask("nope")
        assert unknown.value.status == 404


async def test_plain_functions_wait_for_a_thread() -> None:
    tasks, may_end = Tasks(most_threads=2, drain_seconds=0), threading.Event()
    first, second, third = [await tasks.submit(may_end.wait, PATIENCE) for _ in range(3)]
    await when(tasks, second, lambda status: status["status"] == "running")
    assert (await tasks.status(first))["status"] == "running"
    assert (await tasks.status(third))["status"] == "pending"
    assert (await when(tasks, await tasks.submit(square_later, 2), is_over))["result"] == 4
    may_end.set()
    assert (await when(tasks, third, is_over))["status"] == "finished"
    await tasks.close()


async def test_results_are_forgotten_after_their_time_and_above_their_number() -> None:
    few, short = Tasks(most_kept=2), Tasks(keep_seconds=0.05)
    ids = [await few.submit(square_later, number) for number in range(3)]
    with anyio.fail_after(PATIENCE):
        while True:
            known = [task_id for task_id in ids if await is_known(few, task_id)]
            if len(known) == 2:
                break
            await asyncio.sleep(0.001)
    task_id = await short.submit(square_later, 3)
    began = time.monotonic()
    while await is_known(short, task_id):
        assert time.monotonic() < began + PATIENCE
        await asyncio.sleep(0.001)
    await few.close()
    await short.close()


async def is_known(tasks: Tasks, task_id: str) -> bool:
    try:
        await tasks.status(task_id)
    except ApiError:
        return False
    return True


async def test_there_are_not_any_number_of_tasks() -> None:
    tasks = Tasks(most_unfinished=2, drain_seconds=0)
    ids = [await tasks.submit(wait, 1) for _ in range(2)]
    with pytest.raises(ApiError, match="as many as this server takes") as refused:
        await tasks.submit(square, 1)
    assert refused.value.status == 503
    await tasks.cancel(ids[0])
    await tasks.submit(square, 1)
    await tasks.close()


async def test_tasks_have_some_time_to_finish_in_the_end() -> None:
    tasks, finished, cancelled = Tasks(drain_seconds=0.3), asyncio.Event(), asyncio.Event()

    async def short() -> None:
        await asyncio.sleep(0.1)
        finished.set()

    async def long() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            cancelled.set()

    await tasks.submit(short)
    await tasks.submit(long)
    began = time.monotonic()
    await tasks.close()
    assert finished.is_set()
    assert cancelled.is_set()
    assert time.monotonic() - began < 5
