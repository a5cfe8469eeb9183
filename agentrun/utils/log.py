"""The logger under the official client's path; agentrun adds no handler and sets no level."""

from __future__ import annotations

import logging

__all__ = ["logger"]

logger = logging.getLogger("agentrun")
