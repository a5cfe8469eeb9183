"""A way to the network for addresses that somebody else names: only to what is public, whatever a name resolves to.

The address that is checked is the one that is connected to, so a name that resolves differently the next time gains
nothing. Proxies of the environment are not used: they would resolve the name themselves.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Iterable
from typing import Any

import httpcore
import httpx

from agentrun._core.heads import LoopNetwork
from agentrun._core.session import Session
from agentrun._core.transports import BlockingNetwork, DeadlineTransport, LoopTransport, Network, trusted

# None is kept: there is no telling which of the servers that others name will ever be asked again.
_LIMITS = httpx.Limits(max_connections=50, max_keepalive_connections=0)
_EMBEDDING = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class NotPublicError(httpcore.ConnectError):
    """A host has an address that is not public."""


def is_public(address: str) -> bool:
    """Whether an address is one of the internet, and none of this machine, its networks or its provider."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and any(ip in network for network in _EMBEDDING):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _checked(host: str, found: Iterable[Any], also: Collection[str]) -> str:
    """The first address, when all of them are public or the host is one of those that are allowed."""
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses:
        raise httpcore.ConnectError(f"{host} has no address")
    if host not in also and not all(map(is_public, addresses)):
        raise NotPublicError(f"{host} is not on the public internet")
    return addresses[0]


class _PublicNetwork(BlockingNetwork):
    def __init__(self, also: Collection[str]) -> None:
        super().__init__()
        self._also = also

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return super().connect_tcp(_checked(host, found, self._also), port, timeout, local_address, socket_options)


class _PublicLoopNetwork(LoopNetwork):
    def __init__(self, also: Collection[str]) -> None:
        super().__init__()
        self._also = also

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        address = _checked(host, found, self._also)
        return await super().connect_tcp(address, port, timeout, local_address, socket_options)


def public_session(also: Collection[str] = ()) -> Session:
    """A session whose connections lead to public addresses only, and to these hosts."""
    return Session(
        Network(
            lambda _: DeadlineTransport(trusted(), _LIMITS, _PublicNetwork(also)),
            lambda _: LoopTransport(trusted(), _LIMITS, _PublicLoopNetwork(also)),
        )
    )
