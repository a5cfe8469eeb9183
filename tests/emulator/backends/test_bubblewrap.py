"""What is asked of bubblewrap before anything is put behind it."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager

from agentrun.emulator.backends.process import bubblewrap


@contextmanager
def restless_environment() -> Generator[None, None, None]:
    """Another thread changes this process's environment all the time, as a test runner does."""
    ended = threading.Event()

    def change() -> None:
        while not ended.is_set():
            os.environ["AGENTRUN_RESTLESS"] = "x"
            del os.environ["AGENTRUN_RESTLESS"]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_the_probe_does_not_read_an_environment_that_changes() -> None:
    with restless_environment():
        for _ in range(30):
            bubblewrap.probe()
