"""The official client's name for a model."""

from __future__ import annotations

from agentrun.integration._model import CommonModel

__all__ = ["CommonModel"]
