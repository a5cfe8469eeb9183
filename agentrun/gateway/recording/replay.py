"""Answers calls from a recording, as the targets did."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from agentrun._serving.openai_error import DO_NOT_RETRY, ApiError
from agentrun._serving.upstream import Headers, UpstreamError, UpstreamTimeout
from agentrun.gateway.plan import Target
from agentrun.gateway.recording.exchange import Ending, Exchange, Piece
from agentrun.gateway.recording.file import Recording
from agentrun.gateway.recording.matching import Normalised, normalised
from agentrun.gateway.recording.near_miss import Recorded, describe
from agentrun.gateway.recording.receipt import Ledger, Source
from agentrun.gateway.recording.redaction import nothing_known, restored
from agentrun.gateway.routing.upstreams import NotReached, Reply, Wait

log = logging.getLogger("agentrun.gateway")


class Speed(str, Enum):
    """Whether answers take the time that they took, or none."""

    ORIGINAL = "original"
    AT_ONCE = "at-once"


class Replay:
    """Answers requests as they were answered when they were recorded; the same one several times in that order.

    After its last answer a request gets that one again, or with `repeat=False` an error. `advice` ends the error for a
    request that is not there, and is told its model; `known` tells secrets whatever they look like.
    """

    def __init__(
        self,
        recording: Recording,
        ledger: Ledger | None = None,
        *,
        speed: Speed = Speed.AT_ONCE,
        repeat: bool = True,
        known: Callable[[], Iterable[str]] = nothing_known,
        advice: Callable[[str], str] = "Record a request for {!r} like it.".format,
    ) -> None:
        self.recording = recording
        self._ledger = ledger or Ledger()
        self._speed = speed
        self._repeat = repeat
        self._known = known
        self._advice = advice
        self._requests = [
            Recorded(each.number, normalised(each.operation, each.request, recording.redacted))
            for each in recording.exchanges
        ]
        self._sequences: defaultdict[str, list[_Entry]] = defaultdict(list)
        for exchange, (_, request) in zip(recording.exchanges, self._requests, strict=True):
            self._sequences[request.key].append(_Entry(exchange, request))
        self._given: defaultdict[str, int] = defaultdict(int)

    @property
    def unused(self) -> int:
        """How many exchanges nobody has asked for yet."""
        return sum(max(0, len(entries) - self._given[key]) for key, entries in self._sequences.items())

    async def ask(self, target: Target, operation: str, headers: Headers, body: bytes, wait: Wait) -> Reply:
        """Wait for the head of a recorded answer, and give it.

        Raises what was recorded, UpstreamError and NotReached, and ApiError (404) for what is not in the recording.
        """
        fields: Any = json.loads(body)
        asked = normalised(operation, fields, self.recording.redacted, self._known())
        entry = self._next(asked)
        found = entry is not None
        self._ledger.count(str(fields.get("model") or ""), Source.RECORDING if found else Source.NOT_RECORDED)
        if entry is None:
            raise self._missing(asked)
        exchange = entry.exchange
        pace = _Pace(self._speed)
        await pace.until(exchange.head_ms if exchange.status else exchange.end_ms, wait.first, _NO_HEAD)
        if not exchange.status:
            raise _failure(exchange)
        return _ReplayedReply(exchange, pace, entry.secrets_of(asked))

    def close(self) -> None:
        """Nothing is open."""

    def _next(self, asked: Normalised) -> _Entry | None:
        entries = self._sequences.get(asked.key)
        if not entries:
            return None
        number = self._given[asked.key]
        if number >= len(entries) and not self._repeat:
            return None
        self._given[asked.key] = number + 1
        return entries[min(number, len(entries) - 1)]

    def _missing(self, asked: Normalised) -> ApiError:
        if recorded := self._sequences.get(asked.key):
            times = f"{len(recorded)} time{'' if len(recorded) == 1 else 's'}"
            text = f"The recording has this request {times}, and all of its answers were given."
            code = "recording_used_up"
        else:
            text, code = describe(asked, self._requests), "not_recorded"
        text = f"{text}\n{self._advice(str(asked.fields.get('model') or ''))}"
        # Logged as well, because many agents hide what a model answered.
        log.error("%s", text)
        return ApiError(404, text, code, headers=DO_NOT_RETRY)


@dataclass(frozen=True)
class _Entry:
    """An exchange, and its request in the form in which it is compared."""

    exchange: Exchange
    request: Normalised

    def secrets_of(self, asked: Normalised) -> dict[str, str]:
        """For the recording's placeholders, the secrets that stand at their places in a request of today."""
        pairs = ((recorded, asked.secrets[name]) for name, recorded in self.request.secrets.items())
        return {recorded: secret for recorded, secret in pairs if recorded != secret}


_NO_HEAD = "it did not begin to answer within {:g} s"
_NO_PIECE = "it sent nothing more for {:g} s"


class _Pace:
    """Waits for the times of a recording, counted from now."""

    def __init__(self, speed: Speed) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._speed = speed

    def left(self, ms: float) -> float:
        """How many seconds it is until then."""
        if self._speed is Speed.AT_ONCE:
            return 0.0
        return max(0.0, self._began + ms / 1000 - self._loop.time())

    async def until(self, ms: float, most: float | None, reason: str) -> None:
        """Wait until then, and let others have their turn; raises UpstreamTimeout when it takes more than so long."""
        left = self.left(ms)
        if most is not None and left > most:
            await asyncio.sleep(most)
            raise UpstreamTimeout(reason.format(most))
        await asyncio.sleep(left)


class _ReplayedReply:
    """An answer out of a recording."""

    def __init__(self, exchange: Exchange, pace: _Pace, secrets: Mapping[str, str]) -> None:
        self.status = exchange.status
        self.headers: Headers = [(name.encode(), value.encode("latin-1")) for name, value in exchange.headers.items()]
        self._exchange = exchange
        self._pieces = iter(exchange.pieces)
        self._next: Piece | None = next(self._pieces, None)
        self._pace = pace
        self._secrets = secrets

    def is_complete(self) -> bool:
        """Whether all of it was given."""
        exchange = self._exchange
        return self._next is None and exchange.ending is Ending.COMPLETE and not self._pace.left(exchange.end_ms)

    async def piece(self, seconds: float | None = None) -> bytes:
        """The next part of the body within some seconds, empty after its end. Raises UpstreamError."""
        piece = self._next
        await self._pace.until(piece.ms if piece else self._exchange.end_ms, seconds, _NO_PIECE)
        if piece is not None:
            self._next = next(self._pieces, None)
            return restored(piece.data, self._secrets) if self._secrets else piece.data
        if self._exchange.ending is Ending.COMPLETE:
            return b""
        raise _failure(self._exchange)

    def close(self) -> None:
        """Nothing is open."""


def _failure(exchange: Exchange) -> UpstreamError:
    if exchange.ending is Ending.UNREACHED:
        return NotReached(UpstreamError(exchange.reason))
    if exchange.ending is Ending.TIMED_OUT:
        return UpstreamTimeout(exchange.reason)
    if exchange.ending is Ending.LEFT:
        return UpstreamError(f"the recording ends here, because {exchange.reason} then")
    return UpstreamError(exchange.reason)
