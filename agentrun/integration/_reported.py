"""A call of a tool for frameworks that stream: how far it is, piece by piece, and last what it came to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun.integration._outcome import ToolOutcome
    from agentrun.integration._tool import Tool


@dataclass(frozen=True)
class Report:
    """How far a call is: how much is done, of how much if that is known, and what there is to say about it."""

    done: float
    total: float | None = None
    message: str | None = None

    @property
    def text(self) -> str:
        """The report as a person reads it: what there is to say, or else the numbers."""
        return self.message or (f"{self.done:g}" if self.total is None else f"{self.done:g} of {self.total:g}")


async def reported(
    tool: Tool, arguments: Mapping[str, Any], session_id: str | None = None
) -> AsyncGenerator[Report | ToolOutcome, None]:
    """The reports of a call as they come, also from other threads, and then its outcome; ends the call when closed."""
    loop = asyncio.get_running_loop()
    reports: asyncio.Queue[Report | None] = asyncio.Queue()

    def tell(done: float, total: float | None, message: str | None) -> None:
        loop.call_soon_threadsafe(reports.put_nowait, Report(done, total, message))

    call = asyncio.ensure_future(tool.outcome_async(arguments, session_id, tell))
    call.add_done_callback(lambda _: reports.put_nowait(None))
    try:
        while (report := await reports.get()) is not None:
            yield report
        yield await call
    finally:
        if call.cancel():
            await asyncio.wait([call])
