"""Writes a run down while it runs, whoever reads it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from agentrun._serving.openai_error import ApiError
from agentrun.server.runs.frames import numbered
from agentrun.server.runs.journal import Writing

_log = logging.getLogger("agentrun.server")


async def write_down(writing: Writing, chunks: AsyncGenerator[bytes, None]) -> None:
    """Take the frames of a run to its end; cancelling this cancels the run."""
    error: ApiError | None = None
    try:
        async with aclosing(numbered(chunks)) as frames:
            async for frame in frames:
                writing.add(frame)
                await writing.room()
    except asyncio.CancelledError:
        error = ApiError(500, "The run was ended by its server", "CancelledError", type="internal_error")
        raise
    except ApiError as raised:
        error = raised
    except Exception as raised:
        _log.exception("The answer of the agent cannot be told")
        error = ApiError(500, str(raised), type(raised).__name__, type="internal_error")
    finally:
        await writing.end(error)
