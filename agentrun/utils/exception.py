"""The exceptions under the official client's path; all of them are in `agentrun.errors`."""

from __future__ import annotations

from agentrun.errors import (
    AgentRunError,
    BrowserToolError,
    ClientError,
    DeleteResourceError,
    HTTPError,
    ResourceAlreadyExistError,
    ResourceNotExistError,
    ServerError,
)

__all__ = [
    "AgentRunError",
    "BrowserToolError",
    "ClientError",
    "DeleteResourceError",
    "HTTPError",
    "ResourceAlreadyExistError",
    "ResourceNotExistError",
    "ServerError",
]
