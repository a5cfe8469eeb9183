"""What ADK tells of a run, as events that every protocol of the server understands.

Takes what `runner.run_async` yields, and the events of a session.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentrun.integration._events import Teller, event
from agentrun.integration._extra import framework
from agentrun.server.events import AgentEvent, EventType

with framework("google_adk", "google"):
    from google.adk.events import Event
    from google.genai import types

_QUESTIONS = {
    "adk_request_confirmation": "tool_confirmation",
    "adk_request_credential": "credential",
    "adk_request_input": "input",
}
_CODE = "run_code"


class AgentRunConverter(Teller):
    """Turns the events of one run into events of the server; it remembers what it has told, until `reset`."""

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._said = self._thought = False  # Whether pieces told the answer that comes next as a whole.
        self._code: str | None = None  # The call of code that runs.

    def convert(self, event: Event) -> Iterator[AgentEvent]:
        """What one event of ADK means."""
        if event.author == "user":
            return
        for index, part in enumerate((event.content and event.content.parts) or ()):
            yield from self._part(part, f"{event.id}-{index}", bool(event.partial))
        if not event.partial:
            self._said = self._thought = False
            yield from self._rest(event)

    def _part(self, part: types.Part, place: str, partial: bool) -> Iterator[AgentEvent]:
        if part.function_response is not None:
            yield from self._result(part.function_response)
        elif part.function_call is not None and not partial:
            yield from self._call(part.function_call)
        elif part.executable_code is not None:
            self._code = place
            yield from self.call(place, _CODE, {"code": part.executable_code.code})
        elif part.code_execution_result is not None:
            ran = part.code_execution_result
            failed = ran.outcome not in (None, types.Outcome.OUTCOME_OK)
            yield from self.result(self._code or place, ran.output or "", is_error=failed)
        elif part.text:
            yield from self._words(part.text, bool(part.thought), partial)

    def _words(self, text: str, thought: bool, partial: bool) -> Iterator[AgentEvent]:
        told = not partial and (self._thought if thought else self._said)
        self._thought = self._thought or thought
        self._said = self._said or not thought
        yield from (self.reasoning if thought else self.text)(None if told else text)

    def _call(self, call: types.FunctionCall) -> Iterator[AgentEvent]:
        name, args = str(call.name), call.args or {}
        if name not in _QUESTIONS:
            yield from self.call(str(call.id), name, args)
            return
        asked = args.get("toolConfirmation") or args
        prompt = asked.get("hint") or asked.get("message") or f"{name} needs an answer"
        yield from self.question(str(call.id), _QUESTIONS[name], str(prompt), args=args)

    def _result(self, response: types.FunctionResponse) -> Iterator[AgentEvent]:
        if response.name in _QUESTIONS:
            return
        given = response.response or {}
        result: Any = next(iter(given.values())) if set(given) in ({"result"}, {"error"}) else given
        yield from self.result(str(response.id), result, is_error=set(given) == {"error"})

    def _rest(self, event: Event) -> Iterator[AgentEvent]:
        if event.error_code or event.error_message:
            yield _error(event)
        if event.actions.state_delta:
            yield _state(event.actions.state_delta)
        if event.actions.transfer_to_agent:
            yield from self.custom("transfer_to_agent", {"agent": event.actions.transfer_to_agent})


def _error(told: Event) -> AgentEvent:
    return event(EventType.ERROR, message=told.error_message or "", code=told.error_code or "")


def _state(delta: dict[str, Any]) -> AgentEvent:
    return event(EventType.STATE, delta=delta)
