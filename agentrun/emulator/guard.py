"""Keeps web pages away: the emulator runs code, so no browser tab may reach it.

A page can make a browser send requests to this machine, also under a name of its own that it lets point here (DNS
rebinding). The first kind carries an `Origin` or a cross-site mark, the second a `Host` that is not ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentrun.emulator.wire.envelope import ServiceError, forbidden

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


def host_name(value: str) -> str:
    """The name in a Host header, without the port.

    The official client sends a whole URL there when it is pointed at a plain-HTTP endpoint, so a scheme is passed over.
    """
    netloc = value.rpartition("://")[2].rstrip("/")
    name, colon, port = netloc.rpartition(":")
    return (name if colon and port.isdigit() else netloc).lower()


class Guard:
    """Who may talk to the emulator at all."""

    def __init__(self, allowed_hosts: tuple[str, ...] = (), allowed_origins: tuple[str, ...] = ()) -> None:
        self._hosts = frozenset((*_LOOPBACK, *allowed_hosts))
        self._origins = frozenset(allowed_origins)

    def check(self, headers: Mapping[str, str]) -> None:
        """Refuse a request that a web page may have caused (403)."""
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins:
            raise forbidden("ERR_ORIGIN_REFUSED", f"requests from web pages are refused (Origin {origin})")
        if origin is None and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise forbidden("ERR_ORIGIN_REFUSED", "requests from other sites' pages are refused (Sec-Fetch-Site)")
        if (name := host_name(headers.get("host", ""))) not in self._hosts and "*" not in self._hosts:
            raise ServiceError(
                403, "ERR_HOST_REFUSED", f"Host {name!r} is not this emulator; allow it with --allow-host {name}"
            )
