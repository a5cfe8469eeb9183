"""The bridge that drives a coroutine without an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import pytest

from agentrun._core.blocking import gather, is_blocking, iterate, run, sleep
from agentrun.errors import AgentRunError, BlockingError


async def value(result: Any) -> Any:
    return result


async def failing() -> None:
    raise KeyError("ours")


@types.coroutine
def suspend() -> Generator[None, None, None]:
    yield


async def numbers(count: int, after: Callable[[], Awaitable[Any]] | None = None) -> AsyncIterator[int]:
    for number in range(count):
        yield number
    if after:
        await after()


class Thing:
    async def look_async(self) -> None:
        await suspend()


def test_the_result_is_returned() -> None:
    assert run(value(42)) == 42


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(KeyError, match="ours"):
        run(failing())


def test_a_coroutine_that_suspends_is_refused_by_name() -> None:
    with pytest.raises(BlockingError, match=r"Thing\.look_async.*_async and await") as caught:
        run(Thing().look_async())
    assert isinstance(caught.value, (AgentRunError, RuntimeError))


def test_a_refused_coroutine_is_closed() -> None:
    closed: list[str] = []

    async def tidy() -> None:
        try:
            await suspend()
        finally:
            closed.append("yes")

    with pytest.raises(BlockingError):
        run(tidy())
    assert closed == ["yes"]


def test_a_coroutine_that_awaits_while_it_is_closed_is_refused_all_the_same() -> None:
    async def stubborn() -> None:
        try:
            await suspend()
        finally:
            await suspend()

    with pytest.raises(BlockingError, match="stubborn"):
        run(stubborn())


def test_the_flag_is_set_inside_only() -> None:
    async def flag() -> bool:
        return is_blocking()

    assert not is_blocking()
    assert run(flag())
    assert not is_blocking()


@pytest.mark.parametrize("coroutine", [failing, Thing().look_async])
def test_the_flag_is_restored_after_a_failure(coroutine: Callable[[], Any]) -> None:
    with pytest.raises((KeyError, BlockingError)):
        run(coroutine())
    assert not is_blocking()


def test_calls_nest() -> None:
    async def outer() -> tuple[int, bool]:
        return run(value(1)), is_blocking()

    assert run(outer()) == (1, True)
    assert not is_blocking()


@pytest.mark.asyncio
async def test_a_synchronous_call_works_inside_a_running_loop() -> None:
    assert run(value(7)) == 7
    assert not is_blocking()
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_awaiting_a_loop_inside_a_running_loop_is_refused() -> None:
    with pytest.raises(BlockingError, match="sleep"):
        run(asyncio.sleep(1))


@pytest.mark.asyncio
async def test_another_task_does_not_see_the_flag() -> None:
    seen: list[bool] = []

    async def look() -> None:
        seen.append(is_blocking())

    async def start() -> None:
        tasks.append(asyncio.get_running_loop().create_task(look()))

    tasks: list[asyncio.Task[None]] = []
    run(value(0))
    await start()
    await asyncio.gather(*tasks)
    assert seen == [False]


def test_threads_have_flags_of_their_own() -> None:
    seen: list[bool] = []

    async def inside() -> None:
        thread = threading.Thread(target=lambda: seen.append(is_blocking()))
        thread.start()
        thread.join()

    run(inside())
    assert seen == [False]


def test_many_threads_at_once() -> None:
    results: list[int] = []

    def call(number: int) -> None:
        results.append(run(value(number)))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(20))


def test_an_asynchronous_iterator_is_read_in_place() -> None:
    assert list(iterate(numbers(3))) == [0, 1, 2]
    assert not is_blocking()


def test_an_iterator_that_suspends_is_refused() -> None:
    items = iterate(numbers(1, after=Thing().look_async))
    assert next(items) == 0
    with pytest.raises(BlockingError):
        next(items)


def test_an_iterator_that_fails_raises_what_it_raises() -> None:
    with pytest.raises(KeyError):
        list(iterate(numbers(2, after=failing)))


def test_between_two_values_the_flag_is_off() -> None:
    for _ in iterate(numbers(2)):
        assert not is_blocking()


def test_gather_keeps_the_order_in_blocking_mode() -> None:
    assert run(gather(value(n) for n in range(5))) == [0, 1, 2, 3, 4]


def test_gather_leaves_nothing_unawaited_when_one_fails(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(KeyError):
        run(gather([value(1), failing(), value(2)]))
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.asyncio
async def test_gather_runs_at_the_same_time_on_a_loop() -> None:
    async def slow(number: int) -> int:
        await sleep(0.1)
        return number

    started = time.monotonic()
    assert await gather(slow(n) for n in range(10)) == list(range(10))
    assert time.monotonic() - started < 0.8


def test_sleep_waits_in_place() -> None:
    started = time.monotonic()
    run(sleep(0.05))
    assert time.monotonic() - started >= 0.05


@pytest.mark.asyncio
async def test_sleep_lets_the_loop_run() -> None:
    order: list[str] = []

    async def other() -> None:
        order.append("other")

    task = asyncio.ensure_future(other())
    await sleep(0.01)
    order.append("slept")
    await task
    assert order == ["other", "slept"]
