"""What a protocol is to the server."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from agentrun._core.values import is_object
from agentrun._serving.openai_error import ApiError, bad_request
from agentrun.integration._outcome import as_json
from agentrun.server.events import AgentEvent
from agentrun.server.invoker import AgentInvoker
from agentrun.server.model import AgentRequest
from agentrun.server.protocols.frames import encoded

if TYPE_CHECKING:
    from fastapi import APIRouter

SESSION_HEADER = "x-agentrun-session-id"
# Where clients of OpenAI look for it: the official server's path, OpenAI's own, and that of Model Studio.
OPENAI_PREFIXES = ("/openai/v1", "/v1", "/compatible-mode/v1")


class ProtocolHandler(ABC):
    """Serves an agent in the words of a protocol."""

    name: str

    @abstractmethod
    def as_fastapi_router(self, agent_invoker: AgentInvoker) -> APIRouter:
        """The routes that answer for an agent."""

    def get_prefix(self) -> str:
        """The path below which the routes are."""
        return ""

    def get_prefixes(self) -> Sequence[str]:
        """All paths below which the routes are, the one of `get_prefix` first."""
        return [self.get_prefix()]

    def root_routes(self) -> Sequence[BaseRoute]:
        """What answers at a fixed path, whatever the prefix."""
        return []

    def running(self) -> AbstractAsyncContextManager[None]:
        """While this lasts the routes are served; what goes on between requests ends with it."""
        return nullcontext()


class Endpoint(NamedTuple):
    """What answers at a path below the prefix of a protocol; the path may be empty."""

    method: str
    path: str
    answer: Callable[[Request], Awaitable[Response]]


class BaseProtocolHandler(ProtocolHandler):
    """A protocol as a few endpoints, and a way to read its requests."""

    @abstractmethod
    def endpoints(self, agent_invoker: AgentInvoker) -> Sequence[Endpoint]:
        """What answers for an agent."""

    @abstractmethod
    async def parse_request(
        self, request: Request, request_data: dict[str, Any]
    ) -> tuple[AgentRequest, dict[str, Any]]:
        """What an agent is asked with a request, and what the answer needs to know of it; raises ApiError."""

    def as_fastapi_router(self, agent_invoker: AgentInvoker) -> APIRouter:
        """The routes that answer for an agent."""
        # FastAPI takes longer to load than all the rest; programs that use Starlette alone do without.
        from fastapi import APIRouter

        router = APIRouter()
        for method, path, answer in self.endpoints(agent_invoker):
            router.add_api_route(path, answer, methods=[method], response_model=None, tags=[self.name])
        return router


async def json_object(request: Request) -> dict[str, Any]:
    """The body of a request; raises ApiError when it is no JSON object."""
    try:
        document = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is not JSON: {error}", "invalid_json") from error
    if not is_object(document):
        raise bad_request(f"The body is a {type(document).__name__}, not a JSON object", "invalid_json")
    return document


def failure(event: AgentEvent) -> ApiError:
    """What an ERROR event says, for protocols that answer errors as OpenAI does."""
    status, code = int(event.data.get("status") or 500), event.data.get("code")
    kind = "internal_error" if status >= 500 else "invalid_request_error"
    return ApiError(status, str(event.data.get("message")), code and str(code), type=kind)


def dumps(value: Any) -> bytes:
    """Compact JSON; what an agent put into an event and JSON does not know is told as well as possible.

    Half of a character that two pieces of text share is written as JSON's escape, as UTF-8 has no form for it.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=as_json)
    return encoded(text)


def raw_frame(event: AgentEvent) -> bytes:
    """What a RAW event says, as it is, but for the end of its frame."""
    raw = event.data.get("raw") or ""
    text = raw.encode() if isinstance(raw, str) else dumps(raw)
    return text.rstrip(b"\n") + b"\n\n"
