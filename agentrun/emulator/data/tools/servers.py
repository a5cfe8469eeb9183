"""Servers that tools stand for, and the way of a request to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import unquote, urljoin, urlsplit

from agentrun._core.outbound import Outgoing, Proof
from agentrun._serving.asgi import Message, Send
from agentrun._serving.upstream import Address, Headers, Host
from agentrun.emulator.data.proxy import Passage, Proxy, passed_on, with_query
from agentrun.emulator.data.tools.injection import Showing
from agentrun.emulator.http import Request
from agentrun.emulator.wire.envelope import invalid

_PORTS = {"http": 80, "https": 443}
_UNAUTHORIZED = 401
_MOST_HELD = 256 * 1024


@dataclass(frozen=True)
class Server:
    """A server of a tool; `url` tells its host, and the path that others are below."""

    what: str
    address: Address
    url: str

    @classmethod
    def at(cls, what: str, url: str) -> Server:
        """A server on the network."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(what, Host(parts.hostname or "", parts.port or _PORTS[parts.scheme], tls), url)

    def below(self, path: str) -> Server:
        """The same server at a path below this one."""
        return replace(self, url=f"{self.url}{path}")

    def resolved(self, reference: str) -> Server | None:
        """The same server at another path, None when a reference leads to another server."""
        url = urljoin(self.url, reference)
        here, there = urlsplit(self.url), urlsplit(url)
        same = (here.scheme, here.netloc) == (there.scheme, there.netloc)
        return replace(self, url=url) if same else None

    def url_for(self, request: Request, below: str) -> str:
        """Where a request for what is below the server's path goes, with both queries. Raises ServiceError (400)."""
        if ".." in unquote(below).split("/"):
            raise invalid(f"{request.path}: a path to a tool has no ..")
        parts = urlsplit(self.url)
        query = "&".join(part for part in (parts.query, request.query_string) if part)
        host = parts.netloc.rpartition("@")[2]
        return with_query(f"{parts.scheme}://{host}{f'{parts.path}{below}' or '/'}", query)


@dataclass(frozen=True)
class Forwarding:
    """A request on its way to a tool's server; `plain` asks for an answer without compression."""

    proxy: Proxy
    request: Request
    request_id: str
    showing: Showing
    plain: bool = False

    async def to(self, server: Server, below: str) -> int:
        """Pass the request on to what is below the server's path; returns the status. Raises ServiceError."""
        url, whole = server.url_for(self.request, below), self.showing.needs_whole()
        body = await self.request.body() if whole else b""
        given = self._given()
        outgoing = Outgoing(self.request.method, url, _texts(given), body)
        shown = await self.showing.proof(outgoing)
        if not whole:
            return await self._send(server, url, given, shown)
        held = _Held(self.request.send)
        status = await self._send_whole(server, url, given, shown, held)
        other = await self.showing.again(outgoing, shown) if held.messages else None
        if other is None:
            await held.release()
            return status
        return await self._send_whole(server, url, given, other, self.request.send)

    def _given(self) -> Headers:
        left_out = (b"host", b"accept-encoding") if self.plain else (b"host",)
        return [pair for pair in passed_on(self.request, self.request_id) if pair[0] not in left_out]

    async def _send_whole(self, server: Server, url: str, given: Headers, shown: Proof, send: Send) -> int:
        """Send a request whose body was read, and its answer by a way of one's own."""
        self.request.replay()
        before, self.request.send = self.request.send, send
        try:
            return await self._send(server, url, given, shown)
        finally:
            self.request.send = before

    async def _send(self, server: Server, url: str, given: Headers, shown: Proof) -> int:
        target = urlsplit(shown.url(url))
        host = (b"host", target.netloc.encode())
        passage = Passage(server.what, with_query(target.path, target.query), [host, *_shown(given, shown)])
        return await self.proxy.pass_on(self.request, server.address, passage, self.request_id)


class _Held:
    """Holds an answer back that refuses what was shown, unless it is long; passes any other on."""

    def __init__(self, send: Send) -> None:
        self.messages: list[Message] = []
        self._send = send

    async def __call__(self, message: Message) -> None:
        refused = message.get("status") == _UNAUTHORIZED or bool(self.messages)
        if not refused:
            await self._send(message)
            return
        self.messages.append(message)
        if sum(len(each.get("body", b"")) for each in self.messages) > _MOST_HELD:
            await self.release()

    async def release(self) -> None:
        """Pass on what is held."""
        messages, self.messages = self.messages, []
        for message in messages:
            await self._send(message)


def _texts(headers: Headers) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def _shown(given: Headers, shown: Proof) -> Headers:
    """The headers of a request with those of its proof in place of the caller's own."""
    cookie = "; ".join(value.decode("latin-1") for name, value in given if name == b"cookie")
    own = {name.lower().encode(): value.encode() for name, value in shown.all_headers(cookie).items()}
    return [*(pair for pair in given if pair[0] not in own), *own.items()]
