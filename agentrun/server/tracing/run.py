"""The span of one run, and those of the tools that its events tell of; loads OpenTelemetry."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.context import Context, attach, detach, get_current, set_value
from opentelemetry.propagate import extract
from opentelemetry.trace import Tracer, get_current_span

from agentrun._core.open_span import OpenSpan
from agentrun._core.tracing import SCOPE, Scope
from agentrun.gateway.recording.redaction import Redactor
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.model import AgentRequest, Message
from agentrun.server.tracing.record import OPERATION, OUTCOME, RUN
from agentrun.server.watching import Outcome, Watch, watched

_TOOL = "execute_tool"
_TOOL_FAILED = "tool_error"


def traced(
    tracer: Tracer, agent_name: str, request: AgentRequest, events: AsyncGenerator[AgentEvent, None], content: bool
) -> AsyncGenerator[AgentEvent, None]:
    """The events of a run, which make its span; with `content` it also holds what was asked and answered."""
    run = _TracedRun(Scope(tracer), agent_name, request, content)
    return watched(run.inside(events), run)


@dataclass
class _ToolCall:
    """A call of a tool that is under way, or has given a part of its result; times are nanoseconds since 1970."""

    name: str
    began: int
    arguments: list[str] = field(default_factory=list[str])
    result: list[str] = field(default_factory=list[str])
    ended: int | None = None


class _Place:
    """The context in which an agent runs, from one of its steps to the next."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = attach(self._context)

    def __exit__(self, *_: object) -> None:
        self._context = get_current()
        detach(self._token)


class _TracedRun(Watch):
    def __init__(self, scope: Scope, agent_name: str, request: AgentRequest, content: bool) -> None:
        super().__init__()
        self.sees_deltas = content
        self._scope = scope
        self._agent_name = agent_name
        self._request = request
        self._content = content
        self._text: list[str] = []
        self._calls: dict[str, _ToolCall] = {}

    def begin(self) -> None:
        attributes = {
            OPERATION: RUN,
            "gen_ai.agent.name": self._agent_name,
            "gen_ai.conversation.id": self._request.session_id,
            "agentrun.protocol": self._request.protocol,
        }
        name = f"{RUN} {self._agent_name}"
        self._span = OpenSpan.start(self._scope.tracer, name, attributes, parent=_parent(self._request))
        self._context = set_value(SCOPE, self._scope, self._span.context)
        if self._content:
            self._span.set({"gen_ai.input.messages": _messages(self._request.messages)})
        super().begin()

    async def inside(self, events: AsyncGenerator[AgentEvent, None]) -> AsyncGenerator[AgentEvent, None]:
        """The same events, made while the span is the current one.

        What the agent makes current itself is so again when it goes on, and never where its events are used.
        """
        place = _Place(self._context)
        try:
            while True:
                with place:
                    event = await anext(events)
                yield event
        except StopAsyncIteration:
            return
        finally:
            with place:
                await events.aclose()

    def saw(self, event: AgentEvent) -> None:
        kind, data = event.event, event.data
        if kind == EventType.TEXT:
            self._text.append(str(data.get("delta") or ""))
        elif kind in (EventType.TOOL_CALL, EventType.TOOL_CALL_CHUNK):
            self._called(data)
        elif kind in (EventType.TOOL_RESULT, EventType.TOOL_RESULT_CHUNK):
            self._answered(data, is_whole=kind == EventType.TOOL_RESULT)
        else:
            super().saw(event)

    def _called(self, data: dict[str, Any]) -> None:
        now = time.time_ns()
        call = self._calls.setdefault(str(data.get("id")), _ToolCall(str(data.get("name") or ""), now))
        call.began = now  # With its last part the tool can begin.
        if self._content:
            call.arguments.append(str(data.get("args") or data.get("args_delta") or ""))

    def _answered(self, data: dict[str, Any], *, is_whole: bool) -> None:
        id = str(data.get("id"))
        call = self._calls.get(id)
        if call is None:
            return
        call.ended = time.time_ns()
        if self._content:
            call.result.append(str(data.get("result") or data.get("delta") or ""))
        if is_whole:
            self._told(id, call, has_failed=bool(data.get("is_error")))

    def _told(self, id: str, call: _ToolCall, *, has_failed: bool = False) -> None:
        """Make the span of a call, unless whatever carried it out has made it."""
        del self._calls[id]
        if call.name in self._scope.tools:
            self._scope.tools.remove(call.name)
            return
        attributes = {
            OPERATION: _TOOL,
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.call.id": id,
            "gen_ai.tool.call.arguments": "".join(call.arguments) or None,
            "gen_ai.tool.call.result": "".join(call.result) or None,
        }
        name = f"{_TOOL} {call.name}"
        span = OpenSpan.start(self._scope.tracer, name, attributes, parent=self._context, start_time=call.began)
        if has_failed:
            span.fail(_TOOL_FAILED)
        elif call.ended is None:
            span.set({OUTCOME: Outcome.CANCELLED.value})
        span.end(end_time=call.ended)

    def end(self) -> None:
        for id, call in list(self._calls.items()):
            # Where a run ended well, the caller has to carry out what is left.
            if call.ended or self.outcome != Outcome.COMPLETED:
                self._told(id, call)
        self._span.set(
            {
                OUTCOME: self.outcome.value,
                "gen_ai.response.time_to_first_chunk": self.seconds_to_first_event,
                "gen_ai.usage.input_tokens": self.input_tokens or None,
                "gen_ai.usage.output_tokens": self.output_tokens or None,
            }
        )
        if self._content:
            self._span.set({"gen_ai.output.messages": _answer("".join(self._text))})
        if self.outcome == Outcome.FAILED:
            # The text is the agent's own, and may quote what it likes.
            self._span.fail(
                str(self.error.get("code") or "error"), Redactor().text(str(self.error.get("message") or ""))
            )
        self._span.end()


def _parent(request: AgentRequest) -> Context | None:
    """What the run is below: a span that is under way here, or else the one that the request names."""
    if get_current_span().get_span_context().is_valid or request.raw_request is None:
        return None
    return extract(request.raw_request.headers)


def _messages(messages: list[Message]) -> str:
    """Messages in the form of the conventions."""
    told = [{"role": each.role.value, "parts": _parts(each)} for each in messages]
    return json.dumps(told, ensure_ascii=False, default=str)


def _parts(message: Message) -> list[dict[str, Any]]:
    if message.tool_call_id:
        return [{"type": "tool_call_response", "id": message.tool_call_id, "response": message.text}]
    calls = [
        {"type": "tool_call", "id": call.id, **{name: call.function.get(name) for name in ("name", "arguments")}}
        for call in message.tool_calls or ()
    ]
    return [*([{"type": "text", "content": message.text}] if message.text else []), *calls]


def _answer(text: str) -> str:
    parts = [{"type": "text", "content": text}]
    return json.dumps([{"role": "assistant", "parts": parts}], ensure_ascii=False, default=str)
