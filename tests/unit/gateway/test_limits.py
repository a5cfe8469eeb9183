"""Rate limits: what is let in, what is said, and what is corrected afterwards."""

from __future__ import annotations

import json

import pytest

from agentrun._serving.openai_error import ApiError
from agentrun.gateway.call import Call, Caller
from agentrun.gateway.limits.rate_limits import Limits, duration
from agentrun.gateway.plan import Plan
from agentrun.gateway.state.memory import MemoryState
from agentrun.gateway.streaming.usage import Usage
from agentrun.model.policies import (
    GatewayPolicies,
    LimitScope,
    ProxyConfigPolicies,
    ProxyConfigTokenRateLimiter,
    RateLimit,
)
from tests.unit.gateway.clocks import ManualClock
from tests.unit.gateway.counting import CountingState

pytestmark = pytest.mark.asyncio

ANNA, BERT = Caller(key="anna", tenant="acme"), Caller(key="bert", tenant="acme")


def plan_of(*limits: RateLimit, limiter: ProxyConfigTokenRateLimiter | None = None, key: str = "p") -> Plan:
    gateway = GatewayPolicies(rate_limits=list(limits))
    return Plan("shop", key, (), policies=ProxyConfigPolicies(token_rate_limiter=limiter, gateway=gateway))


def call_of(tokens: int = 20, caller: Caller = ANNA) -> Call:
    """A call that is estimated at so many tokens."""
    empty = len(json.dumps({"model": "m", "prompt": ""}))
    body = json.dumps({"model": "m", "prompt": "x" * (4 * tokens - empty)}).encode()
    call = Call.read("completions", body, {}, caller)
    assert call.estimated_tokens == tokens
    return call


async def refusal(limits: Limits, call: Call) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await limits.admit(call)
    return caught.value


async def test_without_limits_the_state_is_not_asked(clock: ManualClock) -> None:
    state = CountingState(clock)
    limits = Limits(plan_of(), state)
    admission = await limits.admit(call_of())
    await limits.settle(admission, Usage(100, 100))
    assert admission.headers == {}
    assert state.asked == 0


async def test_requests_are_limited_and_the_answer_says_how(clock: ManualClock) -> None:
    limits = Limits(plan_of(RateLimit(requests=2)), MemoryState(clock))
    admission = await limits.admit(call_of())
    assert admission.headers["x-ratelimit-limit-requests"] == "2"
    assert admission.headers["x-ratelimit-remaining-requests"] == "1"
    assert admission.headers["x-ratelimit-reset-requests"].startswith("1m")
    assert not [name for name in admission.headers if name.endswith("tokens")]
    clock.advance(18)
    await limits.admit(call_of())
    error = await refusal(limits, call_of())
    assert (error.status, error.code, error.type) == (429, "rate_limit_exceeded", "requests")
    assert error.message.startswith(
        "Rate limit reached for proxy 'shop': the limit is 2 requests per minute, of which 0 are left,"
        " and this call needs 1. Try again in 42."
    )
    assert error.headers["retry-after"] == "43"
    assert 42_000 <= int(error.headers["retry-after-ms"]) <= 42_251
    assert error.headers["x-ratelimit-remaining-requests"] == "0"
    clock.advance(int(error.headers["retry-after-ms"]) / 1000)
    assert (await limits.admit(call_of())).headers["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize(
    ("name", "seconds", "word"),
    [("tps", 1, "second"), ("tpm", 60, "minute"), ("tph", 3600, "hour"), ("tpd", 86400, "day")],
)
async def test_the_limiter_of_the_contract_limits_tokens(
    clock: ManualClock, name: str, seconds: int, word: str
) -> None:
    limits = Limits(plan_of(limiter=ProxyConfigTokenRateLimiter.model_validate({name: 100})), MemoryState(clock))
    await limits.admit(call_of(80))
    error = await refusal(limits, call_of(30))
    assert error.type == "tokens"
    assert f"100 tokens per {word}, of which 20 are left, and this call needs 30" in error.message
    assert seconds <= int(error.headers["retry-after-ms"]) / 1000 <= seconds * 1.005 + 0.001


async def test_usage_replaces_the_estimate(clock: ManualClock) -> None:
    limits = Limits(plan_of(limiter=ProxyConfigTokenRateLimiter(tpm=100, tpd=1000)), MemoryState(clock))
    admission = await limits.admit(call_of(90))
    await refusal(limits, call_of(50))
    await limits.settle(admission, Usage(prompt=30, completion=10))
    second = await limits.admit(call_of(50))
    assert second.headers["x-ratelimit-remaining-tokens"] == "10"
    await limits.settle(second, Usage(prompt=60, completion=50))
    error = await refusal(limits, call_of(20))
    assert "of which 0 are left" in error.message


