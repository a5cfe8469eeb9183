"""What is seen of a run from outside, by whatever counts or traces it."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import Enum
from typing import Any

from agentrun.server.events import AgentEvent, EventType

_DELTAS = (EventType.TEXT, EventType.REASONING)


class Outcome(str, Enum):
    """How a run ended; one that was interrupted, or whose client has gone, was cancelled."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Watch(ABC):
    """Sees one run; times are in seconds, and the first event is the agent's own, not one that a protocol adds.

    `sees_deltas` says whether `saw` is called with text and reasoning too; streams consist of little else.
    """

    sees_deltas = False

    def __init__(self) -> None:
        self.outcome = Outcome.COMPLETED
        self.error: dict[str, Any] = {}
        self.input_tokens = self.output_tokens = 0
        self.seconds_to_first_event: float | None = None
        self._began = 0.0

    @property
    def seconds(self) -> float:
        """How long the run takes so far."""
        return time.perf_counter() - self._began

    def begin(self) -> None:
        """The run starts; one whose client has gone before never does."""
        self._began = time.perf_counter()

    def saw(self, event: AgentEvent) -> None:
        """Take note of an event."""
        if event.event == EventType.USAGE:
            self.input_tokens += _number(event.data.get("input_tokens"))
            self.output_tokens += _number(event.data.get("output_tokens"))
        elif event.event == EventType.ERROR:
            self.fail(event.data)

    def fail(self, error: dict[str, Any]) -> None:
        """Take note of an error: its `message` and `code`."""
        self.error = error
        self.outcome = Outcome.CANCELLED if error.get("code") == "CancelledError" else Outcome.FAILED

    def cancel(self) -> None:
        """Take note that nobody waits for the rest; a run that failed before has failed all the same."""
        if self.outcome == Outcome.COMPLETED:
            self.outcome = Outcome.CANCELLED

    @abstractmethod
    def end(self) -> None:
        """The run is over."""


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


async def watched(events: AsyncGenerator[AgentEvent, None], watch: Watch) -> AsyncGenerator[AgentEvent, None]:
    """The events of a run, seen by a watch."""
    passed_over = () if watch.sees_deltas else _DELTAS
    is_first = True
    watch.begin()
    try:
        async with aclosing(events):
            async for event in events:
                if is_first:
                    is_first, watch.seconds_to_first_event = False, watch.seconds
                if event.event not in passed_over:
                    watch.saw(event)
                yield event
    except (asyncio.CancelledError, GeneratorExit):
        watch.cancel()
        raise
    except Exception as error:
        watch.fail({"message": str(error), "code": type(error).__name__})
        raise
    finally:
        watch.end()
