"""Waiting until something is so."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest

from agentrun._core import polling
from agentrun._core.polling import wait_until
from agentrun.errors import AgentRunError, WaitTimeoutError
from tests.unit.modes import both_modes, drive


class Looks:
    """Says at each look how often it was looked at, and remembers when."""

    def __init__(self) -> None:
        self.times: list[float] = []

    async def look(self) -> int:
        self.times.append(time.monotonic())
        return len(self.times)

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


def waiting(
    look: Callable[[], Awaitable[int]], done_at: int, *, interval: float = 5, timeout: float = 5
) -> Callable[[], Awaitable[int]]:
    async def wait() -> int:
        return await wait_until(
            look, lambda count: count >= done_at, what="Thing 'x'", interval=interval, timeout=timeout
        )

    return wait


def run_in(mode: str, wait: Callable[[], Awaitable[int]]) -> int:
    async def call() -> int:
        return await wait()

    return drive(mode, call())


@both_modes
def test_what_is_so_at_once_is_not_waited_for(mode: str) -> None:
    looks, started = Looks(), time.monotonic()
    assert run_in(mode, waiting(looks.look, 1)) == 1
    assert time.monotonic() - started < 0.04


@both_modes
def test_the_first_look_that_is_done_is_returned(mode: str) -> None:
    assert run_in(mode, waiting(Looks().look, 3)) == 3


@both_modes
def test_pauses_double_up_to_the_interval(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_INTERVAL", 0.02)
    looks = Looks()
    run_in(mode, waiting(looks.look, 6, interval=0.1))
    for pause, expected in zip(looks.pauses, [0.02, 0.04, 0.08, 0.1, 0.1], strict=True):
        assert expected <= pause < expected + 0.06


@both_modes
def test_a_short_interval_is_kept(mode: str) -> None:
    looks = Looks()
    run_in(mode, waiting(looks.look, 5, interval=0.01))
    assert all(pause < 0.045 for pause in looks.pauses[:2])


@both_modes
def test_the_whole_time_is_waited_and_used_for_a_last_look(mode: str) -> None:
    looks, started = Looks(), time.monotonic()
    with pytest.raises(WaitTimeoutError, match=r"Thing 'x' was not done within 0\.5 s") as caught:
        run_in(mode, waiting(looks.look, 99, timeout=0.5))
    assert isinstance(caught.value, (AgentRunError, TimeoutError))
    assert 0.5 <= time.monotonic() - started < 0.8
    assert looks.times[-1] - started >= 0.49


@both_modes
def test_no_time_is_one_look(mode: str) -> None:
    looks = Looks()
    with pytest.raises(WaitTimeoutError):
        run_in(mode, waiting(looks.look, 2, timeout=0))
    assert len(looks.times) == 1
    assert run_in(mode, waiting(Looks().look, 1, timeout=0)) == 1


@both_modes
def test_what_a_look_raises_is_raised(mode: str) -> None:
    async def look() -> int:
        raise AgentRunError("gone")

    with pytest.raises(AgentRunError, match="gone"):
        run_in(mode, waiting(look, 1))
