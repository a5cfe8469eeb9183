"""Asks one target after another until one begins to answer; nothing of it has reached the caller before that."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time

from agentrun._serving.openai_error import ApiError
from agentrun._serving.upstream import Headers, UpstreamError, UpstreamTimeout
from agentrun.gateway.call import Call
from agentrun.gateway.health import Health
from agentrun.gateway.plan import Plan, Target
from agentrun.gateway.retry_budget import RetryBudget
from agentrun.gateway.router import Choice, Router
from agentrun.gateway.upstreams import NotReached, Reply, Upstreams, Wait, passed_on

# An answer that is not streamed is held back until it is whole, so that one that is cut can be asked for elsewhere.
_MOST_HELD_BACK = 8 * 2**20
_LONGEST_ERROR = 64 * 1024
_DEFAULT_RETRIES = 2
_FIRST_PAUSE_SECONDS = 0.1
# What says that the gateway itself is not welcome at a target; another one may know its key.
_REFUSALS = frozenset((401, 403))


@dataclass
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
        milliseconds = fields.get(b"retry-after-ms")
        found = _seconds(fields.get(b"retry-after", b"").decode("latin-1"))
        return float(milliseconds) / 1000 if milliseconds and milliseconds.isdigit() else found

    def answer(self, attempts: int) -> ApiError:
        """What the caller is told when there is nowhere else to go."""
        headers = {"x-agentrun-endpoint": self.target.name, "x-agentrun-attempts": str(attempts)}
        if self.status:
            if (seconds := self.retry_after) is not None:
                headers |= {"retry-after": f"{seconds:.0f}", "retry-after-ms": f"{seconds * 1000:.0f}"}
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
    """What one call has tried so far."""

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
        tries = Tries()
        choice = self._router.choose(plan, call, ())
        while choice is not None:
            try:
                return await self._attempt(plan, call, choice, deadline, len(tries.failures) + 1, with_usage)
            except Failure as failure:
                tries.failures.append(failure)
                self._on_failure(plan, failure)
            choice = await self._next(plan, call, tries, deadline, budget)
        if not tries.failures:
            raise ApiError(503, f"{plan.name} has no endpoint with a weight", "no_endpoint", type="server_error")
        raise tries.failures[-1].answer(len(tries.failures))

    def _budget(self, plan: Plan) -> RetryBudget:
        budget = self._budgets.get(plan.key)
        if budget is None:
            budget = self._budgets[plan.key] = RetryBudget(self._clock)
        return budget

    async def _next(
        self, plan: Plan, call: Call, tries: Tries, deadline: float | None, budget: RetryBudget
    ) -> Choice | None:
        """Where to try again, None when it is enough."""
        last = tries.failures[-1]
        if (
            last.final
            or not self._worth_another(plan, tries)
            or not budget.may_retry(plan.gateway.retry, free=not last.sent)
        ):
            return None
        choice = self._router.choose(plan, call, tries.keys)
        if choice is not None:
            return choice
        if last.status in _REFUSALS:
            return None
        pause = self._pause(tries)
        longest = plan.gateway.retry.longest_retry_after_seconds
        if pause > longest or (deadline is not None and self._clock() + pause >= deadline):
            return None
        await asyncio.sleep(pause)
        return self._router.choose(plan, call, ())

    def _worth_another(self, plan: Plan, tries: Tries) -> bool:
        everywhere = len(plan.targets) + len(plan.fallbacks) - 1
        most = plan.policies.num_retries
        return len(tries.failures) <= (max(_DEFAULT_RETRIES, everywhere) if most is None else most)

    def _pause(self, tries: Tries) -> float:
        asked = [seconds for failure in tries.failures if (seconds := failure.retry_after) is not None]
        grown = _FIRST_PAUSE_SECONDS * 2 ** (len(tries.failures) - 1)
        return min(asked) if asked else grown * random.uniform(0.5, 1.0)  # spreads load, hides nothing

    async def _attempt(
        self, plan: Plan, call: Call, choice: Choice, deadline: float | None, number: int, with_usage: bool
    ) -> Answer:
        key = choice.target.key
        self._health.begin(key)
        began = self._clock()
        try:
            reply = await self._asked(plan, call, choice, deadline, with_usage=with_usage)
            try:
                first = await self._first(plan, call, choice, reply, deadline)
            except BaseException:
                reply.close()
                raise
        except Failure as failure:
            self._note(plan, failure)
            raise
        except BaseException:
            self._health.end(key)
            raise
        self._health.succeeded(key)
        return Answer(choice, reply, first, number, began, self._clock())

    async def _asked(
        self, plan: Plan, call: Call, choice: Choice, deadline: float | None, *, with_usage: bool
    ) -> Reply:
        body = call.body_for(choice.model, with_usage=with_usage)
        first = self._seconds(plan.gateway.timeouts.first_token_seconds, deadline)
        wait = Wait(plan.gateway.timeouts.connect_seconds, first)
        try:
            return await self._upstreams.ask(choice.target, call.operation, passed_on(call.headers), body, wait)
        except UpstreamError as error:
            raise self._unanswered(choice.target, error) from error

    async def _first(self, plan: Plan, call: Call, choice: Choice, reply: Reply, deadline: float | None) -> bytes:
        """The first part of an answer that is one; all of it where it is not streamed and not too large."""
        if reply.status >= 400:
            raise await self._refused(plan, choice.target, reply)
        media_type = dict(reply.headers).get(b"content-type", b"")
        if b"html" in media_type:
            raise Failure(choice.target, "it answered with a web page instead of the protocol")
        seconds = plan.gateway.timeouts.first_token_seconds
        parts: list[bytes] = []
        size = 0
        try:
            while not reply.is_complete() and size < _MOST_HELD_BACK:
                piece = await reply.piece(self._seconds(seconds, deadline))
                parts.append(piece)
                size += len(piece)
                if b"event-stream" in media_type and _says_something(piece):
                    break
                seconds = plan.gateway.timeouts.between_tokens_seconds
        except UpstreamError as error:
            raise self._unanswered(choice.target, error) from error
        return b"".join(parts)

    async def _refused(self, plan: Plan, target: Target, reply: Reply) -> Failure:
        """The failure that an answer with a status of 400 or more is."""
        body = b""
        try:
            while not reply.is_complete() and len(body) < _LONGEST_ERROR:
                body += await reply.piece(plan.gateway.timeouts.connect_seconds)
        except UpstreamError:
            pass  # What came of it is enough.
        final = reply.status not in plan.gateway.retry.statuses and reply.status not in _REFUSALS
        return Failure(target, _message(body, reply.status), reply.status, reply.headers, body, final=final)

    def _unanswered(self, target: Target, error: UpstreamError) -> Failure:
        if isinstance(error, NotReached):
            return Failure(target, str(error), timed_out=error.timed_out, sent=False)
        return Failure(target, str(error), timed_out=isinstance(error, UpstreamTimeout))

    def _note(self, plan: Plan, failure: Failure) -> None:
        key, seconds = failure.target.key, failure.retry_after
        if failure.final:
            self._health.succeeded(key)
        elif failure.status == 429:
            if seconds:
                self._health.rest(key, min(seconds, plan.gateway.retry.longest_retry_after_seconds))
            else:
                self._health.end(key)
        elif failure.status in _REFUSALS:
            self._health.end(key)
        else:
            self._health.failed(key, plan.gateway.outlier_ejection)

    def _seconds(self, seconds: float | None, deadline: float | None) -> float | None:
        """How long to wait: as a policy says, but not beyond the deadline."""
        if deadline is None:
            return seconds
        left = max(0.001, deadline - self._clock())
        return left if seconds is None else min(seconds, left)


def _says_something(piece: bytes) -> bool:
    """Whether a piece of a stream has an event, and not only comments that keep the connection alive."""
    return not piece.startswith(b":") or b"\ndata:" in piece


def _message(body: bytes, status: int) -> str:
    try:
        found = json.loads(body)["error"]["message"]
    except (ValueError, LookupError, TypeError):
        return f"it answered with status {status}"
    return str(found)


def _seconds(text: str) -> float | None:
    """The seconds of a Retry-After, which may be a date."""
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except ValueError:
        return None
