"""Sandboxes: through the signed API over TCP, client and emulator on the same cores, beside what others do."""

from __future__ import annotations

import queue
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

from agentrun.cli.measuring import Measuring, Times, Wrong, fresh_emulator
from benchmarks.report import Figure, median

SECONDS, CLIENTS, IDLE, CROWD = 60.0, 8, 300, 1000
PEER_RUNS = 10


def timed(call: Callable[[], object], count: int = PEER_RUNS) -> str:
    """The median of some calls, as text."""
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return f"{median(took):.1f} ms"


def answer_of(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if done.stdout.strip() != "2":
        raise Wrong(f"{command[0]} gave {done.stdout!r}")


def plain_process() -> str:
    """A bare interpreter without walls or state."""
    return f"plain subprocess {timed(lambda: answer_of([sys.executable, '-c', 'print(1+1)']))}"


def loaded_process() -> str:
    """The same with what a sandbox has loaded."""
    code = "import numpy, pandas, matplotlib.pyplot, IPython; print(1+1)"
    return f"with the same libraries {timed(lambda: answer_of([sys.executable, '-c', code]), 3)}"


def in_kernel(client: object) -> None:
    """One execution in a Jupyter kernel, to its idle message."""
    blocking: object = client
    execute, read = getattr(blocking, "execute"), getattr(blocking, "get_iopub_msg")  # noqa: B009  # it has no types
    request = execute("1+1")
    while True:
        try:
            message = read(timeout=5)
        except queue.Empty:
            raise Wrong("the Jupyter kernel fell silent") from None
        if message["parent_header"].get("msg_id") != request or message["msg_type"] != "status":
            continue
        if message["content"]["execution_state"] == "idle":
            return


def jupyter() -> tuple[str, str]:
    """From the start of an ipykernel to its first answer, and a warm execution; without walls and without HTTP."""
    from jupyter_client.manager import start_new_kernel

    def life() -> None:
        manager, client = start_new_kernel(kernel_name="python3")
        in_kernel(client)
        client.stop_channels()
        manager.shutdown_kernel(now=True)

    manager, client = start_new_kernel(kernel_name="python3")
    warm = timed(lambda: in_kernel(client), 100)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    return f"ipykernel {timed(life, 5)}", f"ipykernel {warm}"


def docker() -> str:
    """`docker run` of the emulator's own image, when an engine answers."""
    command = ["docker", "run", "--rm", "--network=none", "--entrypoint", "python3"]
    images = subprocess.run(
        ["docker", "images", "--quiet", "--filter", "reference=agentrun/code-interpreter"],
        capture_output=True,
        text=True,
        check=False,
    )
    image = images.stdout.split()
    if shutil.which("docker") is None or not image:
        return "docker run: no engine or image here"
    return f"docker run {timed(lambda: answer_of([*command, image[0], '-c', 'print(1+1)']), 5)}"


def figures(name: str, times: Times, budget: float | None, peer: str = "") -> list[Figure]:
    """The median beside its budget, with the slower percentiles in the note."""
    return [Figure(name, times.at(50), "ms", budget, peer, f"p95 {times.at(95):.2f}, p99 {times.at(99):.2f} ms")]


def throughput(measuring: Measuring) -> Figure:
    """Complete lives for a minute; the budget is a floor, so its inverse is compared."""
    done = measuring.lives(CLIENTS, SECONDS)
    note = f"{done.per_minute:.0f} a minute for {SECONDS:.0f} s; each {done.times}"
    name = f"a life (create, execute, delete) by {CLIENTS} clients at once"
    return Figure(name, 60_000 / done.per_minute, "ms", 6.0, "", note)


def crowd(measuring: Measuring) -> Figure:
    """What 1,000 idle sandboxes cost a warm execution in another one."""
    alone = measuring.warm(300)
    with measuring.crowd(CROWD):
        among = measuring.warm(300)
    note = f"{alone.at(50):.2f} ms alone, {among.at(50):.2f} ms among them"
    name = f"`1+1` among {CROWD} idle sandboxes over alone"
    return Figure(name, among.at(50) / alone.at(50), "times", 1.15, "", note)


def weights(measuring: Measuring) -> list[Figure]:
    """Proportional set size of each of many idle sandboxes, by what they have been used for."""
    memory = measuring.idle_memory(IDLE)
    return [
        Figure(
            f"each of {IDLE} idle sandboxes that have answered", memory.after_answer, "MiB", 4, "", "no process is left"
        ),
        Figure(f"each of {IDLE} idle new sandboxes", memory.new, "MiB", 4, "", "its first interpreter waits"),
        Figure(
            f"each of {IDLE} idle sandboxes with a context",
            memory.with_context,
            "MiB",
            None,
            "",
            "agent and interpreter",
        ),
    ]


def run() -> list[Figure]:
    """All figures of this page."""
    cold, warm = jupyter()
    with fresh_emulator() as emulator:
        measuring = Measuring(emulator)
        peers = "; ".join((plain_process(), loaded_process(), cold, docker()))
        found = figures("create to the first answer of `1+1`", measuring.first_answer(), 8, peers)
        found.append(Figure("the same, p95", measuring.first_answer().at(95), "ms", 25))
        found.append(throughput(measuring))
        found.append(Figure("100 at once, until all have answered", measuring.burst(), "ms", 600))
        found += figures("`1+1` in a warm context", measuring.warm(), 1.5, warm)
        pause, resume = measuring.pause_and_resume()
        found += [*figures("pause", pause, 2), *figures("resume", resume, 2)]
        found += figures("fork of a context that holds a DataFrame of 100 MB", measuring.fork(), 15)
        found += weights(measuring)
        found.append(crowd(measuring))
        up, down = measuring.transfer()
        found.append(Figure("upload, time for 300 MiB", 300_000 / up, "ms", 1000, "", f"{up:.0f} MiB/s"))
        found.append(Figure("download, time for 300 MiB", 300_000 / down, "ms", 1000, "", f"{down:.0f} MiB/s"))
    return found
