"""Servers that tools stand for, and the way of a request to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import unquote, urljoin, urlsplit

from agentrun._serving.upstream import Address, Headers, Host
from agentrun.emulator.data.proxy import Passage, Proxy, passed_on, with_query
from agentrun.emulator.data.tools.injection import Injection
from agentrun.emulator.http import Request
from agentrun.emulator.wire.envelope import invalid

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Server:
    """A server and what is added to every request to it; `url` tells its host, and the path that others are below."""

    what: str
    address: Address
    url: str
    injection: Injection

    @classmethod
    def at(cls, what: str, url: str, injection: Injection) -> Server:
        """A server on the network."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        host = Host(parts.hostname or "", parts.port or _PORTS[parts.scheme], tls)
        return cls(what, host, url, injection)

    def below(self, path: str) -> Server:
        """The same server at a path below this one."""
        return replace(self, url=f"{self.url}{path}")

    def resolved(self, reference: str) -> Server | None:
        """The same server at another path, None when a reference leads to another server."""
        url = urljoin(self.url, reference)
        here, there = urlsplit(self.url), urlsplit(url)
        same = (here.scheme, here.netloc) == (there.scheme, there.netloc)
        return replace(self, url=url) if same else None

    async def forward(self, proxy: Proxy, request: Request, below: str, request_id: str, *, plain: bool = False) -> int:
        """Pass a request on to what is below the server's path; `plain` asks for an answer without compression."""
        if ".." in unquote(below).split("/"):
            raise invalid(f"{request.path}: a path to a tool has no ..")
        parts = urlsplit(self.url)
        given = "&".join(part for part in (parts.query, request.query_string) if part)
        target = with_query(f"{parts.path}{below}" or "/", self.injection.into_query(given))
        headers = self._headers(passed_on(request, request_id), parts.netloc.rpartition("@")[2], plain=plain)
        return await proxy.pass_on(request, self.address, Passage(self.what, target, headers), request_id)

    def _headers(self, given: Headers, host: str, *, plain: bool) -> Headers:
        left_out = (b"host", b"accept-encoding") if plain else (b"host",)
        kept = [pair for pair in given if pair[0] not in left_out]
        return [(b"host", host.encode()), *self.injection.into_headers(kept)]
