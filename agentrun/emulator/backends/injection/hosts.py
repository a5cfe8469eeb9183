"""Where a credential may be used: a scheme, a host and a port."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agentrun.emulator.backends.policy import as_address, matches_domain

HTTPS, HTTP = "https", "http"
PORTS = {HTTPS: 443, HTTP: 80}
_WRITTEN = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[^\[\]/:@?#]+))(?::(?P<port>\d{1,5}))?/?"
)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
# A wildcard over a whole top-level domain would be nobody's host.
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\*(?:\.{_LABEL}){{2,}}")


@dataclass(frozen=True)
class Origin:
    """Where a request really goes: the host is the one that was connected to, whatever the request says."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The host as a `Host` header names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True)
class AllowedHost:
    """One place at which a credential may be used; `*.` stands for all names below a domain."""

    domain: str
    port: int = PORTS[HTTPS]
    scheme: str = HTTPS

    @classmethod
    def read(cls, text: str) -> AllowedHost:
        """From `api.example.com`, `*.example.com`, `host:8443` or `http://host`; raises ValueError."""
        found = _WRITTEN.fullmatch(text.strip().lower())
        if found is None:
            raise ValueError(f"a host is written like api.example.com, *.example.com or host:8443, not {text[:80]!r}")
        scheme, domain = found["scheme"] or HTTPS, found["six"] or found["name"].removesuffix(".")
        if scheme not in PORTS:
            raise ValueError(f"a host is reached by https or http, not by {scheme}")
        if as_address(domain) is None and not _DOMAIN.fullmatch(domain):
            raise ValueError(f"{text[:80]!r} is no host: write a name in ASCII, with * only as its first part")
        port = int(found["port"] or PORTS[scheme])
        if not 0 < port < 65536:
            raise ValueError(f"the port of {text[:80]!r} must be from 1 to 65535")
        return cls(str(as_address(domain) or domain), port, scheme)

    def allows(self, origin: Origin) -> bool:
        """Whether a request to this origin may carry the secret."""
        return (self.scheme, self.port) == (origin.scheme, origin.port) and matches_domain(self.domain, origin.host)

    def covers(self, other: AllowedHost) -> bool:
        """Whether everything that the other one allows is allowed here too."""
        if (self.scheme, self.port) != (other.scheme, other.port):
            return False
        below = self.domain.startswith("*.") and other.domain.removeprefix("*").endswith(self.domain[1:])
        return self.domain == other.domain or (below and other.domain != self.domain[2:])

    def __str__(self) -> str:
        host = f"[{self.domain}]" if ":" in self.domain else self.domain
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{host}{port}" if self.scheme == HTTPS else f"{self.scheme}://{host}{port}"


def read_hosts(texts: Iterable[str]) -> tuple[AllowedHost, ...]:
    """Several hosts, each once; raises ValueError."""
    return tuple(dict.fromkeys(AllowedHost.read(text) for text in texts))


def allowed_at(hosts: Iterable[AllowedHost], origin: Origin) -> bool:
    """Whether one of the hosts allows the origin."""
    return any(host.allows(origin) for host in hosts)
