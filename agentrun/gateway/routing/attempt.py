"""One attempt at a target: its answer, as soon as there is enough of it to be sent on, or why there is none."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from agentrun._core.values import is_object
from agentrun._serving.openai_error import DO_NOT_RETRY, ApiError
from agentrun._serving.upstream import Headers, UpstreamError, UpstreamTimeout
from agentrun.gateway.call import Call
from agentrun.gateway.limits.concurrency import Place, Places
from agentrun.gateway.limits.rate_limits import retry_after
from agentrun.gateway.plan import Plan, Target
from agentrun.gateway.routing.health import Health
from agentrun.gateway.routing.router import Choice
from agentrun.gateway.routing.upstreams import NotReached, Reply, Upstreams, Wait
from agentrun.gateway.streaming.whole_events import end_of_events

# An answer that is not streamed is held back until it is whole, so that one that is cut can be asked for elsewhere.
_MOST_HELD_BACK = 8 * 2**20
# Before a stream has said something it can be asked for elsewhere; comments that keep it alive say nothing.
_LONGEST_BEGINNING = 64 * 1024
_LONGEST_ERROR = 64 * 1024
_UNAUTHORIZED = 401
# What says that the gateway itself is not welcome at a target; another one may know its key.
REFUSALS = frozenset((_UNAUTHORIZED, 403))
_BUSY = frozenset((429, 503))
_SAYS_SOMETHING = re.compile(rb"(?:^|[\r\n])[^:\r\n]")


@dataclass(eq=False)  # compared by identity, as exceptions are, so that it stays hashable
class Failure(Exception):
    """A target did not answer as it should: with an error, or not at all when `status` is 0.

    `final` says that another target would say the same, because the error is about the call itself; `sent` that the
    target may have had the call.
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
            headers |= DO_NOT_RETRY
            return ApiError(502, text, "endpoint_unauthorized", type="server_error", headers=headers)
        if self.status:
            if (seconds := self.retry_after) is not None:
                headers |= retry_after(seconds)
            return ApiError(self.status, self.reason, "upstream_error", headers=headers, raw_body=self.body)
        status, code = (504, "upstream_timeout") if self.timed_out else (502, "upstream_unreachable")
        tried = f" ({attempts} attempts)" if attempts > 1 else ""
        text = f"endpoint {self.target.name}: {self.reason}{tried}"
        return ApiError(status, text, code, type="server_error", headers=headers)


@dataclass
class Answer:
    """An answer that has begun: `first` is its first part, or all of it. Whoever gets it has to end it."""

    choice: Choice
    reply: Reply
    first: bytes
    attempts: int
    began: float
    first_byte: float
    place: Place | None = None

    @property
    def is_stream(self) -> bool:
        """Whether it comes in events."""
        return b"event-stream" in media_type(self.reply)

    @property
    def target(self) -> Target:
        """Who answers."""
        return self.choice.target


@dataclass
class Order:
    """What is asked of whichever target: a call of a plan, the headers that go along, and until when.

    `attempts` and `failures` tell what has been tried so far.
    """

    plan: Plan
    call: Call
    headers: Headers
    deadline: float | None
    with_usage: bool
    attempts: int
    failures: list[Failure]

    @property
    def tried(self) -> set[str]:
        """The targets that were tried."""
        return {failure.target.key for failure in self.failures}

    def has_time(self, now: float, pause: float = 0.0) -> bool:
        """Whether the call can wait so long."""
        if pause > self.plan.gateway.retry.longest_retry_after_seconds:
            return False
        return self.deadline is None or now + pause < self.deadline


