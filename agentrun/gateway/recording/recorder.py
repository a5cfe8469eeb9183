"""Passes calls on to targets, and keeps what was asked and what came, as it came."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from agentrun._serving.upstream import Headers, UpstreamError, UpstreamTimeout
from agentrun.gateway.plan import Target
from agentrun.gateway.recording.exchange import Ending, Exchange, Piece, RecordingError
from agentrun.gateway.recording.file import RecordingFile
from agentrun.gateway.recording.receipt import Ledger, Source
from agentrun.gateway.recording.redaction import Redactor, nothing_known
from agentrun.gateway.routing.upstreams import NotReached, Reply, Upstreams, Wait

# What callers are told of an answer, and nothing that says whose account it was.
_KEPT_HEADERS = frozenset(
    (
        "content-type",
        "cache-control",
        "openai-model",
        "openai-processing-ms",
        "openai-version",
        "retry-after",
        "retry-after-ms",
        "x-request-id",
    )
)

log = logging.getLogger("agentrun.gateway")


class Recorder:
    """Asks other upstreams, and adds each exchange to a file when its answer is closed.

    `known` tells secrets beside the targets' own keys, whatever they look like. What is passed on is not changed, and
    not held back: the file is written when the caller has everything. An exchange that cannot be written is logged,
    and counted in `lost`.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        file: RecordingFile,
        redactor: Redactor | None = None,
        ledger: Ledger | None = None,
        *,
        known: Callable[[], Iterable[str]] = nothing_known,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.written = 0
        self.lost = 0
        self._upstreams = upstreams
        self._file = file
        self._redactor = redactor or Redactor()
        self._ledger = ledger or Ledger()
        self._known = known
        self._clock = clock
        self._begun = 0

    async def ask(self, target: Target, operation: str, headers: Headers, body: bytes, wait: Wait) -> Reply:
        """Send a request and wait for the head of its answer.

        Raises UpstreamError, and NotReached when nothing was sent.
        """
        self._redactor.know(_keys(target))
        self._begun += 1
        take = _Take(self._begun, operation, json.loads(body), self._clock, self._clock())
        self._ledger.count(str(take.request.get("model") or ""), Source.UPSTREAM)
        try:
            reply = await self._upstreams.ask(target, operation, headers, body, wait)
        except UpstreamError as error:
            take.fail(error)
            self._keep(take)
            raise
        take.answered(reply)
        return _RecordedReply(reply, take, self._keep)

    def close(self) -> None:
        """Close connections and the file."""
        self._upstreams.close()
        self._file.close()

    def _keep(self, take: _Take) -> None:
        if take.compressed:
            log.error("an answer to %s came compressed, in which no secret can be found: not recorded", take.operation)
            self.lost += 1
            return
        self._redactor.know(self._known())
        try:
            self._file.append(take.exchange(self._redactor))
        except RecordingError as error:
            log.error("%s", error)
            self.lost += 1
        else:
            self.written += 1


@dataclass
class _Take:
    """An exchange under way."""

    number: int
    operation: str
    request: dict[str, Any]
    clock: Callable[[], float]
    began: float
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    compressed: bool = False
    head_ms: float = 0.0
    pieces: list[Piece] = field(default_factory=list[Piece])
    ending: Ending | None = None
    end_ms: float = 0.0
    reason: str = ""

    def now(self) -> float:
        """Milliseconds since the request was sent, to a tenth."""
        return round((self.clock() - self.began) * 1000, 1)

    def answered(self, reply: Reply) -> None:
        """The head of the answer has come."""
        self.head_ms = self.now()
        self.status = reply.status
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers}
        self.compressed = named.get("content-encoding", "identity") != "identity"
        self.headers = {name: value for name, value in named.items() if name in _KEPT_HEADERS}
        if reply.is_complete():
            self.end(Ending.COMPLETE, self.head_ms)

    def took(self, data: bytes, *, last: bool) -> None:
        """A part of the body has come."""
        now = self.now()
        if data:
            self.pieces.append(Piece(now, data))
        if last:
            self.end(Ending.COMPLETE, now)

    def fail(self, error: UpstreamError) -> None:
        """The rest will not come."""
        timed_out = isinstance(error, UpstreamTimeout) or (isinstance(error, NotReached) and error.timed_out)
        unreached = Ending.UNREACHED if isinstance(error, NotReached) else Ending.CUT
        self.end(Ending.TIMED_OUT if timed_out else unreached, self.now(), str(error))

    def end(self, ending: Ending, ms: float, reason: str = "") -> None:
        """It is over; what is told first counts."""
        if self.ending is None:
            self.ending, self.end_ms, self.reason = ending, ms, reason

    def exchange(self, redactor: Redactor) -> Exchange:
        """All of it, without secrets."""
        return Exchange(
            self.number,
            self.operation,
            redactor.value(self.request),
            self.status,
            {name: redactor.text(value) for name, value in self.headers.items()},
            self.head_ms,
            redactor.body(self.pieces),
            self.ending or Ending.LEFT,
            self.end_ms,
            redactor.text(self.reason),
        )


class _RecordedReply:
    """An answer that is listened to on its way."""

    def __init__(self, reply: Reply, take: _Take, keep: Callable[[_Take], None]) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self._reply = reply
        self._take = take
        self._keep: Callable[[_Take], None] | None = keep

    def is_complete(self) -> bool:
        """Whether all of it was given."""
        return self._reply.is_complete()

    async def piece(self, seconds: float | None = None) -> bytes:
        """The next part of the body within some seconds, empty after its end. Raises UpstreamError."""
        try:
            data = await self._reply.piece(seconds)
        except UpstreamError as error:
            self._take.fail(error)
            raise
        self._take.took(data, last=self._reply.is_complete())
        return data

    def close(self) -> None:
        """Be done with it, and write it down."""
        self._reply.close()
        self._take.end(Ending.LEFT, self._take.now(), "the caller went away")
        keep, self._keep = self._keep, None
        if keep:
            keep(self._take)


def _keys(target: Target) -> Iterable[str]:
    """The secrets that a target is called with."""
    for name, value in target.headers:
        if name != b"host":
            yield value.decode("latin-1").removeprefix("Bearer ")
