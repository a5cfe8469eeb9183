"""What the cache and the checks of a model proxy cost each call, in process: time of the processor."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agentrun.gateway.cache.answer_cache import MOST_VECTORS, AnswerCache
from agentrun.gateway.cache.vectors import Vector, plain_products, products
from agentrun.gateway.call import Call, Caller, dump
from agentrun.gateway.plan import Plan
from agentrun.gateway.safety.content_safety import ContentSafety
from agentrun.gateway.state.memory import MemoryState
from agentrun.model.policies import (
    ContentCheck,
    GatewayPolicies,
    ProxyConfigAIGuardrailConfig,
    ProxyConfigPolicies,
    SafetyAction,
)
from benchmarks.report import Figure, median

RUNS = 15
EVENTS = 2000
CHAT = "chat/completions"
SENTENCE = "The quick brown fox jumps over the lazy dog, 42 times. "
GUARDRAIL = ProxyConfigAIGuardrailConfig(block_on_sensitive_data=True, block_on_prompt_attack=True)
PATTERN = ContentCheck(name="secret", patterns=[r"secret-\d{4}"], action=SafetyAction.REDACT)


def chunk(text: str, finish: str | None = None) -> bytes:
    """An event of a stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    fields = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: %b\n\n" % dump(fields)


STREAM = [*(chunk(f"{word} ") for word in (SENTENCE * EVENTS).split()[:EVENTS]), chunk("", "stop"), b"data: [DONE]\n\n"]


def plan(**policies: Any) -> Plan:
    """A proxy with policies."""
    return Plan("p", "p", (), policies=ProxyConfigPolicies.model_validate(policies))


def call(text: str, **more: Any) -> Call:
    """A question."""
    fields: Mapping[str, Any] = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    return Call.read(CHAT, dump(fields), {}, Caller())


def median_of(step: Callable[[], Awaitable[object]]) -> float:
    """The median microseconds that a step keeps the processor busy, whatever else runs."""

    async def measured() -> list[float]:
        times = list[float]()
        for _ in range(RUNS):
            began = time.process_time()
            await step()
            times.append((time.process_time() - began) * 1e6)
        return times

    return median(asyncio.run(measured()))


def checks(what: str, **policies: Any) -> list[Figure]:
    """What checks cost a request, and each event of a stream."""
    safety = ContentSafety.of(plan(**policies))
    assert safety is not None
    question = call((SENTENCE * 100)[:4000])

    async def screened() -> None:
        screen = safety.screen(CHAT, stream=True)
        assert screen is not None
        for event in STREAM:
            await screen.feed(event)
        await screen.finish()

    return [
        Figure(f"{what}: a request of 4,000 characters", median_of(lambda: safety.check_request(question)), "µs"),
        Figure(f"{what}: an event of a stream", median_of(screened) / EVENTS, "µs"),
    ]


def cached() -> list[Figure]:
    """What a cache costs a call that is not in it and one that is, and keeping a stream."""
    cache = AnswerCache.of(plan(cache=True), MemoryState())
    assert cache is not None
    question, streamed = call(SENTENCE * 40), call(SENTENCE * 40, stream=True)

    async def find(asked: Call) -> None:
        with cache.lookup(asked, "m") as lookup:
            await lookup.find()

    async def keep() -> None:
        with cache.lookup(streamed, "m") as lookup:
            recorder = lookup.recorder()
            for event in STREAM:
                recorder.feed(event)
            await recorder.keep()

    missed = median_of(lambda: find(question))
    kept = median_of(keep) / EVENTS
    return [
        Figure("cache: a call that is not in it", missed, "µs"),
        Figure("cache: a call that is in it", median_of(lambda: find(question)), "µs"),
        Figure("cache: a streamed call that is in it", median_of(lambda: find(streamed)), "µs"),
        Figure("cache: an event of a stream, recorded and kept", kept, "µs"),
    ]


def vectors(size: int) -> list[Figure]:
    """What it takes to compare a question with as many as there may be."""
    some = random.Random(size)
    rows, question = (Vector.of([some.gauss(0, 1) for _ in range(count)]) for count in (MOST_VECTORS * size, size))
    assert rows is not None
    assert question is not None

    async def plain() -> None:
        plain_products(rows.numbers, question.numbers)

    async def fast() -> None:
        products(rows.numbers, question.numbers)

    what = f"meaning: {MOST_VECTORS:,} vectors of {size:,} numbers"
    return [
        Figure(f"{what}, numpy", median_of(fast), "µs"),
        Figure(f"{what}, without numpy", median_of(plain), "µs"),
    ]


def run() -> list[Figure]:
    """The figures."""
    return [
        *cached(),
        *vectors(256),
        *vectors(1024),
        *checks("one pattern", gateway=GatewayPolicies(content_checks=[PATTERN])),
        *checks("guardrail", ai_guardrail_config=GUARDRAIL),
    ]
