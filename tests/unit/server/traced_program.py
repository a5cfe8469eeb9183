"""A served agent as its users start it: the port is the first argument.

`own` behind it sets a provider first, `key` lets the server ask for a key, and `page` adds the page to talk to it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from typing import Any

from pydantic import SecretStr

from agentrun.server import AgentEvent, AgentRequest, AgentRunServer, EventType, ServerConfig


async def guide(request: AgentRequest) -> AsyncGenerator[Any, None]:
    if request.messages[-1].text == "fail":
        raise ValueError("it cannot be done")
    yield AgentEvent(event=EventType.TOOL_CALL, data={"id": "c1", "name": "look", "args": "{}"})
    yield AgentEvent(event=EventType.TOOL_RESULT, data={"id": "c1", "result": "cheese"})
    yield "the answer"
    if request.messages[-1].text == "stay":
        await asyncio.sleep(3600)
    yield AgentEvent(event=EventType.USAGE, data={"input_tokens": 3, "output_tokens": 5})


def set_own_provider() -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stdout)))
    trace.set_tracer_provider(provider)


if __name__ == "__main__":
    if "own" in sys.argv:
        set_own_provider()
    keys = [SecretStr("a-key")] if "key" in sys.argv else []
    config = ServerConfig(api_keys=keys, web_ui="page" in sys.argv)
    AgentRunServer(guide, config=config).start(port=int(sys.argv[1]), log_level="warning")
