"""The data plane's signature under the official client's path."""

from __future__ import annotations

from agentrun._core.api import data_headers
from agentrun._core.credentials import Credentials

__all__ = ["get_agentrun_signed_headers"]


def get_agentrun_signed_headers(
    url: str,
    method: str = "GET",
    access_key_id: str | None = None,
    access_key_secret: str | None = None,
    security_token: str | None = None,
    region: str = "cn-hangzhou",
) -> dict[str, str]:
    """The headers that sign one data-plane request, good for about fifteen minutes; none without an access key."""
    if not (access_key_id and access_key_secret):
        return {}
    return data_headers(method, url, Credentials(access_key_id, access_key_secret, security_token), region)
