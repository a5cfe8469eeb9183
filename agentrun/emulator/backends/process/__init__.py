"""The process backend: sandboxes and services as confined processes of this machine."""

from __future__ import annotations

from agentrun.emulator.backends.process.backend import ProcessBackend

__all__ = ["ProcessBackend"]
