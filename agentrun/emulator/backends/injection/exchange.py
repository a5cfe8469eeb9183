"""Requests with placeholders on their way to one origin, and the answers on theirs back.

One connection inside belongs to one outside, so what holds for a connection (keep-alive, upgrades) passes as it is.
Bodies stream, but for small ones whose length changes; of those at most `MOST_HELD` bytes are held.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from agentrun.emulator.backends.injection import heads
from agentrun.emulator.backends.injection.heads import AnswerHead, RequestHead
from agentrun.emulator.backends.injection.hosts import Origin
from agentrun.emulator.backends.injection.placeholders import Injection, MisusedError
from agentrun.emulator.backends.injection.replacing import Replacer
from agentrun.emulator.backends.injection.substitution import Substitution
from agentrun.emulator.backends.proxy_request import CHUNK, FORBIDDEN, Header, Refusal, chunk_size

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

MOST_HELD = 1024 * 1024
MOST_HELD_OF_ANSWERS = 256 * 1024
# A request that is still being sent when its answer has ended.
LINGER = 1.0
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
END_OF_HEAD = b"\r\n\r\n"
TOO_LONG = (
    f"a placeholder in a body of more than {MOST_HELD} bytes with a length cannot be replaced: "
    "send it in a header, or the body in chunks"
)


class Exchange:
    """The requests of one connection inside (`near`) to an origin outside (`far`).

    `recheck` is called before each request and raises Refusal when the origin may not be reached any more.
    """

    def __init__(
        self, injection: Injection, origin: Origin, near: Streams, far: Streams, recheck: Callable[[], None]
    ) -> None:
        self._origin = origin
        self._substitution = Substitution(injection, origin)
        self._looks_at_answers = injection.reaches(origin)
        self._near_reader, self._near_writer = near
        self._far_reader, self._far_writer = far
        self._recheck = recheck
        self._answering = False

    async def run(self) -> None:
        """Carry requests until one side has had enough. Raises Refusal, OSError, IncompleteReadError."""
        while data := await self._next_head():
            if not await self.carry(data):
                return

    async def carry(self, data: bytes) -> bool:
        """Carry the request that begins with this head; returns whether another one may follow. Raises Refusal."""
        self._answering = False
        self._substitution.begin()
        request = heads.read_request(data, self._origin)
        self._recheck()
        try:
            return await self._exchange(request)
        except MisusedError as error:
            self._far_writer.transport.abort()
            if self._answering:
                raise ConnectionError(str(error)) from error
            raise Refusal(FORBIDDEN, str(error)) from None

    async def _next_head(self) -> bytes:
        """The next head from inside; empty when either side has ended the connection."""
        asked = asyncio.ensure_future(self._near_reader.readuntil(END_OF_HEAD))
        # Nobody answers unasked: whatever comes from there now is its end.
        ended = asyncio.ensure_future(self._far_reader.read(1))
        try:
            await asyncio.wait((asked, ended), return_when=asyncio.FIRST_COMPLETED)
            return b"" if ended.done() else await asked
        except asyncio.IncompleteReadError:
            return b""
        finally:
            for task in (asked, ended):
                task.cancel()
                with suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                    await task

    async def _exchange(self, request: RequestHead) -> bool:
        sending = asyncio.ensure_future(self._send(request))
        answering = asyncio.ensure_future(self._answer(request))
        try:
            await asyncio.wait((sending, answering), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                await _sent(sending, answering)
            answer = await answering
            await asyncio.wait((sending,), timeout=LINGER)
            if answer.status == heads.UPGRADED:
                await self._tunnel()
                return False
            return sending.done() and not sending.exception() and request.persists and answer.persists
        finally:
            for task in (sending, answering):
                task.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)

    # The request

    async def _send(self, request: RequestHead) -> None:
        headers = [(name, self._substitution.header(value)) for name, value in request.headers]
        if self._looks_at_answers:
            # What comes back is looked at too, and nobody looks into what is compressed.
            headers = [*heads.without(headers, "accept-encoding"), ("Accept-Encoding", "identity")]
        line = f"{request.method} {self._substitution.url(request.target)} {request.version}"
        if request.body is None:
            await self._send_chunks(line, headers, self._replacer(request))
        elif 0 < request.body <= MOST_HELD:
            await self._send_held(line, headers, request)
        else:
            self._far_writer.write(heads.write_head(line, headers))
            await self._send_bytes(self._substitution.refusing(TOO_LONG), request.body)

    def _replacer(self, request: RequestHead) -> Replacer:
        return self._substitution.body(request.value("content-type"))

    async def _send_held(self, line: str, headers: list[Header], request: RequestHead) -> None:
        if request.waits:
            self._near_writer.write(CONTINUE)
            headers = heads.without(headers, "expect")
        body = self._replacer(request).whole(await self._near_reader.readexactly(request.body or 0))
        if len(body) != request.body:
            headers = heads.with_length(headers, len(body))
        self._far_writer.write(heads.write_head(line, headers) + body)
        await self._far_writer.drain()

    async def _send_bytes(self, replacer: Replacer, size: int) -> None:
        async for piece in _of_length(self._near_reader, size):
            self._far_writer.write(replacer.feed(piece))
            await self._far_writer.drain()
        self._far_writer.write(replacer.end())
        await self._far_writer.drain()

    async def _send_chunks(self, line: str, headers: list[Header], replacer: Replacer) -> None:
        self._far_writer.write(heads.write_head(line, headers))
        async for piece in _in_chunks(self._near_reader):
            await _write_chunk(self._far_writer, replacer.feed(piece))
        await _end_chunks(self._far_writer, replacer)

    # The answer

    async def _answer(self, request: RequestHead) -> AnswerHead:
        while True:
            data = await self._far_reader.readuntil(END_OF_HEAD)
            answer = heads.read_answer(data, request.method)
            # Now, and not when the request came: only what was put in by now can come back.
            hide = self._substitution.answer()
            self._answering = not answer.is_interim
            if answer.is_interim or (answer.body == 0 and not answer.ends_with_connection):
                self._near_writer.write(hide.whole(data))
                await self._near_writer.drain()
            else:
                await self._answer_body(answer, hide.whole(data))
            if not answer.is_interim:
                return answer

    async def _answer_body(self, answer: AnswerHead, head: bytes) -> None:
        hides = self._looks_at_answers and not answer.is_coded
        hide = self._substitution.answer() if hides else Replacer((), bytes)
        if answer.body is None:
            self._near_writer.write(head)
            async for piece in _in_chunks(self._far_reader):
                await _write_chunk(self._near_writer, hide.feed(piece))
            await _end_chunks(self._near_writer, hide)
        elif answer.ends_with_connection:
            self._near_writer.write(head)
            await self._pass(hide, _to_the_end(self._far_reader))
        elif answer.body <= MOST_HELD_OF_ANSWERS:
            await self._answer_held(answer, head, hide)
        else:
            self._near_writer.write(head)
            same = self._substitution.answer(same_length=True) if hides else hide
            await self._pass(same, _of_length(self._far_reader, answer.body))

    async def _answer_held(self, answer: AnswerHead, head: bytes, hide: Replacer) -> None:
        size = answer.body or 0
        body = hide.whole(await self._far_reader.readexactly(size))
        if len(body) != size:
            changed = heads.read_answer(head, "GET")
            head = heads.write_head(changed.line, heads.with_length(changed.headers, len(body)))
        self._near_writer.write(head + body)
        await self._near_writer.drain()

    async def _pass(self, replacer: Replacer, pieces: AsyncGenerator[bytes]) -> None:
        async for piece in pieces:
            self._near_writer.write(replacer.feed(piece))
            await self._near_writer.drain()
        self._near_writer.write(replacer.end())
        await self._near_writer.drain()

    async def _tunnel(self) -> None:
        """Pass bytes on, both ways, after an upgrade: nobody knows what is spoken there."""
        await _first_ended(
            _copy(self._near_reader, self._far_writer),
            _copy(self._far_reader, self._near_writer),
        )


async def _sent(sending: asyncio.Future[None], answering: asyncio.Future[AnswerHead]) -> None:
    """Wait for a request to be sent; a server that has heard enough may have answered and hung up."""
    try:
        await sending
    except OSError:
        await asyncio.wait((answering,), timeout=LINGER)
        if not answering.done():
            raise


async def _first_ended(*ways: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async for piece in _to_the_end(reader):
        writer.write(piece)
        await writer.drain()


async def _to_the_end(reader: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    while piece := await reader.read(CHUNK):
        yield piece


async def _of_length(reader: asyncio.StreamReader, size: int) -> AsyncGenerator[bytes]:
    while size:
        piece = await reader.read(min(size, CHUNK))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(piece)
        yield piece


async def _in_chunks(reader: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    """What chunks hold; what stands after the last one is dropped."""
    while size := await chunk_size(reader):
        async for piece in _of_length(reader, size):
            yield piece
        if await reader.readexactly(2) != b"\r\n":
            raise ConnectionError("a chunk is longer than it said")
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass


async def _write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    if data:
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()


async def _end_chunks(writer: asyncio.StreamWriter, replacer: Replacer) -> None:
    await _write_chunk(writer, replacer.end())
    writer.write(b"0\r\n\r\n")
    await writer.drain()
