"""What watching runs costs a stream of 1,000 pieces of text: nothing around it, metrics, tracing that is off and on.

Of the first figures nothing is made, so that they are the greatest shares there can be; the others are of the answers
that an ASGI server is given.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import uvloop
from opentelemetry.sdk.trace import TracerProvider

from agentrun.server import AgentInvoker, AgentRequest, ServerConfig
from agentrun.server.invoker import Around
from agentrun.server.metrics import Metrics
from agentrun.server.protocols.openai_chat import OpenAIProtocolHandler
from agentrun.server.tracing.around import Tracing
from benchmarks.report import Figure, median

DELTAS, STREAMS, ROUNDS = 1000, 5, 41
REQUEST = AgentRequest(protocol="openai", stream=True)


async def agent(_: AgentRequest) -> AsyncGenerator[str, None]:
    for _number in range(DELTAS):
        yield "word "


def invokers() -> Mapping[str, AgentInvoker]:
    """Each by what stands around its runs."""
    config = ServerConfig(traces=False)
    off = Tracing("agent", config).around
    recording = Tracing("agent", config, TracerProvider(shutdown_on_exit=False)).around
    arounds: Mapping[str, Sequence[Around]] = {
        "nothing": (),
        "tracing that is off": (off,),
        "metrics": (Metrics().around,),
        "tracing that is on": (recording,),
    }
    return {name: AgentInvoker(agent, around) for name, around in arounds.items()}


async def events(invoker: AgentInvoker) -> None:
    """A run of which nobody makes anything."""
    count = 0
    async for _ in invoker.invoke_stream(REQUEST):
        count += 1
    assert count == DELTAS


async def chat(invoker: AgentInvoker) -> None:
    """A run told by the Chat Completions protocol, as an ASGI server is given it."""
    handler = OpenAIProtocolHandler(ServerConfig())
    answer: Any = handler.endpoints(invoker)[0].answer
    sent = 0

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal sent
        sent += message.get("body", b"").count(b"data: ")

    response = await answer(_request(receive))
    await response({"type": "http"}, receive, send)
    assert sent > DELTAS


def _request(receive: Any) -> Any:
    from starlette.requests import Request

    body = b'{"stream": true, "messages": [{"role": "user", "content": "hi"}]}'
    parts = iter([{"type": "http.request", "body": body}])

    async def receive_body() -> Any:
        part = next(parts, None)
        return part if part else await receive()

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    return Request(scope, receive_body)


async def shares(work: Callable[[AgentInvoker], Awaitable[None]]) -> Mapping[str, tuple[float, float]]:
    """By what stands around: microseconds of a piece, and the per cent by which it is more than without; medians.

    All take turns, and it is the time of the processor that counts, because other work on the machine comes and goes.
    """
    took: dict[str, list[float]] = {}
    alternatives = invokers()
    gc.disable()
    for _ in range(ROUNDS):
        for name, invoker in alternatives.items():
            began = time.thread_time()
            for _number in range(STREAMS):
                await work(invoker)
            took.setdefault(name, []).append(time.thread_time() - began)
        gc.collect()
    gc.enable()
    bare = took["nothing"]
    return {
        name: (
            median(each) / STREAMS / DELTAS * 1e6,
            median([(one - without) / without * 100 for one, without in zip(each, bare, strict=True)]),
        )
        for name, each in took.items()
    }


def figures(what: str, measured: Mapping[str, tuple[float, float]]) -> list[Figure]:
    """A figure for each, beside the bare stream of the same run."""
    bare = measured["nothing"][0]
    return [
        Figure(
            f"{what}: {name}",
            share,
            "%",
            1 if "off" in name else None,
            note=f"{each:.2f} µs over {bare:.2f} µs a piece",
        )
        for name, (each, share) in measured.items()
        if name != "nothing"
    ]


def run() -> list[Figure]:
    """The figures."""
    return [
        *figures("events", uvloop.run(shares(events))),
        *figures("chunks of Chat Completions", uvloop.run(shares(chat))),
    ]
