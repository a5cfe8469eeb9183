"""Sends an answer on as it comes: the same bytes, and not faster than they are taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agentrun._serving.openai_error import ApiError
from agentrun._serving.upstream import Headers, UpstreamError
from agentrun.gateway.attempt import Answer
from agentrun.gateway.outlet import Outlet

# What a target says of its answer that callers want to know; the rest is between it and us.
_KEPT = frozenset(
    (b"content-type", b"cache-control", b"x-request-id", b"openai-version", b"openai-model", b"openai-processing-ms")
)


class BrokenOff(Exception):
    """A target broke off when its answer had begun; the caller was told so."""


class Filter(Protocol):
    """Something that may change an answer on its way."""

    async def feed(self, piece: bytes) -> bytes:
        """What of this piece, and of those before, may go on."""
        ...

    async def finish(self) -> bytes:
        """What is still to go on at the end."""
        ...


async def relay(
    answer: Answer,
    outlet: Outlet,
    taps: list[Callable[[bytes], None]],
    filters: list[Filter],
    seconds: Callable[[], float | None],
) -> None:
    """Send an answer through the filters to the caller; `taps` see what came, `seconds` is the time to the next piece.

    Raises BrokenOff.
    """
    piece, reply = answer.first, answer.reply
    for tap in taps:
        tap(piece)
    if reply.is_complete():
        await _whole(answer, outlet, await _filtered(filters, piece, last=True))
        return
    await outlet.begin(reply.status, _about(answer), _kept(reply.headers))
    await outlet.write(await _filtered(filters, piece) if filters else piece)
    try:
        while not reply.is_complete():
            piece = await reply.piece(seconds())
            for tap in taps:
                tap(piece)
            if filters:
                piece = await _filtered(filters, piece)
            if piece:
                await outlet.write(piece)
    except UpstreamError as error:
        await outlet.fail(_broken(answer, error))
        raise BrokenOff(str(error)) from error
    await outlet.write(await _filtered(filters, b"", last=True) if filters else b"", last=True)


async def _whole(answer: Answer, outlet: Outlet, body: bytes) -> None:
    headers = {"content-length": str(len(body)), **_about(answer)}
    await outlet.begin(answer.reply.status, headers, _kept(answer.reply.headers))
    await outlet.write(body, last=True)


async def _filtered(filters: list[Filter], piece: bytes, *, last: bool = False) -> bytes:
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
    text = f"endpoint {answer.target.name} broke off in the middle of its answer: {error}"
    return ApiError(502, text, "upstream_broke_off", type="server_error")
