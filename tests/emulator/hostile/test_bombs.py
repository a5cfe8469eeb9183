"""Code that takes all it can get: processes, memory, disk, descriptors, output, processor time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.emulator.hostile.arena import Arena, Outcome, whatever_the_walls
from tests.emulator.hostile.grounds import DISK, MEMORY

MEBIBYTE = 1024 * 1024
GIGABYTE = 10**9
# What an execution of so many seconds may take altogether: the interrupt has a second to help, and a busy machine some.
GRACE = 5.0
# Where no interpreter is forked several that start at once wait for each other, and their clocks do not run yet.
STARTS = 4.0

ENDLESS = {
    "loop": "while True: pass",
    "catches everything": """
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    "ignores interrupts": "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)",
    "blocks every signal": """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: time.sleep(1)
""",
    "in C": "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
    "a thread that stays": """
import threading
def spin():
    while True: pass
threads = [threading.Thread(target=spin) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
""",
    "a lock that nobody opens": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
}

FATAL = {
    "exits": "import os\nos._exit(7)",
    "segmentation fault": "import ctypes\nctypes.string_at(0)",
    "abort": "import os\nos.abort()",
    "closes all descriptors": "import os\nos.closerange(0, 100000)",
    "executes something else": "import os\nos.execv('/bin/true', ['true'])",
    "overflows the stack": """
import ctypes, sys
sys.setrecursionlimit(10**9)
call = ctypes.CFUNCTYPE(ctypes.c_int)
def again(): return call(again)()
again()
""",
}

STUBBORN = {
    "recursion": ("def again(): again()\nagain()", "RecursionError"),
    "system exit": ("raise SystemExit(3)", "SystemExit"),
    "a hostile exception": (
        "class Odd(BaseException):\n  def __str__(self): raise self\n  __repr__ = __str__\nraise Odd()",
        "",
    ),
    "kills everything": ("import os, signal\nos.kill(-1, signal.SIGKILL)", ""),
    "a hostile result": ("class Odd:\n  def __repr__(self): raise SystemExit(1)\nOdd()", ""),
    "no stdout": ("import sys\nsys.stdout = sys.stderr = None\n1 / 0", "ZeroDivisionError"),
    "closed stdout": ("import sys\nsys.stdout.close()\n1 / 0", "ZeroDivisionError"),
    "no builtins": ("import builtins\nfor name in list(vars(builtins)): delattr(builtins, name)", ""),
}


SIGNALS = {
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "stops its group": "os.killpg(0, signal.SIGSTOP)",
    "kills itself": "os.kill(os.getpid(), signal.SIGKILL)",
    "stops from outside": "subprocess.Popen(['kill', '-STOP', str(os.getpid())])\ntime.sleep(0.4)",
    "stops all": "os.kill(-1, signal.SIGSTOP)",
}


def together(attacks: dict[str, Callable[[], Outcome]]) -> dict[str, Outcome]:
    """Do all at the same time."""
    with ThreadPoolExecutor(len(attacks)) as pool:
        running = {name: pool.submit(attack) for name, attack in attacks.items()}
        return {name: outcome.result() for name, outcome in running.items()}


def grace(arena: Arena) -> float:
    """What several executions at once may take beyond their time."""
    return GRACE if arena.ground.forks else GRACE + STARTS


def python_fork_bomb() -> str:
    return "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"


def test_endless_code_is_stopped_in_time(arena: Arena) -> None:
    """All of it at once: what one execution does is no reason for another to take longer."""
    began = time.monotonic()
    outcomes = together({name: partial(arena.python, code, 0.5) for name, code in ENDLESS.items()})
    assert time.monotonic() - began < 0.5 + grace(arena)
    for name, outcome in outcomes.items():
        assert outcome.ending == "timeout", (name, outcome)
        assert outcome.text("timeout"), name
    assert arena.still_works()


