"""A model that answers as fast as Python can, in a process of its own: gateways are measured in front of it.

The model's name says how: `plain` is a whole answer, `stream-N` a stream of N chunks as fast as they go,
`slow-N` the same with one chunk each second. `usage: python -m benchmarks.model_stub [PORT]`
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

CONTENT = "The quick brown fox jumps over the lazy dog. " * 4
WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "plain",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": CONTENT}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 40, "total_tokens": 52},
}
DELTA = {"index": 0, "delta": {"content": "hello "}, "finish_reason": None}
PIECE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [DELTA]}
BODY = json.dumps(WHOLE).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(event: bytes) -> bytes:
    """An event as one chunk of HTTP."""
    return b"%x\r\n%b\r\n" % (len(event), event)


EVENT = chunk(b"data: %b\n\n" % json.dumps(PIECE).encode())
DONE = chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
_BURST = 32
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_MODEL = re.compile(rb'"model": *"(?:openai/)?(plain|(stream|slow)-(\d+))"')


class Model(asyncio.Protocol):
    """Answers one request after another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from asyncio's
        self.rest = b""
        self.writable = asyncio.Event()
        self.writable.set()
        self.streaming: asyncio.Task[None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop streaming."""
        if self.streaming:
            self.streaming.cancel()

    def pause_writing(self) -> None:
        """The other side does not keep up."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self.rest += data
        while True:
            head, end, body = self.rest.partition(b"\r\n\r\n")
            found = _LENGTH.search(head)
            size = int(found[1]) if found else 0
            if not end or len(body) < size:
                return
            self.rest = body[size:]
            self.answer(body[:size])

    def answer(self, body: bytes) -> None:
        """Answer a request by its model."""
        found = _MODEL.search(body)
        if not found or found[1] == b"plain":
            self.transport.write(ANSWER)
        else:
            pause = 1.0 if found[2] == b"slow" else 0.0
            self.streaming = asyncio.get_running_loop().create_task(self.stream(int(found[3]), pause))

    async def stream(self, count: int, pause: float) -> None:
        """Send a stream, in bursts or slowly."""
        self.transport.write(STREAM)
        burst = 1 if pause else _BURST
        for _ in range(0, count, burst):
            self.transport.write(EVENT * burst)
            await self.writable.wait()
            await asyncio.sleep(pause)
        self.transport.write(DONE)


async def main(port: int) -> None:
    """Listen, say on which port, and serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Model, "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
