"""The transports of MCP as one ASGI application: streamable HTTP at `/mcp`, and the older HTTP with SSE at `/sse`.

Streams cannot be resumed: their events have no ids. What a server says of its own accord while nobody listens waits
for the next one who does.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from agentrun.emulator.bridge.http import EVENTS, JSON, PING_SECONDS, Exchange, Receive, Refused, Scope, Send
from agentrun.emulator.bridge.messages import INVALID_REQUEST, Message, MessageError, read
from agentrun.emulator.bridge.plan import MESSAGES, SSE, STATE, STREAMABLE
from agentrun.emulator.bridge.session import Session, Stream
from agentrun.emulator.bridge.sessions import Sessions, TooMany

SESSION_HEADER, VERSION_HEADER = "mcp-session-id", "mcp-protocol-version"
_INITIALIZE = "initialize"


class BridgeApp:
    """Serves the sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served here")
        exchange = Exchange(scope, receive, send)
        try:
            await self._route(scope["path"], exchange)
        except Refused as refused:
            await exchange.answer(refused.status, refused.body)
        except MessageError as error:
            await exchange.answer(400, Refused(400, str(error), code=error.code).body)
        except ConnectionAbortedError:
            return

    async def _route(self, path: str, exchange: Exchange) -> None:
        handler = {
            ("POST", STREAMABLE): self._post,
            ("GET", STREAMABLE): self._listen,
            ("DELETE", STREAMABLE): self._delete,
            ("GET", SSE): self._sse,
            ("POST", MESSAGES): self._message,
            ("GET", STATE): self._state,
        }.get((exchange.method, path))
        if handler is not None:
            await handler(exchange)
        elif path in (STREAMABLE, SSE, MESSAGES):
            raise Refused(405, f"{path} does not take {exchange.method}")
        else:
            raise Refused(404, f"there are {STREAMABLE} and {SSE}, and no {path}")

    async def _state(self, exchange: Exchange) -> None:
        await exchange.answer_json({"sessions": len(self._sessions), "crash": self._sessions.crash})

    # Streamable HTTP

    async def _post(self, exchange: Exchange) -> None:
        exchange.check_accepts(JSON, EVENTS)
        exchange.check_is_json()
        message = read(await exchange.body())
        if message.method == _INITIALIZE and SESSION_HEADER not in exchange.headers:
            await self._initialize(exchange, message)
            return
        session = self._session(exchange, message)
        if message.is_request:
            await self._ask(exchange, session, message)
        else:
            await session.peer.send(message)
            await exchange.answer(202)

    async def _initialize(self, exchange: Exchange, message: Message) -> None:
        if message.id is None:
            raise Refused(400, "initialize is a request and needs an id")
        session = await self._open(message)
        if not await self._ask(exchange, session, message):
            await self._sessions.end(session, "the caller went away before the session began")

    async def _open(self, message: Message | None = None, *, all_on_one: bool = False) -> Session:
        id = message.id if message else None
        try:
            return await self._sessions.open(all_on_one=all_on_one)
        except TooMany as error:
            raise Refused(503, str(error), id=id) from error
        except OSError as error:
            raise Refused(502, f"the server cannot be started: {error.strerror or error}", id=id) from error

    async def _ask(self, exchange: Exchange, session: Session, message: Message) -> bool:
        """Send a request on and its answer back; whether the caller has waited for it."""
        stream = session.expect(message)
        if stream is None:
            raise Refused(400, f"a request with the id {message.id} is under way", id=message.id)
        try:
            async with exchange.watching(stream):
                await session.peer.send(message)
                return await self._answer(exchange, session, stream)
        finally:
            session.forget(message)

    async def _answer(self, exchange: Exchange, session: Session, stream: Stream) -> bool:
        """Send the answer alone as JSON, or as the last of the events that came before it."""
        try:
            message = await stream.next(PING_SECONDS)
        except TimeoutError:
            return await self._answer_with_events(exchange, session, stream, None)
        if message is not None and not message.is_response:
            return await self._answer_with_events(exchange, session, stream, message)
        if message is not None:
            await exchange.answer(200, message.line, mcp_session_id=session.id)
        return message is not None

    async def _answer_with_events(
        self, exchange: Exchange, session: Session, stream: Stream, message: Message | None
    ) -> bool:
        await exchange.begin_events(mcp_session_id=session.id)
        if message is not None:
            await exchange.event("message", message.line)
        while (message := await exchange.next(stream)) is not None:
            await exchange.event("message", message.line)
            if message.is_response:
                await exchange.end_events()
                return True
        return False

    async def _listen(self, exchange: Exchange) -> None:
        exchange.check_accepts(EVENTS)
        session = self._session(exchange)
        stream = session.listen()
        if stream is None:
            raise Refused(409, "the session has such a stream already")
        try:
            await exchange.begin_events(mcp_session_id=session.id)
            await exchange.ping()
            await exchange.pour(stream)
        finally:
            session.stop_listening()

    async def _delete(self, exchange: Exchange) -> None:
        await self._sessions.end(self._session(exchange), "the client ended the session")
        await exchange.answer(200)

    def _session(self, exchange: Exchange, message: Message | None = None) -> Session:
        """The session that a request names. Raises Refused (400, 404)."""
        id = message.id if message else None
        name = exchange.headers.get(SESSION_HEADER)
        if name is None:
            raise Refused(400, f"the header {SESSION_HEADER} is missing: begin with {_INITIALIZE}", id=id)
        session = self._sessions.find(name)
        if session is None:
            raise Refused(404, f"there is no session {name} (any more): begin with {_INITIALIZE}", id=id)
        version = exchange.headers.get(VERSION_HEADER)
        if version and session.protocol_version and version != session.protocol_version:
            text = f"{VERSION_HEADER} is {version}, and the session speaks {session.protocol_version}"
            raise Refused(400, text, code=INVALID_REQUEST, id=id)
        return session

    # HTTP with SSE

    async def _sse(self, exchange: Exchange) -> None:
        exchange.check_accepts(EVENTS)
        session = await self._open(all_on_one=True)
        stream = session.listen()
        assert stream is not None
        try:
            await exchange.begin_events()
            # Relative to this path, whatever stands before it outside.
            await exchange.event("endpoint", f"{MESSAGES[1:]}?sessionId={session.id}".encode())
            await exchange.pour(stream)
        finally:
            session.stop_listening()
            await self._sessions.end(session, "the client closed its stream")

    async def _message(self, exchange: Exchange) -> None:
        exchange.check_is_json()
        query: dict[str, Any] = parse_qs(exchange.scope["query_string"].decode("latin-1"))
        session = self._sessions.find("".join(query.get("sessionId", [])))
        if session is None:
            raise Refused(404, f"there is no such session (any more): open {SSE}")
        await session.peer.send(read(await exchange.body()))
        await exchange.answer(202)
