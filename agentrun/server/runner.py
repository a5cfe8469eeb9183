"""An agent as a class: what it does when it starts, when it is asked, and when it ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from typing_extensions import Self

from agentrun.server.events import AgentEvent, EventType
from agentrun.server.invoker import AgentInvoker
from agentrun.server.lifecycle import Startable
from agentrun.server.protocols.agent_api.handler import question_of
from agentrun.server.protocols.agent_api.model import AgentRequest, Event
from agentrun.server.protocols.agent_api.request import named, read_request
from agentrun.server.protocols.agent_api.stream import read_frames, stream


class Runner(Startable):
    """What a class of an agent is built on: it overrides `query_handler`, and the other two where it needs them.

    With a `framework_type` the messages are those of that framework, as in `@app.query(framework=...)`. Any of the
    three may be a plain function, a coroutine or, for answers, a generator of either kind.
    """

    framework_type: str | None = None

    def query_handler(self, msgs: Any, request: Any = None, **kwargs: Any) -> Any:
        """Answer messages."""
        message = "There is no agent yet: write a function with @app.query(framework=...), or a Runner's query_handler"
        return AgentEvent(event=EventType.ERROR, data={"message": message, "code": "AGENT_NOT_FOUND", "status": 404})

    def init_handler(self) -> Any:
        """Make ready, before the first request."""

    def shutdown_handler(self) -> Any:
        """Put away, after the last one."""

    async def start(self) -> Self:
        """Make ready without a server around."""
        await AgentInvoker(self).start()
        return self

    async def stop(self) -> None:
        """Put away what was made ready."""
        await AgentInvoker(self).stop()

    async def stream_query(self, request: Any) -> AsyncGenerator[Event, None]:
        """One run as the objects of its stream, for a request as an object or a mapping; raises InvalidInputError."""
        asked = named(request) if isinstance(request, AgentRequest) else read_request(request)
        frames = stream(asked, AgentInvoker(self).invoke_stream(question_of(asked)))
        async with aclosing(frames):
            async for frame in frames:
                for event in read_frames(frame):
                    yield event
