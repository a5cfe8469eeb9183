"""The docker backend: sandboxes as containers of this machine's engine."""

from __future__ import annotations

from agentrun.emulator.backends.docker.backend import DockerBackend

__all__ = ["DockerBackend"]
