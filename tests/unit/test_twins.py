"""Every operation comes as a pair, `x` and `x_async`, that nothing but the waiting tells apart."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import pytest

import agentrun

# Programs of their own: nobody calls their functions in two modes. Messages of a framework and tasks need its package.
NOT_THE_SDK = (
    *("agentrun.emulator", "agentrun.cli", "agentrun.testing"),
    *("agentrun.server.frameworks", "agentrun.server.runs.celery_tasks"),
)
# So many there are; fewer would mean that the search below finds nothing any more.
AT_LEAST = 210
# The official client's names for what models are asked.
NAMED_OTHERWISE = ("acompletion", "aresponses", "aembedding", "arerank")
# Each of the two closes the connections of its own mode, so they are two operations.
NO_PAIRS = ("agentrun._core.session.Session.close", "agentrun.config.Config.close")


# Where the twin of a subclass's method is written for all of them.
INHERITED_FROM = ("agentrun._core.closing", "agentrun.integration._session")


class Pair(NamedTuple):
    """An operation in both modes."""

    name: str
    blocking: Any
    waiting: Any


def sdk_modules() -> Iterator[ModuleType]:
    for module in pkgutil.walk_packages(agentrun.__path__, "agentrun."):
        if module.name.startswith(NOT_THE_SDK):
            continue
        try:
            yield import_module(module.name)
        except ImportError as error:
            if "pip install 'agentrun[" not in str(error):  # A framework that has an environment of its own.
                raise


def owners() -> Iterator[ModuleType | type]:
    """The modules of the SDK and the classes that they define."""
    for module in sdk_modules():
        yield module
        for value in vars(module).values():
            # A Protocol says what is needed of others, which is one of the two.
            if isinstance(value, type) and value.__module__ == module.__name__ and Protocol not in value.__bases__:
                yield value


def defines(owner: ModuleType | type, name: str) -> bool:
    value = vars(owner).get(name)
    return value is not None and (isinstance(owner, type) or getattr(value, "__module__", None) == owner.__name__)


def twin_names(owner: ModuleType | type) -> Iterator[tuple[str, str]]:
    for name in dir(owner):
        twin = name.removesuffix("_async")
        if twin != name and not name.startswith("_") and (defines(owner, name) or defines(owner, twin)):
            yield twin, name
    yield from ((name[1:], name) for name in NAMED_OTHERWISE if defines(owner, name))


def pairs() -> Iterator[Pair]:
    for owner in owners():
        for blocking, waiting in twin_names(owner):
            name = f"{getattr(owner, '__module__', '')}.{owner.__name__}.{blocking}"
            if name not in NO_PAIRS:
                yield Pair(name, getattr(owner, blocking, None), getattr(owner, waiting, None))


PAIRS = list(pairs())


def parameters(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def test_the_pairs_are_found() -> None:
    assert len(PAIRS) >= AT_LEAST
    assert {"AgentRuntime", "Sandbox", "ModelService", "Credential", "SandboxClient"} <= {
        pair.name.split(".")[-2] for pair in PAIRS
    }


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_pair_differs_in_nothing_but_the_waiting(pair: Pair) -> None:
    assert pair.blocking is not None
    assert parameters(pair.blocking) == parameters(pair.waiting)
    assert pair.blocking.__doc__
    # A class may say what it gives back, and inherit how.
    inherited = pair.blocking.__module__ in INHERITED_FROM and pair.waiting.__module__ not in INHERITED_FROM
    assert inherited or pair.blocking.__doc__ == pair.waiting.__doc__
    assert not inspect.iscoroutinefunction(pair.blocking)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_pair_gives_the_same(pair: Pair) -> None:
    given, awaited = (str(inspect.signature(each).return_annotation) for each in (pair.blocking, pair.waiting))
    assert awaited.replace("AsyncLazyList", "LazyList") == given
    assert inspect.iscoroutinefunction(pair.waiting) != awaited.startswith("AsyncLazyList")


def test_a_wrong_pair_is_found() -> None:
    class Wrong:
        def look(self, name: str = "a") -> None:
            """Look."""

        async def look_async(self, name: str = "b") -> None:
            """Look."""

    with pytest.raises(AssertionError):
        test_a_pair_differs_in_nothing_but_the_waiting(Pair("wrong", Wrong.look, Wrong.look_async))
