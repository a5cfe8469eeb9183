"""Code in a sandbox: streams, rich results, restart, interrupt, checkpoints and forks, in both modes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from agentrun import (
    CodeInterpreterSandbox,
    Config,
    ContextOperations,
    EndEvent,
    ErrorEvent,
    OutputEvent,
    Result,
    SandboxError,
    UnsupportedError,
)
from agentrun.emulator import Emulator
from tests.resources.modes import Mode
from tests.resources.sandboxes import account, created

SLOW = "import time\nfor n in range(4):\n    print(n, flush=True)\n    time.sleep(0.15)\n'done'"


@pytest.fixture(scope="module")
def config(emulator: Emulator) -> Iterator[Config]:
    with account(emulator) as settings:
        yield settings


@pytest.fixture(scope="module")
def sandbox(config: Config) -> CodeInterpreterSandbox:
    return created(config)


@pytest.fixture
def context(sandbox: CodeInterpreterSandbox) -> Iterator[ContextOperations]:
    with sandbox.context.create() as made:
        yield made


def is_output(event: object, text: str) -> bool:
    """Whether an event is the beginning of a line; its end may come a little later."""
    return isinstance(event, OutputEvent) and event.type == "stdout" and event.text.strip() == text


# Streams


def test_the_first_line_arrives_while_the_code_runs(context: ContextOperations) -> None:
    began = time.monotonic()
    with context.execute_stream(SLOW) as stream:
        events = iter(stream)
        assert is_output(next(events), "0")
        assert time.monotonic() - began < 0.4
        *output, result, end = events
    assert "".join(each.text or "" for each in output if isinstance(each, OutputEvent)).split() == ["1", "2", "3"]
    assert isinstance(result, Result)
    assert result.text == "'done'"
    assert end == EndEvent("endOfExecution", "ok", context.context_id)
    assert time.monotonic() - began > 0.55


@pytest.mark.asyncio
async def test_a_stream_on_a_loop(context: ContextOperations) -> None:
    async with await context.execute_stream_async("print('a')\n1/0") as stream:
        events = [event async for event in stream]
    assert is_output(events[0], "a")
    error = events[-2]
    assert isinstance(error, ErrorEvent)
    assert (error.name, error.value) == ("ZeroDivisionError", "division by zero")


def test_callbacks(call: Mode, context: ContextOperations) -> None:
    heard: list[Any] = []
    names = ("on_stdout", "on_stderr", "on_result", "on_error")
    code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7"
    result = call(context, "execute", code, **dict.fromkeys(names, heard.append))
    assert sorted("".join(each for each in heard if isinstance(each, str)).split()) == ["err", "out"]
    assert [each.text for each in heard if isinstance(each, Result)] == ["42"]
    assert (result.stdout, result.stderr, result.text, result["contextId"]) == (
        "out\n",
        "err\n",
        "42",
        context.context_id,
    )
    with pytest.raises(SandboxError, match="ValueError: no"):
        call(context, "execute", "raise ValueError('no')", on_error=heard.append).raise_on_error()
    assert heard[-1].name == "ValueError"


def test_a_stream_that_is_closed_interrupts_the_code(context: ContextOperations) -> None:
    context.execute("reached = 0")
    with context.execute_stream("import time\nprint(1, flush=True)\ntime.sleep(30)\nreached = 1", timeout=60) as stream:
        assert is_output(next(iter(stream)), "1")
    began = time.monotonic()
    assert context.execute("reached").text == "0"
    assert time.monotonic() - began < 5


# Rich results


def test_a_dataframe_arrives_as_one(call: Mode, context: ContextOperations) -> None:
    pandas = pytest.importorskip("pandas")
    result = call(context, "execute", "import pandas\npandas.DataFrame({'price': [3.5, 2.0]}, index=['bread', 'milk'])")
    found = result.outputs[-1]
    assert isinstance(found.dataframe, pandas.DataFrame)
    assert found.dataframe["price"].to_dict() == {"bread": 3.5, "milk": 2.0}
    assert found.table
    assert "<table" in (found.html or "")
    assert "bread" in (found.text or "")


def test_a_chart_arrives_as_a_picture(call: Mode, context: ContextOperations) -> None:
    pytest.importorskip("matplotlib")
    result = call(context, "execute", "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])", timeout=60)
    charts = [each for each in result.outputs if each.png]
    assert len(charts) == 1
    assert charts[0].display
    assert (charts[0].png or b"").startswith(b"\x89PNG\r\n")
    assert "image/png" in result._repr_mimebundle_()


def test_displayed_formats(call: Mode, context: ContextOperations) -> None:
    code = "from IPython.display import *\ndisplay(HTML('<b>x</b>'), Markdown('*x*'), JSON({'a': 1}), Latex('$x$'))\n7"
    result = call(context, "execute", code)
    html, markdown, json, latex, value = result.outputs
    assert (html.html, markdown.markdown, json.json, latex.latex) == ("<b>x</b>", "*x*", {"a": 1}, "$x$")
    assert [each.display for each in result.outputs] == [True] * 4 + [False]
    assert (value.text, result.text) == ("7", "7")


# Restart and interrupt


def test_a_restart_forgets_the_variables(call: Mode, context: ContextOperations) -> None:
    call(context, "execute", "x = 1")
    before = context.context_id
    assert call(context, "restart") is context
    assert call(context, "execute", "'x' in globals()").text == "False"
    assert context.context_id == before


def test_an_interrupt_stops_the_code_and_keeps_the_context(call: Mode, context: ContextOperations) -> None:
    assert call(context, "interrupt") is False
    started = threading.Event()
    results: list[Any] = []

    def run() -> None:
        code = "x = 1\nprint('on', flush=True)\nwhile True: pass"
        results.append(context.execute(code, timeout=60, on_stdout=lambda _: started.set()))

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    assert call(context, "interrupt") is True
    thread.join(10)
    assert results[0].error["name"] == "KeyboardInterrupt"
    assert call(context, "execute", "x").text == "1"


# Checkpoints and forks


def test_back_to_a_checkpoint(call: Mode, sandbox: CodeInterpreterSandbox) -> None:
    sandbox.file_system.mkdir("/home/user/work")
    with sandbox.context.create(cwd="/home/user/work") as context:
        call(context, "execute", "x = 1\n_ = open('note', 'w').write('before')")
        checkpoint = call(context, "checkpoint")
        call(context, "execute", "x = 2\n_ = open('note', 'w').write('after')")
        assert call(context, "checkpoints") == [checkpoint]
        for _ in range(2):
            call(context, "rollback", checkpoint)
            assert call(context, "execute", "x, open('note').read()").text == "(1, 'before')"
            call(context, "execute", "x = 3\n_ = open('note', 'w').write('again')")
        call(context, "delete_checkpoint", checkpoint)
        assert call(context, "checkpoints") == []


def test_forks_have_the_variables_and_go_on_by_themselves(call: Mode, context: ContextOperations) -> None:
    call(context, "execute", "x = [1]")
    one, two = call(context, "fork", 2)
    call(one, "execute", "x.append(2)")
    assert [call(each, "execute", "x").text for each in (context, one, two)] == ["[1]", "[1, 2]", "[1]"]
    for each in (one, two):
        call(each, "delete")


def test_what_cannot_be_forked_says_so(call: Mode, sandbox: CodeInterpreterSandbox) -> None:
    with sandbox.context.create("bash") as context, pytest.raises(UnsupportedError) as caught:
        call(context, "fork")
    assert "extension of the local platform" not in str(caught.value)


# The end of the sandbox


def test_a_stream_whose_sandbox_is_deleted(config: Config) -> None:
    doomed = created(config)
    events = iter(doomed.context.execute_stream("print(1, flush=True)\nimport time\ntime.sleep(60)", timeout=90))
    assert is_output(next(events), "1")
    began = time.monotonic()
    doomed.delete()
    with pytest.raises(SandboxError):
        list(events)
    assert time.monotonic() - began < 5


@pytest.mark.asyncio
async def test_many_streams_at_once(sandbox: CodeInterpreterSandbox) -> None:
    async def one(number: int) -> str:
        result = await sandbox.context.execute_async(f"print({number})", on_stdout=lambda _: None, timeout=60)
        return result.stdout.strip()

    assert await asyncio.gather(*(one(number) for number in range(5))) == ["0", "1", "2", "3", "4"]
