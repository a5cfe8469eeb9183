"""Cloning this process: a fork that leads a session of its own and is nobody's child here."""

from __future__ import annotations

import contextlib
import os
import random
import warnings
from collections.abc import Sequence


class Unclonable(Exception):
    """There is no room for another process."""


def clone(outputs: Sequence[int]) -> int:
    """Clone this process, with other descriptors as its stdout and stderr; its id here, and 0 in the clone.

    Code that waits for its children does not meet the clone, because the process between the two has ended.
    """
    reader, writer = os.pipe()
    numbers = random.getstate()  # Python seeds anew in every fork, and a clone goes on like its original
    between = _fork()
    if between == 0:
        _leave_clone(writer, reader, outputs)
        random.setstate(numbers)
        return 0
    os.close(writer)
    with open(reader, "rb") as answer:
        text = answer.read()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(between, 0)
    if not text.isdigit():
        raise Unclonable(text.decode() or "it has ended while it was cloned")
    return int(text)


def _leave_clone(writer: int, reader: int, outputs: Sequence[int]) -> None:
    """Fork once more and end; only the clone returns."""
    os.close(reader)
    try:
        if _fork() != 0:
            os._exit(0)
    except Unclonable as error:
        os.write(writer, str(error).encode())
        os._exit(1)
    os.setsid()
    for number, descriptor in enumerate(outputs, 1):
        os.dup2(descriptor, number)
    os.write(writer, str(os.getpid()).encode())
    os.close(writer)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # threads of the code stay behind, and that is documented
        try:
            return os.fork()
        except OSError as error:
            raise Unclonable(f"no process can be started ({error.strerror})") from None