async def test_a_call_that_used_nothing_gives_all_back_and_one_of_unknown_use_nothing(clock: ManualClock) -> None:
    limits = Limits(plan_of(RateLimit(tokens=100)), MemoryState(clock))
    await limits.settle(await limits.admit(call_of(60)), Usage())
    unknown = await limits.admit(call_of(60))
    await limits.settle(unknown, None)
    assert unknown.headers["x-ratelimit-remaining-tokens"] == "40"
    await refusal(limits, call_of(60))


async def test_what_ended_within_the_estimate_needs_no_correction(clock: ManualClock) -> None:
    state = CountingState(clock)
    limits = Limits(plan_of(RateLimit(tokens=100), RateLimit(requests=5)), state)
    await limits.settle(await limits.admit(call_of(60)), Usage(50, 10))
    assert state.asked == 1
    only_requests = Limits(plan_of(RateLimit(requests=5), key="other"), state)
    await only_requests.settle(await only_requests.admit(call_of(60)), Usage(5, 1))
    assert state.asked == 2


async def test_a_call_larger_than_the_limit_is_told_so_at_once(clock: ManualClock) -> None:
    limits = Limits(plan_of(RateLimit(tokens=1000, window_seconds=3600), RateLimit(tokens=50)), MemoryState(clock))
    error = await refusal(limits, call_of(51))
    assert (error.status, error.type, error.code) == (429, "tokens", "rate_limit_exceeded")
    assert "Request too large for proxy 'shop': it needs about 51 tokens, and the limit is 50 tokens per minute" in (
        error.message
    )
    assert error.headers == {"x-should-retry": "false"}
    assert (await limits.admit(call_of(50))).headers["x-ratelimit-remaining-tokens"] == "0", "nothing was taken"


@pytest.mark.parametrize(
    ("scope", "others", "name"),
    [
        (LimitScope.PROXY, (), "proxy 'shop'"),
        (LimitScope.KEY, (BERT, Caller()), "key 'anna'"),
        (LimitScope.TENANT, (Caller(key="anna", tenant="other"), Caller()), "tenant 'acme'"),
    ],
)
async def test_a_limit_counts_those_of_its_scope_together(
    clock: ManualClock, scope: LimitScope, others: tuple[Caller, ...], name: str
) -> None:
    limits = Limits(plan_of(RateLimit(requests=1, scope=scope)), MemoryState(clock))
    await limits.admit(call_of())
    assert f"for {name}:" in (await refusal(limits, call_of())).message
    for caller in others:
        await limits.admit(call_of(caller=caller))


async def test_calls_without_a_key_are_limited_together(clock: ManualClock) -> None:
    limits = Limits(plan_of(RateLimit(requests=1, scope=LimitScope.KEY)), MemoryState(clock))
    await limits.admit(call_of(caller=Caller()))
    error = await refusal(limits, call_of(caller=Caller(tenant="acme")))
    assert error.message.startswith("Rate limit reached for calls without a key: the limit is 1 requests per minute")


async def test_of_several_limits_the_headers_tell_the_tightest(clock: ManualClock) -> None:
    limits = Limits(
        plan_of(
            RateLimit(requests=100),
            RateLimit(requests=3, window_seconds=10, scope=LimitScope.KEY),
            RateLimit(tokens=1000),
            limiter=ProxyConfigTokenRateLimiter(tpd=900),
        ),
        MemoryState(clock),
    )
    headers = (await limits.admit(call_of(100))).headers
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("3", "2")
    assert (headers["x-ratelimit-limit-tokens"], headers["x-ratelimit-remaining-tokens"]) == ("900", "800")
    assert headers["x-ratelimit-reset-tokens"].startswith("24h")


async def test_two_limits_that_count_the_same_count_once(clock: ManualClock) -> None:
    limits = Limits(plan_of(RateLimit(tokens=500), limiter=ProxyConfigTokenRateLimiter(tpm=100)), MemoryState(clock))
    headers = (await limits.admit(call_of(40))).headers
    assert (headers["x-ratelimit-limit-tokens"], headers["x-ratelimit-remaining-tokens"]) == ("100", "60")


async def test_proxies_are_limited_apart(clock: ManualClock) -> None:
    state = MemoryState(clock)
    for key in ("a", "b"):
        await Limits(plan_of(RateLimit(requests=1), key=key), state).admit(call_of())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0011, "2ms"), (0.9999, "1s"), (1.5, "1.5s"), (59.9999, "1m0s"), (360, "6m0s"), (86400, "24h0m0s")],
)
async def test_times_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
