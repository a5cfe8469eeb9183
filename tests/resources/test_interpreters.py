"""Code in the sandboxes of sessions, as frameworks run it that take code out of a model's answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentrun import Config, Sandbox
from agentrun.emulator import Emulator
from agentrun.errors import SandboxTerminatedError
from agentrun.integration._interpreter import Interpreters
from tests.resources.modes import Mode
from tests.resources.sandboxes import TEMPLATE, account


@pytest.fixture(scope="module")
def config(emulator: Emulator) -> Iterator[Config]:
    with account(emulator) as settings:
        yield settings


@pytest.fixture
def interpreters(config: Config) -> Iterator[Interpreters]:
    with Interpreters(TEMPLATE, config=config) as made:
        yield made


def alive(config: Config) -> list[str]:
    return [found.label for found in Sandbox.list_all(config=config) if found.status == "READY"]


def test_variables_stay_in_a_session_and_each_language_has_its_own(
    call: Mode, interpreters: Interpreters, config: Config
) -> None:
    call(interpreters, "execute", "ada", "n = 1")
    call(interpreters, "execute", "ada", "n=2", "bash")
    assert call(interpreters, "execute", "ada", "print(n)").stdout == "1\n"
    assert call(interpreters, "execute", "ada", "echo $n", "bash").stdout == "2\n"
    assert call(interpreters, "execute", "bob", "print(n)").error["name"] == "NameError"
    assert len(alive(config)) == 2
    call(interpreters, "close_session", "ada")
    assert len(alive(config)) == 1


def test_files_are_where_code_begins(call: Mode, interpreters: Interpreters) -> None:
    call(interpreters, "put", None, {"data.csv": b"a,b"})
    assert call(interpreters, "execute", None, "print(open('data.csv').read())").stdout == "a,b\n"


def test_code_that_takes_too_long_is_stopped(call: Mode, interpreters: Interpreters) -> None:
    call(interpreters, "execute", None, "1")
    ran = call(interpreters, "execute", None, "import time; time.sleep(300)", timeout=1)
    assert ran.error["type"] == "timeout"


def test_a_sandbox_that_ended_is_not_replaced(call: Mode, interpreters: Interpreters, config: Config) -> None:
    call(interpreters, "execute", None, "n = 1")
    (only,) = alive(config)
    Sandbox.delete_by_id(only, config=config)
    with pytest.raises(SandboxTerminatedError):
        call(interpreters, "execute", None, "print(n)")
    assert alive(config) == []


def test_threads_of_one_session_share_a_context(interpreters: Interpreters, config: Config) -> None:
    def assign(number: int) -> None:
        interpreters.execute(None, f"n{number} = {number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(assign, range(8)))
    assert interpreters.execute(None, "print(sum([n0, n1, n2, n3, n4, n5, n6, n7]))").stdout == "28\n"
    assert len(alive(config)) == 1
