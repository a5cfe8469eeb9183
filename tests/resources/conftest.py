"""What the tests of all resources share."""

from __future__ import annotations

import pytest

from tests.resources.modes import MODES, Mode


@pytest.fixture(params=MODES)
def call(request: pytest.FixtureRequest) -> Mode:
    """Calls a method in each of the two modes."""
    return Mode(request.param)
