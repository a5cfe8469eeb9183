"""`Config` under the official client's path."""

from __future__ import annotations

from agentrun.config import Config

__all__ = ["Config"]
