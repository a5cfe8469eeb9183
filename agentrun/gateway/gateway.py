"""A call from its beginning to its end: found an answer for, relayed, and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from agentrun._serving.asgi import Receive, Send
from agentrun._serving.openai_error import ApiError
from agentrun.gateway.attempt import Answer, Attempts, Failure, Order
from agentrun.gateway.call import OPERATIONS, Call
from agentrun.gateway.failover import Failover
from agentrun.gateway.health import Health
from agentrun.gateway.outlet import CallerGone, Outlet, Presence
from agentrun.gateway.plan import Plan
from agentrun.gateway.relay import BrokenOff, Filter, relay
from agentrun.gateway.router import Router
from agentrun.gateway.stats import EndpointStats, ProxyStats, Stats
from agentrun.gateway.upstreams import HTTPUpstreams, Upstreams, passed_on
from agentrun.gateway.usage import StreamUsage, Usage, estimate_tokens, find_usage
from agentrun.gateway.usage_event import WithoutUsageEvent

log = logging.getLogger("agentrun.gateway")

CALLER_GONE = 499


class Gateway:
    """Serves calls by their plans; whoever mounts it says which plan a call belongs to, and who calls."""

    def __init__(self, upstreams: Upstreams | None = None, clock: Callable[[], float] = monotonic) -> None:
        self.stats = Stats()
        self._clock = clock
        self._upstreams = upstreams or HTTPUpstreams()
        self._health = Health(clock)
        attempts = Attempts(self._health, self._upstreams, clock)
        self._failover = Failover(Router(self._health), attempts, clock, self._failed)

    async def serve(self, plan: Plan, call: Call, receive: Receive, send: Send) -> int:
        """Answer a call; returns the status. What goes wrong is told to the caller."""
        outlet = Outlet(send)
        stats = self.stats.proxy(plan.key, plan.name)
        stats.requests += 1
        stats.in_flight += 1
        try:
            with Presence(receive):
                await self._answer(plan, call, outlet, stats)
        except CallerGone:
            return CALLER_GONE
        except ApiError as error:
            stats.errors += 1
            await outlet.fail(error)
        except BrokenOff as error:
            stats.errors += 1
            log.warning("%s: %s", plan.name, error)
        finally:
            stats.in_flight -= 1
        return outlet.status

    async def show(self, plan: Plan) -> dict[str, Any]:
        """The counts of a proxy."""
        stats = self.stats.proxy(plan.key, plan.name)
        named = {target.key: target.name for target in plan.targets}
        for key, name in named.items():
            stats.endpoint(key, name)
        return {
            "proxy": plan.name,
            "requests": stats.requests,
            "errors": stats.errors,
            "refused": sum(stats.refused.values()),
            "cacheHits": stats.cache["hit"] + stats.cache["semantic"],
            "inFlight": stats.in_flight,
            "queued": 0,
            "tokens": stats.tokens.to_json(),
            "cost": stats.cost,
            "currency": plan.gateway.currency,
            "endpoints": [
                endpoint.to_json(healthy=self._health.is_in(key)) for key, endpoint in stats.endpoints.items()
            ],
            "budgets": [],
        }

    async def start(self) -> None:
        """Begin to work."""

    async def close(self) -> None:
        """Close connections."""
        self._upstreams.close()

    async def _answer(self, plan: Plan, call: Call, outlet: Outlet, stats: ProxyStats) -> None:
        total = plan.policies.request_timeout
        deadline = None if total is None else self._clock() + total
        counts = bool(plan.gateway.prices)
        order = Order(plan, call, passed_on(call.headers), deadline, with_usage=counts)
        answer = await self._failover.answer(order)
        endpoint = stats.endpoint(answer.target.key, answer.target.name)
        endpoint.requests += 1
        endpoint.in_flight += 1
        reader = StreamUsage()
        try:
            filters: list[Filter] = []
            if counts and call.stream and not call.wants_usage:
                filters.append(WithoutUsageEvent())
            await relay(answer, outlet, [reader.feed], filters, lambda: self._until_next(plan, deadline))
        except BrokenOff:
            endpoint.errors["broke_off"] += 1
            self._health.failed(answer.target.key, plan.gateway.outlier_ejection)
            raise
        finally:
            answer.reply.close()
            endpoint.in_flight -= 1
            self._count(call, answer, reader, stats, endpoint)

    def _count(
        self, call: Call, answer: Answer, reader: StreamUsage, stats: ProxyStats, endpoint: EndpointStats
    ) -> None:
        usage = _usage(call, answer, reader)
        stats.tokens.add(usage)
        endpoint.tokens.add(usage)
        endpoint.first_token.observe(answer.first_byte - answer.began)
        endpoint.latency.observe(self._clock() - answer.began)

    def _failed(self, plan: Plan, failure: Failure) -> None:
        endpoint = self.stats.proxy(plan.key, plan.name).endpoint(failure.target.key, failure.target.name)
        endpoint.errors[str(failure.status or ("timeout" if failure.timed_out else "unreachable"))] += 1
        log.info("%s: endpoint %s failed: %s", plan.name, failure.target.name, failure.reason)

    def _until_next(self, plan: Plan, deadline: float | None) -> float | None:
        """How long the next piece of a stream may take, in seconds."""
        between = plan.gateway.timeouts.between_tokens_seconds
        if deadline is None:
            return between
        left = max(0.001, deadline - self._clock())
        return left if between is None else min(between, left)


def _usage(call: Call, answer: Answer, reader: StreamUsage) -> Usage:
    """What the answer says that was used, or an estimate."""
    whole = answer.first if answer.reply.is_complete() else b""
    found = reader.usage or find_usage(whole)
    if found:
        return found
    completion = reader.events if call.stream else estimate_tokens(len(whole))
    return Usage(estimate_tokens(len(call.body)), completion, estimated=True)


def check_operation(operation: str) -> None:
    """Raise ApiError (404) for what a gateway does not pass on."""
    if operation not in OPERATIONS:
        known = ", ".join(f"/v1/{name}" for name in sorted(OPERATIONS | {"models"}))
        raise ApiError(404, f"There is no /v1/{operation}: a gateway serves {known}.", "not_found")
