"""Access keys lent to a request, under the official client's path."""

from __future__ import annotations

from agentrun._core.credentials import (
    StsCredential,
    get_request_sts,
    reset_request_sts,
    set_request_sts,
    sts_from_headers,
    use_sts_credentials,
    use_sts_from_headers,
)

__all__ = [
    "StsCredential",
    "get_request_sts",
    "reset_request_sts",
    "set_request_sts",
    "sts_from_headers",
    "use_sts_credentials",
    "use_sts_from_headers",
]
