"""One agent behind three servers, for measuring: `python -m benchmarks.agent_servers KIND PORT`.

The kinds are ours, blocking, bare and agentscope; peers run without agentrun beside them. What is asked says what to
do: `deltas N` gives N pieces of text, `forever` gives them without end, `wait` gives one and then nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Callable
from importlib import import_module
from typing import Any

PIECE = "a piece of text "
given = 0
cancelled_at = 0.0


async def pieces(asked: str) -> AsyncGenerator[str, None]:
    """What the agent says."""
    global given, cancelled_at
    given = 0
    order, _, number = asked.partition(" ")
    try:
        for _ in range(int(number) if order == "deltas" else 1 if order == "wait" else 10**9):
            given += 1
            yield PIECE
        if order == "wait":
            await asyncio.sleep(3600)
    except (asyncio.CancelledError, GeneratorExit):
        cancelled_at = time.monotonic()
        raise


def state() -> dict[str, float]:
    """How many pieces the last run gave, and when it was cancelled."""
    return {"given": given, "cancelled_at": cancelled_at}


def ours() -> Any:
    """`AgentApp`."""
    from agentrun.server import AgentApp

    app = AgentApp()

    @app.query(framework="text")
    async def query(msgs: str, _: Any) -> AsyncGenerator[str, None]:
        async for piece in pieces(msgs):
            yield piece

    app.get("/state")(state)
    return app


def blocking() -> Any:
    """`AgentApp` with an agent that blocks its thread for as many seconds as it is asked to."""
    from agentrun.server import AgentApp

    app = AgentApp()

    @app.query(framework="text")
    def query(msgs: str, _: Any) -> str:
        time.sleep(float(msgs))
        return PIECE

    return app


def bare() -> Any:
    """FastAPI alone, with server-sent events written by hand."""
    from fastapi import FastAPI, Request
    from fastapi.responses import StreamingResponse

    app = FastAPI()

    async def events(asked: str) -> AsyncGenerator[str, None]:
        number = 0
        async for piece in pieces(asked):
            yield f"data: {json.dumps({'sequence_number': number, 'delta': True, 'text': piece})}\n\n"
            number += 1

    async def process(request: Request) -> StreamingResponse:
        asked = (await request.json())["input"][0]["content"][0]["text"]
        return StreamingResponse(events(asked), media_type="text/event-stream")

    app.add_route("/process", process, methods=["POST"])
    app.get("/state")(state)
    app.get("/health")(lambda: {"status": "ok"})
    return app


def agentscope() -> Any:
    """AgentScope Runtime."""
    engine: Any = import_module("agentscope_runtime.engine")

    async def query_handler(_: Any, *__: Any, request: Any = None, **___: Any) -> AsyncGenerator[str, None]:
        async for piece in pieces(request.input[0].content[0].text):
            yield piece

    runner: Any = type("Agent", (engine.Runner,), {"framework_type": "text", "query_handler": query_handler})()
    # Its constructor sets what the class has.
    runner.framework_type = "text"
    app: Any = engine.AgentApp(runner=runner)
    app.get("/state")(state)
    return app


def main(kind: str, port: str) -> None:
    """Serve until a signal ends it."""
    import uvicorn

    kinds: dict[str, Callable[[], Any]] = {"ours": ours, "blocking": blocking, "bare": bare, "agentscope": agentscope}
    uvicorn.run(kinds[kind](), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
