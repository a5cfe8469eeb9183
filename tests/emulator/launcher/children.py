"""Real child processes for tests: run a function in one, as this user or as an ordinary one, and get its result."""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import TypeVar

import pytest

ORDINARY_USER = 65534
LONGEST_SECONDS = 60

Result = TypeVar("Result")

as_both_users = pytest.mark.parametrize(
    "user",
    [
        pytest.param(None, id="as-is"),
        pytest.param(
            ORDINARY_USER,
            id="ordinary-user",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
        ),
    ],
)


def become(user: int | None) -> None:
    """Turn this process into one of `user`; None leaves it as it is."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def in_child(action: Callable[[], Result], user: int | None = None) -> Result:
    """Return what `action` returns in a forked child of `user`, or raise what it raises there."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _answer(action, user, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        packed = answer.read()
    _, status = os.waitpid(pid, 0)
    assert packed, f"the child ended without an answer, wait status {status}"
    succeeded, value = pickle.loads(packed)
    if not succeeded:
        raise value
    assert status == 0
    return value  # type: ignore[no-any-return]


def _answer(action: Callable[[], object], user: int | None, writer: int) -> None:
    signal.alarm(LONGEST_SECONDS)
    try:
        become(user)
        packed = pickle.dumps((True, action()))
    except BaseException as error:
        traceback.print_exc()
        packed = pickle.dumps((False, error))
    with os.fdopen(writer, "wb") as answer:
        answer.write(packed)
    os._exit(0)
