"""What the agent answers over HTTP, one file for each part of the interface."""

from __future__ import annotations
