"""Runs one coroutine as a synchronous call does, or on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from agentrun._core.blocking import run

T = TypeVar("T")

MODES = ("sync", "async")
both_modes = pytest.mark.parametrize("mode", MODES)


def drive(mode: str, coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, reached in this mode."""
    return run(coroutine) if mode == "sync" else asyncio.run(coroutine)
