"""Clients of a chat endpoint, for measuring: closed loops, an open one, and streams that stay open."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentrun._serving.upstream import Exchange, Host, Pool, UpstreamError, head

# LiteLLM starts with no weaker one.
KEY = "sk-3f9a1c5e7b2d4860a1c3e5f7092b4d6e8f0a1b2c3d4e5f60718293a4b5c6d7e8"
PROMPT = "What is the quickest way from here to there? " * 6


def request(model: str, path: str, *, stream: bool = False) -> bytes:
    """A whole request."""
    fields = {"model": model, "messages": [{"role": "user", "content": PROMPT}], **({"stream": True} if stream else {})}
    body = json.dumps(fields).encode()
    headers = [
        (b"host", b"127.0.0.1"),
        (b"authorization", b"Bearer " + KEY.encode()),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    return head("POST", path, headers) + body


@dataclass
class Load:
    """What came of some calls: seconds until the first byte and the end of each, and who answered."""

    first: list[float] = field(default_factory=list[float])
    whole: list[float] = field(default_factory=list[float])
    failed: list[str] = field(default_factory=list[str])
    chunks: int = 0
    seconds: float = 0.0

    def percentile(self, fraction: float) -> float:
        """Milliseconds that this fraction of the calls did not exceed."""
        ordered = sorted(self.whole)
        return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] * 1000

    @property
    def rate(self) -> float:
        """Calls a second."""
        return len(self.whole) / self.seconds


class Endpoint:
    """One chat endpoint, called over connections that are kept."""

    def __init__(self, port: int, path: str = "/v1/chat/completions") -> None:
        self._host = Host("127.0.0.1", port)
        self.path = path
        self._pool = Pool()

    def close(self) -> None:
        """Close connections."""
        self._pool.close()

    async def call(self, message: bytes, load: Load) -> None:
        """One call, added to the load."""
        began = time.perf_counter()
        try:
            connection = await self._pool.acquire(self._host)
            exchange = Exchange(connection, without_body=False)
            connection.write(message)
            await exchange.begin()
            piece = await exchange.piece()
            load.first.append(time.perf_counter() - began)
            body = piece
            while not exchange.complete:
                load.chunks += piece.count(b"data:")
                piece = await exchange.piece()
                body = piece
            load.chunks += piece.count(b"data:")
        except UpstreamError as error:
            load.failed.append(str(error))
            return
        if exchange.status != 200 or b'"error"' in body:
            load.failed.append(f"{exchange.status} {body[:200]!r}")
        if exchange.reusable:
            self._pool.release(self._host, connection)
        else:
            connection.abort()
        load.whole.append(time.perf_counter() - began)

    async def closed(self, model: str, clients: int, seconds: float, *, stream: bool = False) -> Load:
        """Clients that each send the next call when the last was answered."""
        load, message = Load(), request(model, self.path, stream=stream)
        began = time.perf_counter()

        async def one() -> None:
            while time.perf_counter() - began < seconds:
                await self.call(message, load)

        await asyncio.gather(*(one() for _ in range(clients)))
        load.seconds = time.perf_counter() - began
        return load

    async def paced(self, model: str, rate: float, seconds: float, *, stream: bool = False) -> Load:
        """Calls at a steady rate, whatever becomes of them."""
        load, message = Load(), request(model, self.path, stream=stream)
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        calls: list[asyncio.Task[None]] = []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            calls.append(loop.create_task(self.call(message, load)))
        await asyncio.gather(*calls)
        load.seconds = time.perf_counter() - began
        return load

    async def held(self, model: str, streams: int) -> Sequence[asyncio.Task[None]]:
        """Streams that are open at once; the tasks end with them."""
        message, load = request(model, self.path, stream=True), Load()
        loop = asyncio.get_running_loop()
        return [loop.create_task(self.call(message, load)) for _ in range(streams)]
