"""Asks one target after another until one begins to answer; nothing of it has reached the caller before that."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from agentrun._serving.openai_error import DO_NOT_RETRY, ApiError
from agentrun._serving.upstream import Headers, UpstreamError, UpstreamTimeout
from agentrun._serving.values import is_object
from agentrun.gateway.call import Call
from agentrun.gateway.health import Health
from agentrun.gateway.hedge import Attempt, hedged
from agentrun.gateway.plan import Plan, Target
from agentrun.gateway.retry_budget import RetryBudget
from agentrun.gateway.router import Choice, Router
from agentrun.gateway.upstreams import NotReached, Reply, Upstreams, Wait, passed_on
from agentrun.gateway.whole_events import end_of_events

# An answer that is not streamed is held back until it is whole, so that one that is cut can be asked for elsewhere.
_MOST_HELD_BACK = 8 * 2**20
# Before a stream has said something it can be asked for elsewhere; comments that keep it alive say nothing.
_LONGEST_BEGINNING = 64 * 1024
_LONGEST_ERROR = 64 * 1024
_DEFAULT_RETRIES = 2
_FIRST_PAUSE_SECONDS = 0.1
# What says that the gateway itself is not welcome at a target; another one may know its key.
_UNAUTHORIZED = 401
_REFUSALS = frozenset((_UNAUTHORIZED, 403))
_BUSY = frozenset((429, 503))
_SAYS_SOMETHING = re.compile(rb"(?:^|[\r\n])[^:\r\n]")


@dataclass(eq=False)  # compared by identity, as exceptions are, so that it stays hashable
class Failure(Exception):
    """A target did not answer as it should: with an error, or not at all when `status` is 0.

    `final` says that another target would say the same, because the error is about the call itself.
    """

    target: Target
    reason: str
    status: int = 0
    headers: Headers = ()
    body: bytes = b""
    timed_out: bool = False
    sent: bool = True
    final: bool = False

    @property
    def retry_after(self) -> float | None:
        """For how many seconds the target wants to be left alone."""
        fields = dict(self.headers)
        milliseconds = _number(fields.get(b"retry-after-ms", b""))
        return _seconds(fields.get(b"retry-after", b"")) if milliseconds is None else milliseconds / 1000

    def answer(self, attempts: int) -> ApiError:
        """What the caller is told when there is nowhere else to go."""
        headers = {"x-agentrun-endpoint": self.target.name, "x-agentrun-attempts": str(attempts)}
        if self.status == _UNAUTHORIZED:
            # To the caller this status would speak of its own key.
            text = f"endpoint {self.target.name} does not accept the gateway's API key"
            return ApiError(
                502, text, "endpoint_unauthorized", type="server_error", headers={**headers, **DO_NOT_RETRY}
            )
        if self.status:
            if (seconds := self.retry_after) is not None:
                headers |= _retry_after(seconds)
            return ApiError(self.status, self.reason, "upstream_error", headers=headers, raw_body=self.body)
        status, code = (504, "upstream_timeout") if self.timed_out else (502, "upstream_unreachable")
        tried = f" ({attempts} attempts)" if attempts > 1 else ""
        text = f"endpoint {self.target.name}: {self.reason}{tried}"
        return ApiError(status, text, code, type="server_error", headers=headers)


@dataclass
class Answer:
    """An answer that has begun: `first` is its first part, or all of it."""

    choice: Choice
    reply: Reply
    first: bytes
    attempts: int
    began: float
    first_byte: float

    @property
    def target(self) -> Target:
        """Who answers."""
        return self.choice.target


@dataclass
class Tries:
    """What one call has tried so far, and by when it wants to be answered."""

    deadline: float | None
    with_usage: bool
    attempts: int = 0
    failures: list[Failure] = field(default_factory=list[Failure])

    @property
    def keys(self) -> set[str]:
        """The targets that were tried."""
        return {failure.target.key for failure in self.failures}


class Failover:
    """Finds an answer to a call, wherever one is to be had."""

    def __init__(
        self,
        router: Router,
        health: Health,
        upstreams: Upstreams,
        clock: Callable[[], float],
        on_failure: Callable[[Plan, Failure], None],
    ) -> None:
        self._router = router
        self._health = health
        self._upstreams = upstreams
        self._clock = clock
        self._on_failure = on_failure
        self._budgets: dict[str, RetryBudget] = {}

    async def answer(self, plan: Plan, call: Call, deadline: float | None, *, with_usage: bool) -> Answer:
        """The answer of the first target that gives one; raises ApiError when none does before the deadline."""
        budget = self._budget(plan)
        budget.called()
        tries = Tries(deadline, with_usage)
        choice = self._router.choose(plan, call, ())
        while choice is not None:
            choice = await self._rested(plan, call, choice, tries)
            try:
                answer = await self._asked(plan, call, choice, tries, budget)
            except Failure:
                choice = await self._next(plan, call, tries, budget)
            else:
                answer.attempts = tries.attempts
                return answer
        if not tries.failures:
            raise ApiError(503, f"{plan.name} has no endpoint with a weight", "no_endpoint", type="server_error")
        raise tries.failures[-1].answer(tries.attempts)

    def _budget(self, plan: Plan) -> RetryBudget:
        budget = self._budgets.get(plan.key)
        if budget is None:
            budget = self._budgets[plan.key] = RetryBudget(self._clock)
        return budget

    async def _rested(self, plan: Plan, call: Call, choice: Choice, tries: Tries) -> Choice:
        """The choice, once it does not want to be left alone any more; raises ApiError when that is too late."""
        seconds = self._health.rests(choice.target.key)
        if not seconds:
            return choice
        if not self._has_time(plan, tries, seconds):
            text = f"endpoint {choice.target.name} wants to be left alone for {seconds:.1f} s"
            raise ApiError(429, text, "upstream_busy", type="rate_limit_error", headers=_retry_after(seconds))
        await asyncio.sleep(seconds)
        return self._router.choose(plan, call, ()) or choice

    async def _next(self, plan: Plan, call: Call, tries: Tries, budget: RetryBudget) -> Choice | None:
        """Where to try again, None when it is enough."""
        last = tries.failures[-1]
        if (
            last.final
            or not self._has_time(plan, tries)
            or not self._worth_another(plan, tries)
            or not budget.may_retry(plan.gateway.retry, free=not last.sent)
        ):
            return None
        choice = self._router.choose(plan, call, tries.keys)
        if choice is not None and not self._health.rests(choice.target.key):
            return choice
        if last.status in _REFUSALS:
            return None
        pause = self._pause(tries)
        if not self._has_time(plan, tries, pause):
            return None
        await asyncio.sleep(pause)
        return self._router.choose(plan, call, ())

    def _has_time(self, plan: Plan, tries: Tries, pause: float = 0.0) -> bool:
        """Whether a call can wait so long."""
        if pause > plan.gateway.retry.longest_retry_after_seconds:
            return False
        return tries.deadline is None or self._clock() + pause < tries.deadline

    def _worth_another(self, plan: Plan, tries: Tries) -> bool:
        everywhere = len(plan.targets) + len(plan.fallbacks) - 1
        most = plan.policies.num_retries
        return len(tries.failures) <= (max(_DEFAULT_RETRIES, everywhere) if most is None else most)

    def _pause(self, tries: Tries) -> float:
        asked = [seconds for failure in tries.failures if (seconds := failure.retry_after) is not None]
        grown = _FIRST_PAUSE_SECONDS * 2 ** (len(tries.failures) - 1)
        return min(asked) if asked else grown * random.uniform(0.5, 1.0)  # spreads load, hides nothing

    async def _asked(self, plan: Plan, call: Call, choice: Choice, tries: Tries, budget: RetryBudget) -> Answer:
        """The answer of a target, or that of another one when it is slow and hedging is on; raises Failure."""
        after = plan.gateway.retry.hedge_after_seconds
        if after is None:
            return await self._attempt(plan, call, choice, tries)
        asked = {choice.target.key, *tries.keys}

        def second() -> Attempt[Answer] | None:
            other = self._router.another(plan, call, asked)
            if other is None or not budget.may_retry(plan.gateway.retry, free=False):
                return None
            return self._attempt(plan, call, other, tries)

        first = self._attempt(plan, call, choice, tries)
        return await hedged(first, after, second, lambda late: late.reply.close())

    async def _attempt(self, plan: Plan, call: Call, choice: Choice, tries: Tries) -> Answer:
        key = choice.target.key
        probe = self._health.begin(key)
        tries.attempts += 1
        began = self._clock()
        try:
            reply = await self._sent(plan, call, choice, tries)
            try:
                first = await self._first(plan, choice.target, reply, began, tries.deadline)
            except BaseException:
                reply.close()
                raise
        except Failure as failure:
            tries.failures.append(failure)
            if failure.timed_out and len(tries.failures) > 1 and not self._has_time(plan, tries):
                self._health.end(key, probe=probe)  # It was given only what the others had left of the call's time.
            else:
                self._note(plan, failure, probe=probe)
            self._on_failure(plan, failure)
            raise
        except BaseException:
            self._health.end(key, probe=probe)
            raise
        self._health.answers(key)
        return Answer(choice, reply, first, tries.attempts, began, self._clock())

    async def _sent(self, plan: Plan, call: Call, choice: Choice, tries: Tries) -> Reply:
        body = call.body_for(choice.model, with_usage=tries.with_usage)
        first = self._seconds(plan.gateway.timeouts.first_token_seconds, tries.deadline)
        wait = Wait(self._seconds(plan.gateway.timeouts.connect_seconds, tries.deadline) or 0.0, first)
        try:
            return await self._upstreams.ask(choice.target, call.operation, passed_on(call.headers), body, wait)
        except UpstreamError as error:
            raise self._unanswered(choice.target, error) from error

    async def _first(self, plan: Plan, target: Target, reply: Reply, began: float, deadline: float | None) -> bytes:
        """The first part of an answer that is one; all of it where it is not streamed and not too large."""
        if reply.status >= 400:
            raise await self._refused(plan, target, reply)
        media_type = dict(reply.headers).get(b"content-type", b"")
        if reply.status >= 300:
            raise Failure(target, f"it answered with status {reply.status} and not with an answer of a model")
        if b"html" in media_type:
            raise Failure(target, "it answered with a web page instead of the protocol")
        limits = plan.gateway.timeouts
        until = None if limits.first_token_seconds is None else began + limits.first_token_seconds
        try:
            if b"event-stream" in media_type:
                return await self._beginning(target, reply, _sooner(until, deadline))
            return await self._whole(target, reply, _sooner(until, deadline), limits.between_tokens_seconds, deadline)
        except UpstreamError as error:
            raise self._unanswered(target, error) from error

    async def _beginning(self, target: Target, reply: Reply, until: float | None) -> bytes:
        """What a stream sends until its first event, which is no comment, is whole."""
        begun = b""
        while not reply.is_complete() and len(begun) < _LONGEST_BEGINNING:
            begun += await reply.piece(self._seconds(None, until))
            if _SAYS_SOMETHING.search(begun, 0, end_of_events(begun)):
                return begun
        if reply.is_complete() and not _SAYS_SOMETHING.search(begun):
            raise Failure(target, "its stream ended without an event")
        return begun

    async def _whole(
        self, target: Target, reply: Reply, until: float | None, between: float | None, deadline: float | None
    ) -> bytes:
        parts: list[bytes] = []
        size, seconds = 0, self._seconds(None, until)
        while not reply.is_complete() and size < _MOST_HELD_BACK:
            parts.append(await reply.piece(seconds))
            size += len(parts[-1])
            seconds = self._seconds(between, deadline)
        if not size:
            raise Failure(target, "its answer is empty")
        return b"".join(parts)

    async def _refused(self, plan: Plan, target: Target, reply: Reply) -> Failure:
        """The failure that an answer with a status of 400 or more is."""
        body = b""
        until = self._clock() + plan.gateway.timeouts.connect_seconds
        try:
            while not reply.is_complete() and len(body) < _LONGEST_ERROR:
                body += await reply.piece(self._seconds(None, until))
        except UpstreamError:
            pass  # What came of it is enough.
        final = reply.status not in plan.gateway.retry.statuses and reply.status not in _REFUSALS
        said = _object(body)
        reason = _message(said) or f"it answered with status {reply.status}"
        return Failure(target, reason, reply.status, reply.headers, body if said else b"", final=final)

    def _unanswered(self, target: Target, error: UpstreamError) -> Failure:
        if isinstance(error, NotReached):
            return Failure(target, str(error), timed_out=error.timed_out, sent=False)
        return Failure(target, str(error), timed_out=isinstance(error, UpstreamTimeout))

    def _note(self, plan: Plan, failure: Failure, *, probe: bool) -> None:
        key, seconds = failure.target.key, failure.retry_after
        if failure.final:
            self._health.succeeded(key)
        elif failure.status in _BUSY and seconds:
            self._health.rest(key, min(seconds, plan.gateway.retry.longest_retry_after_seconds))
        elif failure.status in (403, 429):
            self._health.end(key, probe=probe)
        else:
            self._health.failed(key, plan.gateway.outlier_ejection, probe=probe)

    def _seconds(self, seconds: float | None, deadline: float | None) -> float | None:
        """How long to wait: as a policy says, but not beyond the deadline."""
        if deadline is None:
            return seconds
        left = max(0.001, deadline - self._clock())
        return left if seconds is None else min(seconds, left)


def _sooner(one: float | None, other: float | None) -> float | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _object(body: bytes) -> dict[str, Any]:
    """The object that an error is told in, empty when it is none."""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if is_object(found) else {}


def _message(said: dict[str, Any]) -> str:
    error: Any = said.get("error")
    return str(error.get("message") or "") if is_object(error) else ""


def _retry_after(seconds: float) -> dict[str, str]:
    return {"retry-after": f"{math.ceil(seconds)}", "retry-after-ms": f"{math.ceil(seconds * 1000)}"}


def _number(text: bytes) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return max(0.0, found) if math.isfinite(found) else None


def _seconds(text: bytes) -> float | None:
    """The seconds of a Retry-After, which may be a date."""
    found = _number(text)
    if found is not None or not text:
        return found
    try:
        return max(0.0, parsedate_to_datetime(text.decode("latin-1")).timestamp() - time())
    except (ValueError, OverflowError):
        return None
