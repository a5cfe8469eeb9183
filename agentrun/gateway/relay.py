"""Sends an answer on as it comes: the same bytes, and not faster than they are taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from agentrun._serving.openai_error import ApiError
from agentrun._serving.upstream import Headers, UpstreamError, UpstreamTimeout
from agentrun.gateway.outlet import Outlet
from agentrun.gateway.routing.attempt import Answer
from agentrun.gateway.routing.upstreams import Reply
from agentrun.gateway.streaming.whole_events import WholeEvents

# What a target says of its answer that callers want to know; the rest is between it and us.
_KEPT = frozenset(
    (
        b"content-type",
        b"content-encoding",
        b"cache-control",
        b"x-request-id",
        b"openai-version",
        b"openai-model",
        b"openai-processing-ms",
    )
)


class OutOfTimeError(UpstreamError):
    """The call has taken all of its time; that is no fault of the target."""


class BrokenOff(Exception):
    """An answer broke off when it had begun, and the caller was told so; `by_target` says whose fault it is."""

    def __init__(self, error: UpstreamError) -> None:
        super().__init__(str(error))
        self.by_target = not isinstance(error, OutOfTimeError)


class Filter(Protocol):
    """Something that may change an answer on its way."""

    @property
    def ended(self) -> bool:
        """Whether it has ended the answer itself, so that what follows is not needed any more."""
        ...

    async def feed(self, piece: bytes) -> bytes:
        """What of this piece, and of those before, may go on."""
        ...

    async def finish(self) -> bytes:
        """What is still to go on at the end."""
        ...


async def relay(
    answer: Answer,
    outlet: Outlet,
    taps: Sequence[Callable[[bytes], None]],
    filters: Sequence[Filter],
    seconds: Callable[[], float | None],
) -> None:
    """Send an answer through the filters to the caller; `taps` see what came.

    `seconds` is the time to the next piece; it raises OutOfTimeError when there is none. Raises BrokenOff.
    """
    piece, reply = answer.first, answer.reply
    for tap in taps:
        tap(piece)
    if reply.is_complete():
        await _whole(answer, outlet, await _filtered(filters, piece, last=True))
        return
    events = WholeEvents() if answer.is_stream else None
    await outlet.begin(reply.status, _about(answer), _kept(reply.headers))
    try:
        while True:
            if events:
                piece = events.feed(piece)
            if filters:
                piece = await _filtered(filters, piece)
            if piece:
                await outlet.write(piece)
            if reply.is_complete() or any(each.ended for each in filters):
                break
            piece = await _next(reply, seconds)
            for tap in taps:
                tap(piece)
    except UpstreamError as error:
        if events:
            await _tell(answer, outlet, error, inside=events.inside)
        raise BrokenOff(error) from error
    rest = events.finish() if events else b""
    await outlet.write(await _filtered(filters, rest, last=True) if filters else rest, last=True)


async def _next(reply: Reply, seconds: Callable[[], float | None]) -> bytes:
    try:
        return await reply.piece(seconds())
    except UpstreamTimeout:
        seconds()  # Raises when the time that is over was the call's own.
        raise


async def _tell(answer: Answer, outlet: Outlet, error: UpstreamError, *, inside: bool) -> None:
    """End a stream with an error; any other answer that has begun can only be cut off."""
    if inside:
        await outlet.write(b"\n\n")
    await outlet.fail(_broken(answer, error))


async def _whole(answer: Answer, outlet: Outlet, body: bytes) -> None:
    headers = {"content-length": str(len(body)), **_about(answer)}
    await outlet.begin(answer.reply.status, headers, _kept(answer.reply.headers))
    await outlet.write(body, last=True)


async def _filtered(filters: Sequence[Filter], piece: bytes, *, last: bool = False) -> bytes:
    for each in filters:
        piece = await each.feed(piece) if piece else b""
        if last:
            piece += await each.finish()
    return piece


def _about(answer: Answer) -> dict[str, str]:
    """Who answered, and after how many attempts."""
    return {"x-agentrun-endpoint": answer.target.name, "x-agentrun-attempts": str(answer.attempts)}


def _kept(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [pair for pair in headers if pair[0] in _KEPT]


def _broken(answer: Answer, error: UpstreamError) -> ApiError:
    if isinstance(error, OutOfTimeError):
        return ApiError(504, str(error), "request_timeout", type="server_error")
    text = f"endpoint {answer.target.name} broke off in the middle of its answer: {error}"
    return ApiError(502, text, "upstream_broke_off", type="server_error")