class Attempts:
    """Asks targets, and notes what that says of their health; `on_failure` is told of each that failed."""

    def __init__(
        self,
        health: Health,
        places: Places,
        upstreams: Upstreams,
        clock: Callable[[], float],
        on_failure: Callable[[Plan, Failure], None],
    ) -> None:
        self._health = health
        self._places = places
        self._upstreams = upstreams
        self._clock = clock
        self._on_failure = on_failure

    async def ask(self, order: Order, choice: Choice) -> Answer:
        """The answer of a target, which may have to be waited for until it has room; raises Failure, ApiError."""
        if choice.target.concurrency_limit is None:
            return await self._ask(order, choice)
        place = await self._places.enter_target(order.plan, choice.target)
        try:
            answer = await self._ask(order, choice)
        except BaseException:
            await self._places.leave(place)
            raise
        answer.place = place
        return answer

    async def end(self, answer: Answer) -> None:
        """Be done with an answer."""
        answer.reply.close()
        if answer.place:
            await self._places.leave(answer.place)

    async def _ask(self, order: Order, choice: Choice) -> Answer:
        key = choice.target.key
        probe = self._health.begin(key)
        order.attempts += 1
        began = self._clock()
        try:
            reply = await self._sent(order, choice)
            try:
                first = await self._first(order, choice.target, reply, began)
            except BaseException:
                reply.close()
                raise
        except Failure as failure:
            self._failed(order, failure, probe=probe)
            raise
        except BaseException:
            self._health.end(key, probe=probe)
            raise
        self._health.answers(key)
        return Answer(choice, reply, first, order.attempts, began, self._clock())

    async def _sent(self, order: Order, choice: Choice) -> Reply:
        body = order.call.body_for(choice.model, with_usage=order.with_usage)
        timeouts = order.plan.gateway.timeouts
        connect = self._seconds(timeouts.connect_seconds, order.deadline) or 0.0
        wait = Wait(connect, self._seconds(timeouts.first_token_seconds, order.deadline))
        try:
            return await self._upstreams.ask(choice.target, order.call.operation, order.headers, body, wait)
        except UpstreamError as error:
            raise _unanswered(choice.target, error) from error

    async def _first(self, order: Order, target: Target, reply: Reply, began: float) -> bytes:
        """The first part of an answer that is one; all of it where it is not streamed and not too large."""
        if reply.status >= 400:
            raise await self._refused(order.plan, target, reply)
        if reply.status >= 300:
            raise Failure(target, f"it answered with status {reply.status} and not with an answer of a model")
        kind = media_type(reply)
        if b"html" in kind:
            raise Failure(target, "it answered with a web page instead of the protocol")
        limits = order.plan.gateway.timeouts
        until = None if limits.first_token_seconds is None else began + limits.first_token_seconds
        try:
            if b"event-stream" in kind:
                return await self._beginning(target, reply, _sooner(until, order.deadline))
            return await self._whole(order, target, reply, _sooner(until, order.deadline))
        except UpstreamError as error:
            raise _unanswered(target, error) from error

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

    async def _whole(self, order: Order, target: Target, reply: Reply, until: float | None) -> bytes:
        parts: list[bytes] = []
        size, seconds = 0, self._seconds(None, until)
        while not reply.is_complete() and size < _MOST_HELD_BACK:
            parts.append(await reply.piece(seconds))
            size += len(parts[-1])
            seconds = self._seconds(order.plan.gateway.timeouts.between_tokens_seconds, order.deadline)
        if not size:
            raise Failure(target, "its answer is empty")
        return b"".join(parts)

    async def _refused(self, plan: Plan, target: Target, reply: Reply) -> Failure:
        """The failure that an answer with a status of 400 or more is."""
        body = b""
        until = self._clock() + plan.gateway.timeouts.connect_seconds
        with contextlib.suppress(UpstreamError):  # What came of it is enough.
            while not reply.is_complete() and len(body) < _LONGEST_ERROR:
                body += await reply.piece(self._seconds(None, until))
        final = reply.status not in plan.gateway.retry.statuses and reply.status not in REFUSALS
        said = _object(body)
        reason = _message(said) or f"it answered with status {reply.status}"
        return Failure(target, reason, reply.status, reply.headers, body if said else b"", final=final)

    def _failed(self, order: Order, failure: Failure, *, probe: bool) -> None:
        order.failures.append(failure)
        if failure.timed_out and len(order.failures) > 1 and not order.has_time(self._clock()):
            # It was given only what the others had left of the call's time.
            self._health.end(failure.target.key, probe=probe)
        else:
            self._note(order.plan, failure, probe=probe)
        self._on_failure(order.plan, failure)

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


def media_type(reply: Reply) -> bytes:
    """What an answer says that it is."""
    return next((value for name, value in reply.headers if name == b"content-type"), b"")


def _unanswered(target: Target, error: UpstreamError) -> Failure:
    if isinstance(error, NotReached):
        return Failure(target, str(error), timed_out=error.timed_out, sent=False)
    return Failure(target, str(error), timed_out=isinstance(error, UpstreamTimeout))


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
