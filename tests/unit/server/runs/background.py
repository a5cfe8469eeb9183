"""An application whose tasks run in workers of Celery, which import it from here."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from agentrun.server import AgentApp

URL = os.environ.get("RUNS_REDIS")


class Shape(BaseModel):
    """What a task is asked for."""

    width: int
    height: int = 2


def build(**options: Any) -> AgentApp:
    """The application, with its tasks in this process or elsewhere."""
    app = AgentApp(enable_stream_task=True, **options)

    @app.init
    async def init(self: Any) -> None:
        self.greeting = "Good day"

    @app.query()
    async def query(self: Any, msgs: Any, request: Any = None, **_: Any) -> AsyncIterator[str]:
        text = msgs[-1].text
        if text == "fail":
            raise ValueError("no")
        yield f"{self.greeting} from {os.getpid() if text == 'pid' else text}"
        if text == "wait":
            await asyncio.sleep(600)

    @app.task("/square", queue="numbers")
    def square(body: Any) -> Any:
        return {"square": body["number"] ** 2, "process": os.getpid()}

    @app.task("/area", queue="numbers")
    async def area(shape: Shape) -> int:
        await asyncio.sleep(0)
        return shape.width * shape.height

    @app.task("/sum", queue="numbers")
    def add(first: int, second: int = 1) -> int:
        return first + second

    @app.task("/nothing")
    def nothing() -> str:
        return threading.current_thread().name

    @app.task("/fail", queue="numbers")
    def fail(body: Any) -> None:
        raise ValueError("no")

    @app.task("/wait", queue="numbers")
    async def wait(body: Any) -> None:
        await asyncio.sleep(600)

    return app


if URL is not None:
    celery = build(broker_url=URL, backend_url=URL).celery
