"""Frameworks are extras: one that is not installed is told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def framework(extra: str, *packages: str) -> Iterator[None]:
    """The imports made within belong to an extra; raises ImportError, which names it, when its packages are missing.

    What goes wrong inside of an installed package is raised as it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in packages:
            raise
        raise ImportError(
            f"agentrun.integration.{extra} needs {missing}: pip install 'agentrun[{extra}]'", name=missing
        ) from None
