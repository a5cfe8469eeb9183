"""Whether a request comes from the server's own machine, and not from a page of somebody else's in a browser there."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import Request

# What a proxy adds: then the address is its own, whoever asked.
_FORWARDING = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def is_local(request: Request) -> bool:
    """Whether a program on this machine asks, or a page that came from this server by its loopback address.

    A page of another origin can make a browser ask, also under a name of its own that leads here.
    """
    headers = request.headers
    if not request.client or not _is_loopback(request.client.host) or any(name in headers for name in _FORWARDING):
        return False
    if not _is_loopback(_host(f"//{headers.get('host', '')}")):
        return False
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == headers.get("host")
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
