"""One attempt at a target: its answer, as soon as there is enough of it to be sent on, or why there is none."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time

from agentrun._serving.openai_error import ApiError
from agentrun._serving.upstream import Headers, UpstreamError, UpstreamTimeout
from agentrun.gateway.call import Call
from agentrun.gateway.health import Health
from agentrun.gateway.plan import Plan, Target
from agentrun.gateway.router import Choice
from agentrun.gateway.upstreams import NotReached, Reply, Upstreams, Wait

# An answer that is not streamed is held back until it is whole, so that one that is cut can be asked for elsewhere.
_MOST_HELD_BACK = 8 * 2**20
_LONGEST_ERROR = 64 * 1024
# What says that the gateway itself is not welcome at a target; another one may know its key.
REFUSALS = frozenset((401, 403))


@dataclass
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
    def is_stream(self) -> bool:
        """Whether it comes in events."""
        return b"event-stream" in _media_type(self.reply)

    @property
    def target(self) -> Target:
        """Who answers."""
        return self.choice.target


@dataclass(frozen=True)
class Order:
    """What is asked of whichever target: a call of a plan, the headers that go along, and until when."""

    plan: Plan
    call: Call
    headers: Headers = ()
    deadline: float | None = None
    with_usage: bool = False


class Attempts:
    """Asks targets, and notes what that says of their health."""

    def __init__(self, health: Health, upstreams: Upstreams, clock: Callable[[], float]) -> None:
        self._health = health
        self._upstreams = upstreams
        self._clock = clock

    async def ask(self, order: Order, choice: Choice, number: int) -> Answer:
        """The answer of a target; raises Failure."""
        key = choice.target.key
        self._health.begin(key)
        began = self._clock()
        try:
            reply = await self._asked(order, choice)
            try:
                first = await self._first(order, choice, reply)
            except BaseException:
                reply.close()
                raise
        except Failure as failure:
            self._note(order.plan, failure)
            raise
        except BaseException:
            self._health.end(key)
            raise
        self._health.succeeded(key)
        return Answer(choice, reply, first, number, began, self._clock())

    async def _asked(self, order: Order, choice: Choice) -> Reply:
        body = order.call.body_for(choice.model, with_usage=order.with_usage)
        timeouts = order.plan.gateway.timeouts
        wait = Wait(timeouts.connect_seconds, self._seconds(timeouts.first_token_seconds, order))
        try:
            return await self._upstreams.ask(choice.target, order.call.operation, order.headers, body, wait)
        except UpstreamError as error:
            raise _unanswered(choice.target, error) from error

    async def _first(self, order: Order, choice: Choice, reply: Reply) -> bytes:
        """The first part of an answer that is one; all of it where it is not streamed and not too large."""
        if reply.status >= 400:
            raise await self._refused(order.plan, choice.target, reply)
        media_type = _media_type(reply)
        if b"html" in media_type:
            raise Failure(choice.target, "it answered with a web page instead of the protocol")
        try:
            return await self._begun(order, reply, stream=b"event-stream" in media_type)
        except UpstreamError as error:
            raise _unanswered(choice.target, error) from error

    async def _begun(self, order: Order, reply: Reply, *, stream: bool) -> bytes:
        timeouts = order.plan.gateway.timeouts
        seconds = timeouts.first_token_seconds
        parts: list[bytes] = []
        size = 0
        while not reply.is_complete() and size < _MOST_HELD_BACK:
            parts.append(await reply.piece(self._seconds(seconds, order)))
            size += len(parts[-1])
            if stream and _says_something(parts[-1]):
                break
            seconds = timeouts.first_token_seconds if stream else timeouts.between_tokens_seconds
        return b"".join(parts)

    async def _refused(self, plan: Plan, target: Target, reply: Reply) -> Failure:
        """The failure that an answer with a status of 400 or more is."""
        body = b""
        with contextlib.suppress(UpstreamError):  # What came of it is enough.
            while not reply.is_complete() and len(body) < _LONGEST_ERROR:
                body += await reply.piece(plan.gateway.timeouts.connect_seconds)
        final = reply.status not in plan.gateway.retry.statuses and reply.status not in REFUSALS
        return Failure(target, _message(body, reply.status), reply.status, reply.headers, body, final=final)

    def _note(self, plan: Plan, failure: Failure) -> None:
        key, seconds = failure.target.key, failure.retry_after
        if failure.final:
            self._health.succeeded(key)
        elif failure.status == 429 and seconds:
            self._health.rest(key, min(seconds, plan.gateway.retry.longest_retry_after_seconds))
        elif failure.status == 429 or failure.status in REFUSALS:
            self._health.end(key)
        else:
            self._health.failed(key, plan.gateway.outlier_ejection)

    def _seconds(self, seconds: float | None, order: Order) -> float | None:
        """How long to wait: as a policy says, but not beyond the deadline."""
        if order.deadline is None:
            return seconds
        left = max(0.001, order.deadline - self._clock())
        return left if seconds is None else min(seconds, left)


def _unanswered(target: Target, error: UpstreamError) -> Failure:
    if isinstance(error, NotReached):
        return Failure(target, str(error), timed_out=error.timed_out, sent=False)
    return Failure(target, str(error), timed_out=isinstance(error, UpstreamTimeout))


def _media_type(reply: Reply) -> bytes:
    return dict(reply.headers).get(b"content-type", b"")


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
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    return None
