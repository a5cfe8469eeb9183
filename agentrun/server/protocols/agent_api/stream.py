"""A run of an agent as a stream of the Agent API, or as its one answer."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from agentrun.errors import InvalidInputError
from agentrun.server.events import AgentEvent
from agentrun.server.protocols.agent_api.frames import to_json
from agentrun.server.protocols.agent_api.model import AgentRequest, AgentResponse, AnyContent, Event, Message
from agentrun.server.protocols.agent_api.response_writer import ResponseWriter
from agentrun.server.protocols.frames import encoded

INVALID_REQUEST = "INVALID_REQUEST"

_OBJECTS: Mapping[str, TypeAdapter[Any]] = {
    "response": TypeAdapter(AgentResponse),
    "message": TypeAdapter(Message),
    "content": TypeAdapter(AnyContent),
}

_log = logging.getLogger("agentrun.server")


class Refusal(NamedTuple):
    """The answer to a request that cannot be carried out, in both of its forms."""

    frames: bytes
    response: AgentResponse


def stream(request: AgentRequest, events: AsyncIterable[AgentEvent]) -> AsyncGenerator[bytes, None]:
    """The frames of a run, as they come; whatever goes wrong, the last one says how the response ended.

    Who stops to read closes this generator, and with it the events.
    """
    return _frames(ResponseWriter(request), events)


async def answer(request: AgentRequest, events: AsyncIterable[AgentEvent]) -> AgentResponse:
    """The response of a run, when it is over."""
    writer = ResponseWriter(request)
    async for _ in _frames(writer, events):
        pass
    return writer.response


def refuse(error: InvalidInputError, request: AgentRequest | None = None) -> Refusal:
    """A response that failed before an agent was asked; `request` where it could be read."""
    writer = ResponseWriter(request)
    return Refusal(writer.begin() + writer.fail(INVALID_REQUEST, str(error)), writer.response)


def response_json(response: AgentResponse) -> bytes:
    """A response as the JSON that is sent."""
    return encoded(to_json(response))


def read_frames(frames: bytes) -> Iterator[Event]:
    """The objects of some frames, as their models; what is no object of the Agent API is passed over."""
    for frame in frames.split(b"\n\n"):
        document = frame.removeprefix(b"data: ")
        kind = _OBJECTS.get(_object_of(document))
        if kind is not None:
            yield kind.validate_json(document)


def _object_of(document: bytes) -> str:
    try:
        found: Any = json.loads(document)
        return str(found["object"])
    except (ValueError, TypeError, KeyError):
        return ""


async def _frames(writer: ResponseWriter, events: AsyncIterable[AgentEvent]) -> AsyncGenerator[bytes, None]:
    yield writer.begin()
    async with AsyncExitStack() as stack:
        close: Any = getattr(events, "aclose", None)
        if close is not None:
            stack.push_async_callback(close)
        try:
            async for event in events:
                if frames := writer.write(event):
                    yield frames
                if writer.is_over:
                    return
            last = writer.complete()
        except Exception as error:
            _log.exception("A response could not be completed")
            last = writer.fail_with(error)
        yield last
