"""Agents whose every step a test chooses, or watches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

from agentrun.server import AgentEvent, AgentRequest, EventType
from tests.unit.server.serving import PATIENCE


def event(kind: str, **data: Any) -> AgentEvent:
    return AgentEvent(event=EventType(kind), data=data)


def agent(*items: Any) -> Any:
    """An agent that gives these, and raises errors among them."""

    async def handler(_: AgentRequest) -> AsyncIterator[Any]:
        for item in items:
            if isinstance(item, BaseException):
                raise item
            yield item
            await asyncio.sleep(0)

    return handler


class Listening:
    """An agent that keeps what it was asked."""

    def __init__(self, answer: str = "ok") -> None:
        self.request = AgentRequest()
        self._answer = answer

    def __call__(self, request: AgentRequest) -> str:
        self.request = request
        return self._answer


class Watched:
    """An agent that waits after a word, and tells when it is stopped."""

    def __init__(self) -> None:
        self.waits = threading.Event()
        self.stopped = threading.Event()

    async def __call__(self, request: AgentRequest) -> AsyncIterator[str]:
        yield "one"
        self.waits.set()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            self.stopped.set()
