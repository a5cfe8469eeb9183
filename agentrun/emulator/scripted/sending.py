"""Sends answers over ASGI: whole or in pieces, as fast as a model would, for as long as the client is there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Message, Receive, Send

from agentrun.emulator.scripted.answer import Answer, encode
from agentrun.emulator.scripted.conversation import Conversation
from agentrun.emulator.scripted.errors import as_api_error
from agentrun.emulator.scripted.latency import Latency
from agentrun.emulator.scripted.pieces import StreamBreak, count_pieces

# Between so many events of a stream the loop runs: other requests get their turn, and a client that left is noticed.
_EVENTS_PER_TURN = 16


async def send_answer(receive: Receive, send: Send, answer: Answer, *, stream: bool) -> None:
    """Send an answer, or raise the ApiError that it is."""
    if stream or answer.reply.delay or answer.reply.latency:
        await _send_present(receive, send, answer, stream=stream)
    else:
        await _send_whole(send, answer)


async def send_json(send: Send, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
    """Send one JSON body."""
    body = encode(value)
    await send(_start(status, "application/json", {"content-length": str(len(body)), **(headers or {})}))
    await send({"type": "http.response.body", "body": body})


class _Presence:
    """Whether the client is still there; it listens until `leave` is called."""

    def __init__(self, receive: Receive) -> None:
        self._gone = asyncio.ensure_future(_wait_disconnect(receive))

    async def stays(self, seconds: float) -> bool:
        """Wait, and return whether the client is still there; return at once when it leaves."""
        if seconds > 0:
            await asyncio.wait({self._gone}, timeout=seconds)
        else:
            await asyncio.sleep(0)
        return not self._gone.done()

    def leave(self) -> None:
        """Stop listening."""
        self._gone.cancel()


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_present(receive: Receive, send: Send, answer: Answer, *, stream: bool) -> None:
    presence, reply = _Presence(receive), answer.reply
    try:
        if not await presence.stays(reply.delay):
            return
        if stream and (reply.error is None or reply.break_after is not None):
            await _send_stream(send, presence, answer)
        elif reply.error is not None or await presence.stays(_whole_time(answer)):
            await _send_whole(send, answer)
    finally:
        presence.leave()


def _whole_time(answer: Answer) -> float:
    latency = answer.reply.latency
    return latency.due(count_pieces(answer.reply)) if latency else 0


async def _send_whole(send: Send, answer: Answer) -> None:
    reply = answer.reply
    if reply.error is not None:
        raise as_api_error(reply.error)
    if reply.break_after is None:
        await send_json(send, 200, answer.body(), _notes(answer.conversation))
    else:
        # A body that was announced and never comes: the server closes the connection.
        await send(_start(200, "application/json", {"content-length": str(len(encode(answer.body())))}))


async def _send_stream(send: Send, presence: _Presence, answer: Answer) -> None:
    headers = {"cache-control": "no-cache", **_notes(answer.conversation)}
    await send(_start(200, "text/event-stream; charset=utf-8", headers))
    latency = answer.reply.latency
    try:
        whole = await (
            _send_paced(send, presence, answer, latency) if latency else _send_quickly(send, presence, answer)
        )
    except StreamBreak:
        return  # Without the last part of the body, so the server closes the connection.
    if whole:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_quickly(send: Send, presence: _Presence, answer: Answer) -> bool:
    """Send all events, and return whether the client was there to the end."""
    for number, (event, _) in enumerate(answer.events(), start=1):
        await send({"type": "http.response.body", "body": event, "more_body": True})
        if number % _EVENTS_PER_TURN == 0 and not await presence.stays(0):
            return False
    return True


async def _send_paced(send: Send, presence: _Presence, answer: Answer, latency: Latency) -> bool:
    """Send each token when it is due since the beginning, so that no delay adds to the next."""
    loop, tokens = asyncio.get_running_loop(), 0
    began = loop.time()
    for event, is_token in answer.events():
        if not await presence.stays(began + latency.due(tokens) - loop.time()):
            return False
        await send({"type": "http.response.body", "body": event, "more_body": True})
        tokens += is_token
    return True


def _start(status: int, content_type: str, headers: Mapping[str, str]) -> Message:
    pairs = {"content-type": content_type, **headers}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs.items()]
    return {"type": "http.response.start", "status": status, "headers": raw}


def _notes(conversation: Conversation) -> dict[str, str]:
    return {"x-agentrun-notes": "; ".join(conversation.notes)} if conversation.notes else {}
