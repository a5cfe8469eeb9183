"""The base of resources under the official client's path."""

from __future__ import annotations

from agentrun._core.resource import Resource as ResourceBase

__all__ = ["ResourceBase"]
