"""One emulator a ground for the session, one attacker a test; after each the machine must be as it was before."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
import warnings
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import httpx
import pytest

from tests.emulator.hostile.arena import Arena
from tests.emulator.hostile.attackers import Attackers
from tests.emulator.hostile.grounds import NAMES, Ground, Neighbour, ground, remove
from tests.emulator.hostile.watching import Watch

# What any test may take, with its fixtures each; what it waits for has a limit of its own below that.
SECONDS = 60

# Modules that take about as long as all others; each half is one worker's.
LONG = ("test_bombs", "test_crash")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker have half the tests of a ground, so that few emulators are started."""
    for item in items:
        parameters: dict[str, object] = getattr(getattr(item, "callspec", None), "params", {})
        for fixture, kind in (("place", "hostile"), ("folder", "crash")):
            if Path(__file__).parent in item.path.parents and parameters.get(fixture) in NAMES:
                group = f"{kind}-{parameters[fixture]}-{'long' if item.path.stem in LONG else 'short'}"
                item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Stop a test that hangs, wherever it does."""
    if threading.current_thread() is not threading.main_thread():
        return (yield)
    before = signal.signal(signal.SIGALRM, _too_late)
    # Again and again, as what it interrupts may be caught.
    signal.setitimer(signal.ITIMER_REAL, SECONDS, SECONDS / 4)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _too_late(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"the test took more than {SECONDS} s")


@pytest.fixture(scope="session", params=NAMES)
def place(request: pytest.FixtureRequest) -> Generator[Ground]:
    """A ground; its folder is short, as unix sockets need it, and open to its user."""
    folder = Path(tempfile.mkdtemp(prefix="ah"))
    folder.chmod(0o755)
    try:
        with ground(request.param, folder) as found:
            yield found
            _tell_if_gone(found)
    finally:
        remove(folder)


def _tell_if_gone(place: Ground) -> None:
    """Warn of an emulator that ended after its tests had passed: whatever did it is no attack of theirs."""
    try:
        assert place.status
    except httpx.TransportError as error:
        warnings.warn(f"the emulator of {place.name} (pid {place.pid}) is gone: {error}", stacklevel=2)


@pytest.fixture(scope="session")
def neighbour(place: Ground) -> Neighbour:
    """A sandbox that nobody attacks, and that must not notice anything."""
    made = place.neighbour()
    # What only a first execution leaves must be there before anything is compared.
    for _ in range(2):
        made.execute("1 + 1")
    return made


@pytest.fixture(scope="session")
def attackers(place: Ground, neighbour: Neighbour) -> Generator[Attackers]:
    """Where attackers come from."""
    # Without namespaces the neighbour's processes are told apart by its home folder; with them they come and go.
    home = "" if place.has_namespaces else neighbour.run("echo $HOME").strip()
    attackers = Attackers(place, home)
    yield attackers
    attackers.close()


@pytest.fixture
def arena(place: Ground, neighbour: Neighbour, attackers: Attackers) -> Generator[Arena]:
    """An attacker of one test."""
    with _attacked(place, neighbour, attackers) as attacked:
        yield attacked


@pytest.fixture(scope="module")
def calm(place: Ground, neighbour: Neighbour, attackers: Attackers) -> Generator[Arena]:
    """An attacker for all tests of a module, each of which leaves it as it was."""
    with _attacked(place, neighbour, attackers) as attacked:
        yield attacked


@contextlib.contextmanager
def _attacked(place: Ground, neighbour: Neighbour, attackers: Attackers) -> Generator[Arena]:
    """In the end the neighbour has answered all the time, and nothing is left."""
    with attackers.one() as attacker, Watch(place, neighbour) as watch:
        yield Arena(place, attacker, neighbour)
    assert not (complaints := watch.complaints()), complaints
