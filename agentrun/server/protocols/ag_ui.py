"""The AG-UI protocol: `POST /ag-ui/agent`, one run for each request, always streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agentrun._serving.openai_error import ApiError
from agentrun.server.invoker import AgentInvoker
from agentrun.server.model import AgentRequest, AGUIProtocolConfig, ServerConfig
from agentrun.server.protocols.ag_ui_events import AguiRun
from agentrun.server.protocols.ag_ui_requests import read
from agentrun.server.protocols.protocol import BaseProtocolHandler, Endpoint, json_object
from agentrun.server.streaming import EventStream, error_answer

_DEFAULTS = AGUIProtocolConfig()
_OF_AGENTSCOPE = "/ag-ui"


class AGUIProtocolHandler(BaseProtocolHandler):
    """Serves an agent to the user interfaces that speak AG-UI."""

    name = "ag-ui"

    def __init__(self, config: ServerConfig | None = None) -> None:
        self._config = (config.agui if config else None) or _DEFAULTS

    def get_prefix(self) -> str:
        """The path of the endpoint."""
        return _DEFAULTS.prefix or "" if self._config.prefix is None else self._config.prefix

    def get_prefixes(self) -> Sequence[str]:
        """Unless another one was chosen, also the path at which AgentScope Runtime has it."""
        prefix = self.get_prefix()
        return [prefix, _OF_AGENTSCOPE] if prefix == _DEFAULTS.prefix else [prefix]

    def endpoints(self, agent_invoker: AgentInvoker) -> Sequence[Endpoint]:
        """What answers for an agent."""

        async def run_agent(request: Request) -> Response:
            try:
                question, context = await self.parse_request(request, await json_object(request))
            except ApiError as error:
                return error_answer(error)
            return EventStream(_frames(agent_invoker, question, context))

        return [Endpoint("POST", "", run_agent)]

    async def parse_request(
        self, request: Request, request_data: dict[str, Any]
    ) -> tuple[AgentRequest, dict[str, Any]]:
        """What an agent is asked with a request, and what the answer needs to know of it; raises ApiError."""
        question = read(request, request_data)
        more = question.model_extra or {}
        return question, {name: more.get(name) for name in ("thread_id", "run_id", "parent_run_id")}


async def _frames(
    invoker: AgentInvoker, question: AgentRequest, context: dict[str, Any]
) -> AsyncGenerator[bytes, None]:
    run = AguiRun(**context)
    for frame in run.begin():
        yield frame
    async with aclosing(invoker.invoke_stream(question)) as events:
        async for event in events:
            for frame in run.tell(event):
                yield frame
    for frame in run.end():
        yield frame