@pytest.mark.parametrize("kind", ["stateless", "context"])
def test_signals_to_itself(arena: Arena, kind: str) -> None:
    """The first process of a namespace does not feel them, another one ends or is stopped in time."""

    def attack(code: str) -> Outcome:
        made = arena.context() if kind == "context" else None
        return arena.python(f"import os, signal, subprocess, time\n{code}", 0.8, made)

    # Without namespaces what reaches all reaches the agent too; see the next test.
    names = [name for name in SIGNALS if arena.ground.has_namespaces or name != "stops all"]
    began = time.monotonic()
    outcomes = together({name: partial(attack, SIGNALS[name]) for name in names})
    assert time.monotonic() - began < 0.8 + grace(arena)
    assert all(outcome.ending in ("ok", "error", "timeout") for outcome in outcomes.values()), outcomes
    assert arena.still_works()


@pytest.mark.parametrize("name", ["SIGSTOP", "SIGKILL"])
def test_an_interpreter_that_comes_among_signals(arena: Arena, name: str) -> None:
    """What is forked while all of the user's processes are signalled is there in the end, or a refusal is."""
    if not arena.ground.forks:
        pytest.xfail("the agent is signalled too, or waits for what it has just forked")
    code = f"""
import os, signal, time
end = time.monotonic() + 1.2
open('signals', 'w').close()
while time.monotonic() < end:
    try: os.kill(-1, signal.{name})
    except ProcessLookupError: pass
"""
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        attack = pool.submit(arena.python, code, 5, arena.context())
        while not arena.request("GET", "files", path="signals").is_success:
            assert time.monotonic() - began < GRACE
        made = [arena.request("POST", "contexts", {"language": "python"}).status_code for _ in range(3)]
        assert attack.result().ending == "ok"
    assert time.monotonic() - began < 1.2 + GRACE
    # Where users have ids of their own, it is not theirs yet while it comes.
    assert set(made) <= ({200} if name == "SIGSTOP" else {200, 503})
    assert arena.still_works()


def test_who_stops_all_stops_only_himself(arena: Arena) -> None:
    """Whatever is left of the sandbox, it can be deleted, and the neighbour goes on."""
    arena.command("(sleep 0.1; kill -STOP -1) >/dev/null 2>&1 &")
    time.sleep(0.5)


@pytest.mark.parametrize("name", FATAL)
def test_an_interpreter_that_ends_says_so(arena: Arena, name: str) -> None:
    outcome = arena.python(FATAL[name], timeout=5)
    assert outcome.ending == "error", outcome
    assert outcome.error in ("InterpreterExited", "InterpreterError")
    assert arena.still_works()


@whatever_the_walls
@pytest.mark.parametrize("name", STUBBORN)
def test_an_odd_interpreter_still_answers(arena: Arena, name: str) -> None:
    code, error = STUBBORN[name]
    # Far more than any of it takes where the processors are free.
    outcome = arena.python(code, timeout=10)
    if outcome.status == 410 and name == "kills everything" and not arena.ground.has_namespaces:
        return  # The agent is one of those that are killed.
    assert outcome.status == 200
    assert outcome.error == error or not error, outcome
    assert arena.still_works()


@pytest.mark.parametrize("language", ["python", "bash"])
def test_a_fork_bomb(arena: Arena, language: str) -> None:
    began = time.monotonic()
    if language == "python":
        assert arena.python(python_fork_bomb(), timeout=1).ending in ("timeout", "error")
    else:
        arena.command("bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 10", timeout=1)
    # Where the interpreter has to be started first, it shares the processors with the bomb of the worker beside us.
    assert time.monotonic() - began < 1 + (2 if arena.ground.forks else 4) * GRACE


