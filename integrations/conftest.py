"""What the tests of every integration begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integrations.scenario.platform import Names, platform, sandboxes_alive


@pytest.fixture(scope="session")
def names() -> Iterator[Names]:
    """What is on the platform; afterwards no sandbox may be left."""
    with platform() as made:
        yield made


@pytest.fixture(autouse=True)
def no_sandbox_is_left(names: Names) -> Iterator[None]:
    """Each test gives its sandboxes back."""
    yield
    assert sandboxes_alive() == []
