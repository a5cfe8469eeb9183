"""Frameworks and libraries are extras: one that is not installed is told in one line."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def framework(extra: str, *packages: str) -> Generator[None]:
    """The imports made within belong to an extra; raises ImportError, which names it, when its packages are missing.

    What goes wrong inside of an installed package is raised as it is.
    """
    with needed(f"agentrun.integration.{extra}", extra, packages):
        yield


@contextmanager
def library(extra: str, *packages: str) -> Generator[None]:
    """The same for what only some tools need."""
    with needed("this tool", extra, packages):
        yield


@contextmanager
def needed(who: str, extra: str, packages: tuple[str, ...]) -> Generator[None]:
    """The same for anything else, which is said to be `who` needs them."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in packages:
            raise
        raise ImportError(f"{who} needs {missing}: pip install 'agentrun[{extra}]'", name=missing) from None
