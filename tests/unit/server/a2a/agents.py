"""Agents that do what a test says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

from agentrun.server import AgentRequest
from tests.unit.server.serving import PATIENCE


class Listening:
    """An agent that keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[AgentRequest] = []

    def __call__(self, request: AgentRequest) -> str:
        self.requests.append(request)
        return f"answer {len(self.requests)}"


class Waiting:
    """An agent that waits after a word until it may go on, and tells when it was stopped."""

    def __init__(self) -> None:
        self.waits = threading.Event()
        self.go_on = threading.Event()
        self.stopped = threading.Event()

    async def __call__(self, request: AgentRequest) -> AsyncIterator[str]:
        yield "one"
        self.waits.set()
        try:
            for _ in range(int(PATIENCE * 100)):
                if self.go_on.is_set():
                    break
                await asyncio.sleep(0.01)
            yield " two"
        except (asyncio.CancelledError, GeneratorExit):
            self.stopped.set()
            raise
