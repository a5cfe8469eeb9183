"""What the local platform can do beyond the cloud, and how a call that the cloud does not know is refused.

The emulator marks each of its answers with the header `x-agentrun-emulator`. An extension that is answered with "no
such thing" and without that mark becomes an UnsupportedError, which says what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from agentrun.errors import Executed, HTTPError, UnsupportedError

EMULATOR_HEADER = "x-agentrun-emulator"
_UNKNOWN_THERE = (400, 404, 405, 501)


@dataclass(frozen=True)
class Extension:
    """Something that only the local platform does: what users call it, and what they can do elsewhere."""

    name: str
    instead: str

    def unsupported(self, error: HTTPError | None = None) -> UnsupportedError:
        """The error for a platform that does not have it."""
        return UnsupportedError(
            (error.status_code if error else None) or 501,
            f"{self.name} is an extension of the local platform, and this endpoint does not have it",
            error.request_id if error else None,
            error.error_code if error else None,
            executed=Executed.NO,
            hint=self.instead,
        )

    def is_unknown_to(self, error: HTTPError) -> bool:
        """Whether an answer comes from a platform that does not have this extension."""
        return error.status_code in _UNKNOWN_THERE and not is_emulator(error.response_headers)

    def require(self, endpoint: str) -> None:
        """Raise UnsupportedError unless the endpoint is on this machine: others might ignore what they do not know."""
        if not is_loopback(endpoint):
            raise self.unsupported()


def is_emulator(headers: Mapping[str, str]) -> bool:
    """Whether an answer with these headers comes from the local platform."""
    return EMULATOR_HEADER in headers


def is_loopback(endpoint: str) -> bool:
    """Whether a base URL leads to this machine."""
    host = urlsplit(endpoint).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
