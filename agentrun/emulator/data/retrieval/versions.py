"""The version of an API, which a signed request names."""

from __future__ import annotations

from agentrun.emulator.http import Request
from agentrun.emulator.wire.envelope import invalid


def check_version(request: Request, version: str) -> None:
    """Refuse a request for another version of an API (400)."""
    named = request.headers.get("x-acs-version", version)
    if named != version:
        raise invalid(f"x-acs-version must be {version}, not {named}")