@pytest.mark.parametrize("how", ["bytes", "numpy", "shared", "file in memory", "many processes"])
def test_a_memory_bomb(arena: Arena, how: str) -> None:
    takers = {
        "bytes": "x = b'x' * size",
        "numpy": "import numpy\nx = numpy.ones(size, dtype='u1')",
        "shared": "import mmap\nx = mmap.mmap(-1, size)\nfor at in range(0, size, 4096): x[at] = 1",
        "file in memory": (
            "import os\nfor _ in range(size >> 26):\n"
            "  file = os.memfd_create('x')\n  for _ in range(64): os.write(file, bytes(1 << 20))"
        ),
        "many processes": (
            "import os, time\nfor _ in range(16):\n  if not os.fork():\n"
            "    x = b'x' * (size // 16)\n    time.sleep(1)\n    os._exit(0)\n"
            "while True:\n  if os.wait()[1]: raise MemoryError"
        ),
    }
    outcome = arena.python(f"size = {4 * MEMORY * MEBIBYTE}\n{takers[how]}\nprint('all of it')", timeout=12)
    if "cgroup memory" in arena.ground.missing and how not in ("bytes", "numpy"):
        pytest.xfail("without cgroups the memory of one process is bounded, and only what it has to itself")
    assert "all of it" not in outcome.said
    assert outcome.error in ("InterpreterExited", "MemoryError", "_ArrayMemoryError"), outcome
    assert arena.still_works()


@pytest.mark.parametrize("folder", ["/home/user", "/tmp", "/dev/shm"])
def test_a_full_disk(arena: Arena, folder: str) -> None:
    if not arena.ground.has_namespaces:
        pytest.xfail("without namespaces the home folder is one of the host's")
    said = arena.said(f"head -c {4 * DISK}M /dev/zero >{folder}/big")
    assert "No space left" in said or "Killed" in said or "Cannot allocate" in said, said
    assert int(arena.said(f"stat -c %s {folder}/big")) <= DISK * MEBIBYTE
    arena.command(f"rm -f {folder}/big")
    assert arena.still_works()


@pytest.mark.parametrize("folder", ["/home/user", "/tmp", "/dev/shm"])
def test_no_more_inodes(arena: Arena, folder: str) -> None:
    if not arena.ground.has_namespaces:
        pytest.xfail("without namespaces the home folder is one of the host's")
    code = f"""
import os
made = 0
try:
    for made in range(200_000): os.mknod(f'{folder}/{{made}}')
except OSError as error: print(error.strerror)
print(made)
"""
    outcome = arena.python(code, timeout=12)
    assert int(outcome.said.split()[-1]) < 100_000, outcome


def test_no_more_descriptors(arena: Arena) -> None:
    code = """
import os, socket
kept = []
try:
    while True: kept.append(os.open('/dev/null', os.O_RDONLY))
except OSError as error: number = error.errno
opened = len(kept)
for each in kept: os.close(each)
print(number, opened)
"""
    outcome = arena.python(code)
    number, opened = map(int, outcome.said.split())
    assert number == 24
    assert opened <= 1024
    assert arena.still_works()


def test_a_sandbox_cannot_take_all_terminals(arena: Arena) -> None:
    if not arena.ground.has_namespaces:
        pytest.xfail("without namespaces the terminals are the host's")
    code = """
import os, time
for _ in range(16):
    if not os.fork():
        kept = []
        try:
            while True: kept.append(os.openpty())
        except OSError: pass
        open(f'done{os.getpid()}', 'w').close()
        time.sleep(20)
"""
    arena.request("POST", "files", {"path": "terminals.py", "content": code})
    arena.command("setsid timeout -s KILL 3 python3 terminals.py >/dev/null 2>&1 & sleep 0.8")
    script = "import os; print(len(os.openpty()))"
    answer = arena.neighbour.call("POST", "processes/cmd", {"command": f'python3 -c "{script}"'}).json()["result"]
    assert answer["stdout"] == "2\n", answer


