from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest

from agentrun.emulator.guest import sources
from agentrun.emulator.guest.errors import Exhausted
from agentrun.emulator.guest.interpreter import Outcome, Worker
from agentrun.emulator.guest.outputs import Output
from agentrun.emulator.guest.replies import PYTHON_LINES
from agentrun.emulator.guest.sources import BrokerSource, ExecSource

pytestmark = pytest.mark.asyncio
Process: TypeAlias = "subprocess.Popen[bytes]"

# A broker as there is one around sandboxes, without any walls.
BROKER = """
import json, os, socket, sys
from agentrun.emulator.guest.workers import python

agent = socket.socket(fileno=int(sys.argv[1]))
python.prepare(("json",))

def become(number, folder):
    control, far = socket.socketpair()
    out, err = os.pipe(), os.pipe()
    os.setsid()
    os.chdir(folder)
    answer = json.dumps({"spawn": number, "pid": os.getpid()}).encode()
    socket.send_fds(agent, [answer], [far.fileno(), out[0], err[0]])
    for descriptor, writer in ((1, out[1]), (2, err[1])):
        os.dup2(writer, descriptor)
    far.close()
    os.closerange(out[0], err[1] + 1)
    python.serve(control)
    os._exit(0)

while request := agent.recv(65536):
    number, folder = json.loads(request)["spawn"], json.loads(request)["cwd"]
    if not os.path.isdir(folder):
        agent.send(json.dumps({"spawn": number, "error": "no such folder"}).encode())
    else:
        pid = os.fork()
        if pid == 0:
            become(number, folder)
        if folder == "/tmp":
            _, status = os.waitpid(pid, 0)
            agent.send(json.dumps({"ended": number, "code": os.waitstatus_to_exitcode(status)}).encode())
"""
PREPARATION = """
import json, os, sys, threading
from agentrun.emulator.guest.workers import python
before = sorted(os.listdir("/proc/self/fd"))
python.prepare(("numpy", "pandas", "matplotlib.pyplot"))
after = sorted(os.listdir("/proc/self/fd"))
names = [name for name in sys.modules["__main__"].__dict__ if name in ("numpy", "pandas", "matplotlib", "os")]
print(json.dumps([before == after, len(os.listdir("/proc/self/task")), threading.active_count(), names]))
"""
WORKER = f"{sys.executable} -m {sources.PYTHON_WORKER}"
WITHOUT_IPYTHON = """
import sys
sys.modules["IPython"] = None
from agentrun.emulator.guest.workers import python
python.serve(python.take_control())
"""


async def run(worker: Worker, code: str) -> tuple[Outcome, list[dict[str, Any]]]:
    output = Output()
    outcome = await asyncio.wait_for(worker.execute(code, 10, output), 10)
    return outcome, output.take(final=True)


async def end(worker: Worker) -> None:
    worker.close("the test ends")
    await worker.wait_ended()


async def text(worker: Worker, code: str) -> str:
    outcome, entries = await run(worker, code)
    assert outcome.reply.result is not None, (outcome, entries)
    found: str = outcome.reply.result["text/plain"]
    return found


def start(program: str, *arguments: str, stdin: int | None = None, passed: tuple[int, ...] = ()) -> Process:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdin=stdin, pass_fds=passed)


