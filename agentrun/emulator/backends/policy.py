"""Which destinations a network policy lets through, and which rule a refused one would need."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import unquote

from agentrun.emulator.backends.base import NetworkPolicy, NetworkRule

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

OFF, ON, ALLOW_LIST = "off", "on", "allow-list"
MODES = (OFF, ON, ALLOW_LIST)
TRANSLATED_TO_IPV4 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
# The widest blocks that hold private addresses only, 10.0.0.0/8 and fc00::/7: a wider one means the internet.
WIDEST_PRIVATE = {4: 8, 6: 7}
MOST_DECODINGS = 3


@dataclass(frozen=True)
class Destination:
    """Where a request wants to go; `method` is None for a tunnel, into which nobody can look.

    `host` is in lower case: a name without its last dot, or an address without brackets.
    """

    host: str
    port: int
    method: str | None = None
    path: str = "/"

    @property
    def is_address(self) -> bool:
        """Whether the host is written as an address."""
        return as_address(self.host) is not None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def is_public(address: Address) -> bool:
    """Whether the address belongs to somebody on the internet, also when it wraps an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if any(address in network for network in TRANSLATED_TO_IPV4) or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def as_address(text: str) -> Address | None:
    """The address that a text is, None when it is a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


# Decisions; each gives the reason of a refusal, None when there is none


def refusal_by_name(policy: NetworkPolicy, destination: Destination) -> str | None:
    """Why a host must not even be looked up; a look-up tells its name to others."""
    if policy.mode == OFF:
        return f"{destination} is refused: the network of this sandbox is off"
    if policy.mode == ON or any(_fits(rule, destination) for rule in _by_name(policy.allow, destination)):
        return None
    return _not_listed(policy.allow, destination, {"domain": destination.host})


def refusal_by_address(
    policy: NetworkPolicy, destination: Destination, address: Address, public: Callable[[Address], bool] = is_public
) -> str | None:
    """Why an address must not be connected to; it is one that the host of the destination has."""
    if policy.mode == OFF:
        return refusal_by_name(policy, destination)
    if policy.mode == ON:
        return None if public(address) else _not_public(destination, address)
    fitting = [rule for rule in policy.allow if _fits(rule, destination)]
    if any(_holds(rule, address, public) for rule in fitting):
        return None
    named = [rule for rule in fitting if _names(rule, destination)]
    if named and public(address):
        return None
    return _not_public(destination, address) if named else _not_listed(policy.allow, destination, _block(address))


def matches_domain(pattern: str, host: str) -> bool:
    """Whether a name is the pattern's; `*.a.b` are all names below a.b, `*` is every name."""
    if pattern == "*":
        return True
    return host.endswith(pattern[1:]) and host != pattern[1:] if pattern.startswith("*.") else host == pattern


def matches_path(pattern: str, path: str) -> bool:
    """Whether a path is the pattern's, `*` standing for anything; none is that a server may read as another one."""
    decoded = _decoded(path.partition("?")[0])
    if decoded is None or any(part in (".", "..") for part in re.split(r"[/\\]", decoded)):
        return False
    return _matches(pattern.split("*"), decoded)


@lru_cache(maxsize=1024)
def block(cidr: str) -> Network:
    """A block of addresses; raises ValueError."""
    return ipaddress.ip_network(cidr)


def _matches(pieces: list[str], text: str) -> bool:
    """Whether a text has these pieces in order and nothing around them; in linear time, whoever wrote them."""
    first, *middle = pieces
    if not middle:
        return text == first
    *middle, last = middle
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    begin, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, begin, end)
        if found < 0:
            return False
        begin = found + len(piece)
    return True


def _decoded(path: str) -> str | None:
    for _ in range(MOST_DECODINGS):
        decoded = unquote(path)
        if decoded == path:
            return decoded
        path = decoded
    return None


def _by_name(rules: Iterable[NetworkRule], destination: Destination) -> list[NetworkRule]:
    """The rules that may hold for a destination whose addresses are not known yet."""
    return [rule for rule in rules if rule.cidr or _names(rule, destination)]


def _names(rule: NetworkRule, destination: Destination) -> bool:
    named = rule.domain is not None and not destination.is_address
    return named and matches_domain(rule.domain or "", destination.host)


def _holds(rule: NetworkRule, address: Address, public: Callable[[Address], bool]) -> bool:
    if rule.cidr is None:
        return False
    network = block(rule.cidr)
    address = getattr(address, "ipv4_mapped", None) or address
    return address in network and (public(address) or network.prefixlen >= WIDEST_PRIVATE[network.version])


def _fits(rule: NetworkRule, destination: Destination) -> bool:
    if rule.ports and destination.port not in rule.ports:
        return False
    if not _looks_inside(rule):
        return True
    if destination.method is None or (rule.methods and destination.method not in rule.methods):
        return False
    return not rule.paths or any(matches_path(pattern, destination.path) for pattern in rule.paths)


def _looks_inside(rule: NetworkRule) -> bool:
    return bool(rule.methods or rule.paths)


# Reasons


def _not_public(destination: Destination, address: Address) -> str:
    rule = _written(_block(address), destination.port)
    return (
        f"{destination} ({address}) is refused: only public addresses can be reached; "
        f"a private one needs the allow-list rule {rule}"
    )


def _not_listed(rules: Iterable[NetworkRule], destination: Destination, whom: dict[str, object]) -> str:
    whom = _block(found) if (found := as_address(destination.host)) else whom
    looking = any(_looks_inside(rule) for rule in _by_name(rules, destination))
    if destination.method is None:
        why = " (its rule names methods or paths, which nobody can check inside a tunnel such as https)"
        return (
            f"{destination} is refused{why if looking else ''}: the allow-list would need "
            f"the rule {_written(whom, destination.port)}"
        )
    path = destination.path.partition("?")[0]
    inside: dict[str, object] = {"methods": [destination.method], "paths": [path]} if looking else {}
    return (
        f"{destination.method} http://{destination}{path} is refused: the allow-list would need "
        f"the rule {_written({**whom}, destination.port, **inside)}"
    )


def _block(address: Address) -> dict[str, object]:
    return {"cidr": f"{address}/{address.max_prefixlen}"}


def _written(whom: dict[str, object], port: int, **more: object) -> str:
    return json.dumps({**whom, "ports": [port], **more})
