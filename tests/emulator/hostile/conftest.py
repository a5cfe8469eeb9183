"""One emulator a ground for the session, one attacker a test; after each the machine must be as it was before."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.emulator.hostile import inventory
from tests.emulator.hostile.arena import Arena
from tests.emulator.hostile.grounds import NAMES, Ground, ground
from tests.emulator.hostile.watching import PRIVATE, Watch
from tests.emulator.inside import Inside


@pytest.fixture(scope="session", params=NAMES)
def place(request: pytest.FixtureRequest) -> Generator[Ground]:
    """A ground; its folder is short, as unix sockets need it, and open to its user."""
    folder = Path(tempfile.mkdtemp(prefix="ah"))
    folder.chmod(0o755)
    try:
        with ground(request.param, folder) as found:
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def neighbour(place: Ground) -> Inside:
    """A sandbox that nobody attacks, and that must not notice anything."""
    made = place.sandbox()
    answer = made.call("POST", "files", {"path": PRIVATE, "content": made.id})
    assert answer.status_code == 200, answer.text
    # What only a first execution leaves must be there before anything is compared.
    for _ in range(2):
        made.call("POST", "contexts/execute", {"code": "1 + 1"})
    return made


@pytest.fixture
def arena(place: Ground, neighbour: Inside) -> Generator[Arena]:
    """An attacker; when the test is over the neighbour has answered all the time, and nothing is left."""
    # Without namespaces the neighbour's processes are told apart by its home folder; with them they come and go.
    home = "" if place.has_namespaces else neighbour.run("echo $HOME").strip()
    before = inventory.take(place, home)
    attacker = place.sandbox()
    try:
        with Watch(place, neighbour) as watch:
            yield Arena(place, attacker, neighbour, watch)
        complaints = watch.complaints()
    finally:
        place.delete(attacker)
    assert not complaints, complaints
    assert not (left := inventory.leftovers_after(place, before, home)), left
