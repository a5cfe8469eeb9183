"""A call from its beginning to its end: let in, found an answer for, relayed, and counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from agentrun._serving.asgi import Receive, Send
from agentrun._serving.openai_error import ApiError
from agentrun.gateway.cache.answer_cache import CACHE_HEADER, CachedAnswer, Lookup, Recorder
from agentrun.gateway.call import OPERATIONS, Call
from agentrun.gateway.governance import Governance, govern
from agentrun.gateway.limits.concurrency import Places
from agentrun.gateway.observability.stats import ProxyStats, Stats
from agentrun.gateway.observability.tracing import CallSpan, Tracing
from agentrun.gateway.outlet import CallerGone, Outlet, Presence
from agentrun.gateway.plan import Plan, PlanError
from agentrun.gateway.relay import BrokenOff, Filter, OutOfTimeError, relay
from agentrun.gateway.routing.attempt import Answer, Attempts, Failure, Order
from agentrun.gateway.routing.failover import Failover
from agentrun.gateway.routing.health import Health
from agentrun.gateway.routing.router import Router
from agentrun.gateway.routing.upstreams import HTTPUpstreams, Upstreams, passed_on
from agentrun.gateway.safety.checks import SAFETY_HEADER, CheckFunction, Verdict, safety_header
from agentrun.gateway.safety.screen import Screen
from agentrun.gateway.state.base import State
from agentrun.gateway.state.memory import MemoryState
from agentrun.gateway.streaming.usage import StreamUsage, Usage, estimate_tokens, find_usage
from agentrun.gateway.streaming.usage_event import WithoutUsageEvent

log = logging.getLogger("agentrun.gateway")

CALLER_GONE = 499
_LEARN_EVERY_SECONDS = 0.5
# Timers of event loops may be early by so many seconds.
_SOON = 0.002


@dataclass
class _Work:
    """One call under way."""

    plan: Plan
    call: Call
    outlet: Outlet
    stats: ProxyStats
    governance: Governance
    span: CallSpan | None = None
    deadline: float | None = None
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    verdicts: list[Verdict] = field(default_factory=list[Verdict])

    def note(self, verdicts: list[Verdict]) -> None:
        """Tell the caller what the checks found, as long as headers can be sent."""
        self.verdicts += verdicts
        if self.verdicts:
            self.outlet.headers[SAFETY_HEADER] = safety_header(self.verdicts)


class _Screening:
    """The checks of an answer as a filter of it."""

    def __init__(self, screen: Screen, work: _Work) -> None:
        self._screen = screen
        self._work = work

    @property
    def ended(self) -> bool:
        """Whether a check has ended the answer."""
        return self._screen.blocked

    async def feed(self, piece: bytes) -> bytes:
        """What of this piece, and of those before, may go on."""
        return await self._screen.feed(piece)

    async def finish(self) -> bytes:
        """What is still to go on at the end."""
        rest = await self._screen.finish()
        self._work.note(self._screen.verdicts)
        return rest


class Gateway:
    """Serves calls by their plans; whoever mounts it says which plan a call belongs to, and who calls.

    `functions` are the content checks that plans may name; `tracing` makes a span of each call.
    """

    def __init__(
        self,
        state: State | None = None,
        upstreams: Upstreams | None = None,
        *,
        functions: Mapping[str, CheckFunction] | None = None,
        tracing: Tracing | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.stats = Stats()
        self._clock = clock
        self._state = state or MemoryState()
        self._upstreams = upstreams or HTTPUpstreams()
        self._functions = functions or {}
        self._tracing = tracing
        self._health = Health(clock, self._tell if self._state.shared else None)
        self._places = Places(self._state, clock)
        self._attempts = Attempts(self._health, self._places, self._upstreams, clock, self._failed)
        self._failover = Failover(Router(self._health, self._places), self._health, self._attempts, clock)
        self._governances: dict[str, Governance] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to work; gateways that share state learn from each other who is left out."""
        if self._state.shared:
            self._spawn(self._learn())

    async def close(self) -> None:
        """End what goes on in the background, and close connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._places.close()
        self._upstreams.close()
        await self._state.close()

    async def serve(self, plan: Plan, call: Call, receive: Receive, send: Send) -> int:
        """Answer a call; returns the status. What goes wrong is told to the caller."""
        outlet = Outlet(send)
        stats = self.stats.proxy(plan.key, plan.name)
        stats.requests += 1
        stats.in_flight += 1
        span = self._tracing.begin(plan, call) if self._tracing else None
        try:
            with Presence(receive):
                await self._answer(_Work(plan, call, outlet, stats, self._governance(plan), span))
        except CallerGone:
            return CALLER_GONE
        except ApiError as error:
            self._refused(stats, span, error)
            await outlet.fail(error)
        except BrokenOff as error:
            stats.errors += 1
            if span:
                span.failed("upstream_broke_off", str(error))
            log.warning("%s: %s", plan.name, error)
        finally:
            stats.in_flight -= 1
            if span:
                span.end()
        return outlet.status

    def check(self, plan: Plan) -> None:
        """Raise PlanError when a policy of a plan cannot be followed here."""
        govern(plan, self._state, self._upstreams, self._functions)

    async def show(self, plan: Plan) -> dict[str, Any]:
        """The counts of a proxy."""
        stats = self.stats.proxy(plan.key, plan.name)
        for target in plan.targets:
            stats.endpoint(target.key, target.name)
        return {
            "proxy": plan.name,
            "requests": stats.requests,
            "errors": stats.errors,
            "refused": sum(stats.refused.values()),
            "cacheHits": stats.cache["hit"] + stats.cache["semantic"],
            "inFlight": stats.in_flight,
            "queued": self._places.proxy_load(plan).queued,
            "tokens": stats.tokens.to_json(),
            "cost": stats.cost,
            "currency": plan.gateway.currency,
            "endpoints": [
                endpoint.to_json(healthy=self._health.is_in(key)) for key, endpoint in stats.endpoints.items()
            ],
            "budgets": await self._governance(plan).budgets.report(),
        }

    # One call

    async def _answer(self, work: _Work) -> None:
        """Everything before and after an answer is found: what may not pass, what is known already, what it costs."""
        plan, rules = work.plan, work.governance
        if warning := await rules.budgets.check(work.call):
            work.outlet.headers["x-agentrun-budget"] = warning
        if rules.safety and rules.safety.on_request:
            work.call, verdicts = await rules.safety.check_request(work.call)
            work.note(verdicts)
        if rules.cache is None:
            await self._governed(work, None)
            return
        with rules.cache.lookup(work.call, work.call.model or plan.name) as lookup:
            found = await lookup.find()
            work.stats.cache[lookup.outcome] += 1
            work.outlet.headers[CACHE_HEADER] = lookup.outcome
            if found is None:
                await self._governed(work, lookup)
            else:
                await self._replayed(work, found)

    async def _replayed(self, work: _Work, found: CachedAnswer) -> None:
        """Send a kept answer; it was kept as it came, so it is checked like any other."""
        body, screening = found.body, self._screening(work, stream=work.call.stream)
        if screening:
            body = await screening.feed(body) + await screening.finish()
        await work.outlet.whole(200, body, {}, found.content_type)

    async def _governed(self, work: _Work, lookup: Lookup | None) -> None:
        """Take what a call needs of limits and places, and give back or add what it turns out to use."""
        rules = work.governance
        admission = await rules.limits.admit(work.call)
        work.outlet.headers.update(admission.headers)
        try:
            async with self._place(work.plan):
                await self._relayed(work, lookup)
        finally:
            if rules.counts:
                await rules.limits.settle(admission, work.usage)
                await rules.budgets.spend(work.call.caller, work.usage, work.cost)

    @asynccontextmanager
    async def _place(self, plan: Plan) -> AsyncGenerator[None]:
        if plan.policies.concurrency_limit is None:
            yield
            return
        place = await self._places.enter_proxy(plan)
        try:
            yield
        finally:
            await self._places.leave(place)

    async def _relayed(self, work: _Work, lookup: Lookup | None) -> None:
        """Find an answer, and send it on."""
        plan, total = work.plan, work.plan.policies.request_timeout
        work.deadline = None if total is None else self._clock() + total
        headers = {**work.call.headers, **work.span.headers} if work.span else work.call.headers
        counts = work.governance.counts
        answer = await self._failover.answer(
            Order(plan, work.call, passed_on(headers), work.deadline, counts, attempts=0, failures=[])
        )
        endpoint = work.stats.endpoint(answer.target.key, answer.target.name)
        endpoint.requests += 1
        endpoint.in_flight += 1
        if work.span:
            work.span.answered(answer)
        reader = StreamUsage()
        recorder = lookup.recorder() if lookup else None
        try:
            await self._passed(work, answer, reader, recorder)
            self._health.succeeded(answer.target.key)
        except BrokenOff as error:
            if error.by_target:
                endpoint.errors["broke_off"] += 1
                self._health.failed(answer.target.key, plan.gateway.outlier_ejection)
            raise
        finally:
            endpoint.in_flight -= 1
            self._count(work, answer, reader)
            await self._attempts.end(answer)
        # What another model answered instead is no answer of the model that was asked.
        if recorder and answer.reply.is_complete() and answer.target in plan.targets:
            await recorder.keep()

    async def _passed(self, work: _Work, answer: Answer, reader: StreamUsage, recorder: Recorder | None) -> None:
        taps = [reader.feed, recorder.feed] if recorder else [reader.feed]
        filters: list[Filter] = []
        if work.governance.counts and work.call.stream and not work.call.wants_usage:
            filters.append(WithoutUsageEvent())
        if screening := self._screening(work, stream=answer.is_stream):
            filters.append(screening)
        await relay(answer, work.outlet, taps, filters, lambda: self._until_next(work))

    def _screening(self, work: _Work, *, stream: bool) -> _Screening | None:
        safety = work.governance.safety
        screen = safety.screen(work.call.operation, stream=stream) if safety else None
        return _Screening(screen, work) if screen else None

    def _count(self, work: _Work, answer: Answer, reader: StreamUsage) -> None:
        work.usage = usage = _usage(work.call, answer, reader)
        work.cost = cost = work.governance.cost(usage, work.call.model, answer.choice.model, work.plan.name)
        endpoint = work.stats.endpoint(answer.target.key, answer.target.name)
        work.stats.tokens.add(usage)
        endpoint.tokens.add(usage)
        endpoint.first_token.observe(answer.first_byte - answer.began)
        endpoint.latency.observe(self._clock() - answer.began)
        if cost is not None:
            work.stats.cost += cost
            endpoint.cost += cost
        if work.span:
            work.span.used(usage, cost)

    def _until_next(self, work: _Work) -> float | None:
        """How long the next piece of an answer may take, in seconds; raises OutOfTimeError."""
        between = work.plan.gateway.timeouts.between_tokens_seconds
        if work.deadline is None:
            return between
        left = work.deadline - self._clock()
        if left < _SOON:
            total = work.plan.policies.request_timeout
            raise OutOfTimeError(f"the call took longer than its {total} s (request_timeout)")
        return left if between is None else min(between, left)

    # Around it

    def _governance(self, plan: Plan) -> Governance:
        found = self._governances.get(plan.key)
        if found is None or found.plan is not plan:
            try:
                found = self._governances[plan.key] = govern(plan, self._state, self._upstreams, self._functions)
            except PlanError as error:
                raise ApiError(409, f"{plan.name}: {error}", "not_ready") from error
            self.stats.proxy(plan.key, plan.name).currency = plan.gateway.currency
        return found

    def _refused(self, stats: ProxyStats, span: CallSpan | None, error: ApiError) -> None:
        stats.errors += 1
        code = error.code or str(error.status)
        if error.status in (400, 409, 429) and "x-agentrun-endpoint" not in error.headers:
            stats.refused[code] += 1
        if span:
            span.failed(code, error.message)

    def _failed(self, plan: Plan, failure: Failure) -> None:
        endpoint = self.stats.proxy(plan.key, plan.name).endpoint(failure.target.key, failure.target.name)
        endpoint.errors[str(failure.status or ("timeout" if failure.timed_out else "unreachable"))] += 1
        log.info("%s: endpoint %s failed: %s", plan.name, failure.target.name, failure.reason)

    def _tell(self, key: str, seconds: float) -> None:
        """Let other gateways know that a target is left out, or is back."""
        self._spawn(self._state.eject(key, seconds))

    async def _learn(self) -> None:
        while True:
            await asyncio.sleep(_LEARN_EVERY_SECONDS)
            with contextlib.suppress(Exception):  # The state says itself that it cannot be reached.
                self._health.learn(await self._state.ejected())

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _usage(call: Call, answer: Answer, reader: StreamUsage) -> Usage:
    """What the answer says that was used, or an estimate."""
    whole = answer.first if answer.reply.is_complete() else b""
    found = reader.finish() or find_usage(whole)
    if found:
        return found
    completion = reader.events if call.stream else estimate_tokens(len(whole))
    return Usage(estimate_tokens(len(call.body)), completion, estimated=True)


def check_operation(operation: str) -> None:
    """Raise ApiError (404) for what a gateway does not pass on."""
    if operation not in OPERATIONS:
        known = ", ".join(f"/v1/{name}" for name in sorted(OPERATIONS | {"models"}))
        raise ApiError(404, f"There is no /v1/{operation}: a gateway serves {known}.", "not_found")