@contextlib.asynccontextmanager
async def broker() -> AsyncGenerator[tuple[BrokerSource, Process]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far:
        process = start(BROKER, str(far.fileno()), passed=(far.fileno(),))
    source = BrokerSource(near)
    try:
        await source.open()
        yield source, process
    finally:
        source.close()
        process.kill()
        process.wait()


async def test_a_broker_gives_interpreters_that_are_ready() -> None:
    async with broker() as (source, _):
        first, second = await asyncio.gather(source.python("/"), source.python("/usr"))
        assert await text(first, "import os; os.getpid()") != await text(second, "import os; os.getpid()")
        assert await text(second, "os.getcwd()") == "'/usr'"
        _, entries = await run(first, "print('out')\nimport sys; sys.stderr.write('err')")
        assert [(entry["type"], entry["text"]) for entry in entries] == [("stdout", "out\n"), ("stderr", "err")]
        for worker in (first, second):
            await end(worker)


async def test_the_broker_tells_how_an_interpreter_ended() -> None:
    async with broker() as (source, _):
        worker = await source.python("/tmp")
        outcome, _ = await run(worker, "import os; os._exit(7)")
        assert outcome.reply.error is not None
        assert (outcome.reply.error.name, outcome.reply.error.value) == ("InterpreterExited", "7")
        await end(worker)


async def test_a_refusal_of_the_broker_is_told() -> None:
    async with broker() as (source, _):
        with pytest.raises(Exhausted, match="no such folder"):
            await source.python("/nowhere")


async def test_without_its_broker_it_starts_interpreters_itself() -> None:
    async with broker() as (source, process):
        process.kill()
        process.wait()
        worker = await source.python("/")
        assert await text(worker, "1 + 1") == "2"
        await end(worker)


async def test_one_interpreter_is_kept_ready(tmp_path: Path) -> None:
    source = ExecSource()
    await source.open()
    worker = await source.python(str(tmp_path))
    assert await text(worker, "import os; os.getcwd()") == repr(str(tmp_path))
    await end(worker)
    source.close()


async def test_preparing_leaves_no_thread_no_descriptor_and_no_name() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PREPARATION, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert json.loads(output) == [True, 1, 1, []]


async def test_without_ipython_plain_python_does() -> None:
    near, far = socket.socketpair()
    with far:
        process = start(WITHOUT_IPYTHON, stdin=far.fileno())
    with near, near.makefile("rwb") as lines:

        def execute(code: str) -> list[dict[str, Any]]:
            lines.write(json.dumps({"code": code}).encode() + b"\n")
            lines.flush()
            answers = [json.loads(lines.readline())]
            while "display" in answers[-1]:
                lines.write(b'{"shown": true}\n')
                lines.flush()
                answers.append(json.loads(lines.readline()))
            return answers

        assert execute("x = 20\nx + 22") == [{"result": {"text/plain": "42"}, "error": None}]
        code = "class A:\n def _repr_html_(self): return '<b>'\n def __repr__(self): return 'A'\ndisplay(A())\nA()"
        shown, answer = execute(code)
        assert shown["display"] == answer["result"] == {"text/html": "<b>", "text/plain": "A"}
        error = execute("def f():\n    1/0\nf()")[0]["error"]
        assert error["name"] == "ZeroDivisionError"
        assert "workers" not in error["text"]
        assert execute("raise SystemExit(3)")[0]["error"]["value"] == "3"
    assert process.wait(10) == 0


async def test_what_was_stopped_from_beside_goes_on_when_it_is_asked() -> None:
    worker = await sources.start([sys.executable, "-m", sources.PYTHON_WORKER], "/", PYTHON_LINES)
    pid = int(await text(worker, "import os; os.getpid()"))
    os.kill(pid, signal.SIGSTOP)
    assert await text(worker, "1 + 1") == "2"
    await end(worker)


async def test_what_is_stopped_while_it_comes_up_comes_up() -> None:
    worker = await sources.start(["sh", "-c", f"kill -STOP $$; exec {WORKER}"], "/", PYTHON_LINES)
    assert await text(worker, "1 + 1") == "2"
    await end(worker)


async def test_one_that_was_just_killed_is_not_handed_out(tmp_path: Path) -> None:
    source = ExecSource()
    await source.open()
    for child in psutil.Process().children():
        child.send_signal(signal.SIGKILL)
    worker = await source.python(str(tmp_path))
    assert await text(worker, "1 + 1") == "2"
    await end(worker)
    source.close()