def test_a_sandbox_cannot_take_all_asynchronous_io(arena: Arena) -> None:
    code = """
import ctypes
library, context = ctypes.CDLL(None, use_errno=True), ctypes.c_ulong(0)
print(library.syscall({'x86_64': 206, 'aarch64': 0}[__import__('os').uname().machine], 60000, ctypes.byref(context)))
"""
    assert arena.python(code).said == "-1"


# Output

FLOODS = {
    "stdout": "import sys\nfor _ in range(1000): sys.stdout.write('x' * 999_999 + '\\n')",
    "stderr": "import sys\nfor _ in range(1000): sys.stderr.write('x' * 999_999 + '\\n')",
    "without line feed": "import os\nfor _ in range(1000): os.write(1, bytes(1_000_000))",
    "of a child": "import subprocess\nsubprocess.run(['head', '-c', '1000000000', '/dev/zero'])",
}


@whatever_the_walls
@pytest.mark.parametrize("name", FLOODS)
def test_a_gigabyte_of_output(arena: Arena, name: str) -> None:
    outcome = arena.python(FLOODS[name], timeout=12)
    assert outcome.ending == "ok", outcome.results[-1]
    said = outcome.said
    assert len(said) < 8 * MEBIBYTE
    assert "dropped" in said
    assert arena.still_works()


@whatever_the_walls
def test_a_gigabyte_of_output_of_a_command(arena: Arena) -> None:
    result = arena.command("head -c 1000000000 /dev/zero", timeout=12)
    assert result["exitCode"] == 0
    assert len(result["stdout"]) < 8 * MEBIBYTE


@whatever_the_walls
@pytest.mark.parametrize(
    "code",
    [
        "'x' * (200 << 20)",
        "class Big:\n  def __repr__(self): return 'x' * 100_000_000\nBig()",
        "from IPython.display import display\nfor _ in range(100_000): display('x' * 1000)",
        "raise ValueError('x' * 50_000_000)",
    ],
)
def test_a_gigantic_result(arena: Arena, code: str) -> None:
    began = time.monotonic()
    answer = arena.request("POST", "contexts/execute", {"code": code, "timeout": 2})
    assert time.monotonic() - began < 2 + GRACE
    assert answer.status_code == 200
    assert len(answer.content) < 128 * MEBIBYTE
    assert arena.still_works()


@whatever_the_walls
def test_endless_display(arena: Arena) -> None:
    code = "from IPython.display import display\nwhile True: display('x' * 10_000)"
    answer = arena.request("POST", "contexts/execute", {"code": code, "timeout": 1})
    assert answer.json()["results"][-1]["status"] == "timeout"
    assert len(answer.content) < 128 * MEBIBYTE


# Processes that stay


@pytest.mark.parametrize(
    "code",
    [
        "import os, time\nif not os.fork():\n  os.setsid()\n  if os.fork(): os._exit(0)\n  time.sleep(1000)",
        "import subprocess\nsubprocess.Popen(['setsid', 'sleep', '1000'], start_new_session=True)",
        "import subprocess\nsubprocess.run('nohup setsid sh -c \"(sleep 1000 &) &\" >/dev/null 2>&1 &', shell=True)",
        "import os, signal, time\nif not os.fork():\n  os.setsid()\n  os.kill(os.getpid(), signal.SIGSTOP)",
    ],
)
def test_a_daemon_ends_with_its_sandbox(arena: Arena, code: str) -> None:
    """What stays is found by the inventory that the fixture takes."""
    assert arena.python(code, timeout=3).status == 200


def test_a_time_bomb_after_the_answer(arena: Arena) -> None:
    code = """
import os, signal, threading
def bomb():
    for _ in range(300):
        try:
            if not os.fork(): signal.pause()
        except OSError: pass
    os.kill(-1, signal.SIGKILL)
threading.Timer(0.2, bomb).start()
"""
    assert arena.python(code).ending == "ok"
    time.sleep(0.6)
    assert arena.python("1").status == 200
