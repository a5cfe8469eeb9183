"""What our client adds to a call: signed, parsed and turned into an object, against a bare pooled httpx GET.

Both go to the same stub server in the same process, in short turns, so that a noisy moment meets both.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import httpx

from agentrun import Config, Credential
from benchmarks.peers import OFFICIAL, python_with
from benchmarks.report import Figure, median

ROUNDS, CALLS = 40, 50
PATH = "/2025-09-10/agents/credentials/key"
# The official client's own time for the same read; only told the endpoint with its scheme twice it uses plain HTTP.
OFFICIAL_SCRIPT = """
import sys, time, logging
logging.disable()
from agentrun.credential import Credential
from agentrun.utils.config import Config
c = Config(access_key_id="a", access_key_secret="b", account_id="1", control_endpoint="http://http://127.0.0.1:%d")
Credential.get_by_name("key", config=c)
took = []
for _ in range(60):
    began = time.perf_counter(); Credential.get_by_name("key", config=c); took.append(time.perf_counter() - began)
print(sorted(took)[30] * 1000)
"""


@contextmanager
def stub() -> Generator[int]:
    """The port of a stub server."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stub"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        assert server.stdin
        yield int(server.stdout.readline())
        server.stdin.close()


def timed(call: Callable[[], object]) -> float:
    """Milliseconds for one call, over a turn of calls."""
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - began) / CALLS * 1000


async def timed_async(call: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds for one awaited call, over a turn of calls."""
    began = time.perf_counter()
    for _ in range(CALLS):
        await call()
    return (time.perf_counter() - began) / CALLS * 1000


def synchronous(url: str, config: Config) -> tuple[float, float]:
    """Median milliseconds of ours and of bare httpx."""
    ours: list[float] = []
    bare: list[float] = []
    with httpx.Client() as client:
        for _ in range(ROUNDS):
            bare.append(timed(lambda: client.get(url).json()))
            ours.append(timed(lambda: Credential.get_by_name("key", config=config)))
    return median(ours), median(bare)


async def asynchronous(url: str, config: Config) -> tuple[float, float]:
    """Median milliseconds of ours and of bare httpx, on an event loop."""
    ours: list[float] = []
    bare: list[float] = []
    async with httpx.AsyncClient() as client:
        for _ in range(ROUNDS):
            bare.append(await timed_async(lambda: client.get(url)))
            ours.append(await timed_async(lambda: Credential.get_by_name_async("key", config=config)))
    return median(ours), median(bare)


def official(port: int) -> str:
    """What the official client takes for the same read."""
    python = python_with(*OFFICIAL)
    if python is None:
        return "official client not installable"
    # From another folder: in ours, Python would find our package of the same name.
    done = subprocess.run([python, "-c", OFFICIAL_SCRIPT % port], cwd="/", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return "official client failed"
    return f"official client {float(done.stdout.split()[-1]):.2f} ms"


def run() -> list[Figure]:
    """The figures."""
    with stub() as port:
        endpoint = f"http://127.0.0.1:{port}"
        config = Config(access_key_id="a", access_key_secret="b", control_endpoint=endpoint)
        sync_ours, sync_bare = synchronous(endpoint + PATH, config)
        async_ours, async_bare = asyncio.run(asynchronous(endpoint + PATH, config))
        peer = official(port)
    return [
        Figure(
            "overhead of a synchronous call over bare httpx",
            (sync_ours / sync_bare - 1) * 100,
            "%",
            15,
            peer,
            f"{sync_ours:.2f} ms over {sync_bare:.2f} ms",
        ),
        Figure(
            "overhead of an asynchronous call over bare httpx",
            (async_ours / async_bare - 1) * 100,
            "%",
            15,
            peer,
            f"{async_ours:.2f} ms over {async_bare:.2f} ms",
        ),
    ]
