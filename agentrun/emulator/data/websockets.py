"""Websockets into a sandbox: opened inside first, then passed on message by message, with the codes they close with."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from agentrun._serving.upstream import Headers, UpstreamError
from agentrun.emulator.data.ports import Destination, headers_inside
from agentrun.emulator.data.proxy import HOP_BY_HOP, BadGateway, passed_on, with_query
from agentrun.emulator.http import Handshake, Response

LARGEST_MESSAGE = 16 * 2**20
_OPEN_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
_LONGEST_REASON = 123
_GOING_AWAY, _NO_STATUS, _ABNORMAL, _INTERNAL_ERROR, _RESTART = 1001, 1005, 1006, 1011, 1012
# How a websocket ends when its other side went down with the sandbox.
ENDED_WITH_SERVER = frozenset((_GOING_AWAY, _ABNORMAL, _RESTART))


@dataclass(frozen=True)
class Opening:
    """What to open inside: the way in, the host that the server there expects, the target and the headers."""

    what: str
    host: str
    target: str
    headers: Headers
    path: Path | None = None
    connected: socket.socket | None = None


@dataclass(frozen=True)
class Close:
    """How a websocket was closed, and whether the caller did it."""

    code: int
    reason: str
    by_caller: bool = False

    def __str__(self) -> str:
        return f"closed by the {'caller' if self.by_caller else 'sandbox'}: {self.code} {self.reason}".rstrip()


class Refused(Exception):
    """The server inside did not take the websocket and said so with an answer of its own."""

    def __init__(self, answer: Response) -> None:
        super().__init__(f"status {answer.status}")
        self.answer = answer


@contextlib.asynccontextmanager
async def opened(handshake: Handshake, opening: Opening) -> AsyncGenerator[ClientConnection]:
    """The websocket inside; raises Refused, and BadGateway when nothing there speaks the protocol."""
    inside = await _connected(handshake, opening)
    try:
        yield inside
    finally:
        inside.transport.abort()


async def _connected(handshake: Handshake, opening: Opening) -> ClientConnection:
    try:
        return await unix_connect(
            str(opening.path) if opening.path else None,
            f"ws://{opening.host}{opening.target}",
            subprotocols=[Subprotocol(name) for name in handshake.subprotocols] or None,
            additional_headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in opening.headers],
            user_agent_header=None,
            compression=None,
            # Servers inside may ping; we do not, since one that is paused must not lose its websockets by that.
            ping_interval=None,
            open_timeout=_OPEN_SECONDS,
            close_timeout=_CLOSE_SECONDS,
            max_size=LARGEST_MESSAGE,
            **({"sock": opening.connected} if opening.connected else {}),
        )
    except InvalidStatus as error:
        raise Refused(_answered(error)) from error
    except (OSError, asyncio.TimeoutError, InvalidHandshake, ConnectionClosed) as error:
        problem = UpstreamError(str(error) or type(error).__name__)
        raise BadGateway(opening.what, problem, sent=not isinstance(error, OSError)) from error


def _answered(error: InvalidStatus) -> Response:
    answer = error.response
    kind = answer.headers.get("content-type", "text/plain")
    return Response(bytes(answer.body or b""), answer.status_code, media_type=kind)


def handshake_headers(headers: Headers) -> Headers:
    """Headers without those that belong to one handshake alone."""
    return [
        pair
        for pair in headers
        if pair[0] not in HOP_BY_HOP and pair[0] not in (b"host", b"date", b"content-length")
        if not pair[0].startswith(b"sec-websocket-")
    ]


def terminal(handshake: Handshake, path: Path, below: str, what: str, request_id: str) -> Opening:
    """The opening of a websocket that the sandbox's own agent serves."""
    pairs = parse_qsl(handshake.query_string, keep_blank_values=True)
    # The account is in the signature; clients that name it in the query mean the gateway, not the sandbox.
    query = urlencode([pair for pair in pairs if pair[0] != "tenantId"])
    headers = handshake_headers(passed_on(handshake, request_id))
    return Opening(what, "localhost", with_query(f"/{below}", query), headers, path=path)


def at_port(handshake: Handshake, connected: socket.socket, where: Destination, request_id: str) -> Opening:
    """The opening of a websocket that a server on a port serves, over a socket that is joined to it already."""
    what = f"the server on port {where.port} of sandbox {where.sandbox_id}"
    headers = handshake_headers(headers_inside(handshake, where, request_id))
    target = with_query(where.path, handshake.query_string)
    return Opening(what, where.authority, target, headers, connected=connected)


async def accept(handshake: Handshake, inside: ClientConnection, request_id: str) -> None:
    """Open the caller's side as the server inside has opened its own."""
    given = inside.response.headers.raw_items() if inside.response else ()
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given]
    await handshake.accept(inside.subprotocol, handshake_headers(headers), request_id)


async def relay(handshake: Handshake, inside: ClientConnection) -> Close:
    """Pass messages on both ways, none faster than it is taken, until one side closes; tells which and how."""
    inward = asyncio.ensure_future(_inward(handshake, inside))
    outward = asyncio.ensure_future(_outward(handshake, inside))
    try:
        await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
        # A way that only found the other side closed knows nothing; the other way does.
        first, second = (inward, outward) if inward.done() else (outward, inward)
        return await first or await second or Close(_ABNORMAL, "", by_caller=True)
    finally:
        for way in (inward, outward):
            way.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)


async def _inward(handshake: Handshake, inside: ClientConnection) -> Close | None:
    while (message := await handshake.receive())["type"] != "websocket.disconnect":
        text = message.get("text")
        try:
            await inside.send(message["bytes"] if text is None else text)
        except ConnectionClosed:
            return None
    return Close(message.get("code", _ABNORMAL), message.get("reason") or "", by_caller=True)


async def _outward(handshake: Handshake, inside: ClientConnection) -> Close | None:
    try:
        while True:
            await handshake.say(await inside.recv())
    except ConnectionClosed as error:
        # What we sent comes first when it was us who found fault, such as with too large a message.
        told = error.sent if error.sent and not error.rcvd_then_sent else error.rcvd
        return Close(told.code, told.reason) if told else Close(_ABNORMAL, "the connection broke")
    except OSError:
        return None


async def finish(handshake: Handshake, inside: ClientConnection, close: Close) -> None:
    """Close the other side in the same way."""
    if close.by_caller:
        gone = close.code in (_NO_STATUS, _ABNORMAL)
        await inside.close(_GOING_AWAY if gone else sendable(close.code), close.reason)
    else:
        with contextlib.suppress(OSError):  # A caller that is gone needs no farewell.
            await handshake.close(sendable(close.code), shortened(close.reason))


def sendable(code: int) -> int:
    """The code to close with after another side ended with `code`: some only say that no code came."""
    if code == _NO_STATUS:
        return 1000
    reserved = code in (1004, _ABNORMAL, 1015) or not (1000 <= code <= 1014 or 3000 <= code <= 4999)
    return _INTERNAL_ERROR if reserved else code


def shortened(reason: str) -> str:
    """A reason that fits into a frame: at most 123 bytes of UTF-8."""
    return reason.encode()[:_LONGEST_REASON].decode(errors="ignore")


def ended(sandbox_id: str, reason: str) -> Close:
    """How a websocket ends whose sandbox did."""
    return Close(_INTERNAL_ERROR, f"sandbox {sandbox_id} is TERMINATED: {reason}")
