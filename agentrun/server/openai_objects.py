"""What the `openai` package gives: completions, their chunks, responses and the events of their streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from agentrun.integration._events import Teller, event
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.messages import Messages, field


class OpenAIObjects(Teller):
    """Turns the objects of one run into events; a mapping with the same fields does as well."""

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._calls: dict[Any, tuple[str, str]] = {}  # The id and name of the call at a place of the answer.
        self._streamed = False
        self._readers: dict[Any, Callable[[Any], Iterator[AgentEvent]]] = {
            "response.output_text.delta": self._of_text,
            "response.refusal.delta": self._of_text,
            "response.reasoning_text.delta": self._of_reasoning,
            "response.reasoning_summary_text.delta": self._of_reasoning,
            "response.output_item.added": self._of_item,
            "response.function_call_arguments.delta": self._of_arguments,
            "response.completed": self._of_end,
            "response.incomplete": self._of_end,
            "response.failed": self._of_failure,
        }

    @staticmethod
    def knows(item: Any) -> bool:
        """Whether this is one of them."""
        kind = field(item, "object")
        if kind in ("chat.completion", "chat.completion.chunk", "response"):
            return True
        return kind is None and str(field(item, "type") or "").startswith("response.")

    def convert(self, item: Any) -> Iterator[AgentEvent]:
        """What one of them means."""
        kind = field(item, "object")
        if kind == "chat.completion":
            yield from self._completion(item)
        elif kind == "chat.completion.chunk":
            yield from self._chunk(item)
        elif kind == "response":
            yield from self._response(item)
        else:
            read = self._readers.get(field(item, "type"))
            if read is not None:
                yield from read(item)

    def _completion(self, item: Any) -> Iterator[AgentEvent]:
        for choice in _first(field(item, "choices")):
            message = field(choice, "message")
            yield from Messages().whole(message)
            yield from self.text(field(message, "refusal"))
        yield from _usage(item)

    def _chunk(self, item: Any) -> Iterator[AgentEvent]:
        for choice in _first(field(item, "choices")):
            delta = field(choice, "delta")
            yield from self.reasoning(field(delta, "reasoning_content", "reasoning"))
            yield from self.text(field(delta, "content"))
            yield from self.text(field(delta, "refusal"))
            for call in field(delta, "tool_calls") or ():
                yield from self._call_delta(field(call, "index"), call)
        yield from _usage(item)

    def _call_delta(self, index: Any, call: Any) -> Iterator[AgentEvent]:
        function = field(call, "function")
        if call_id := field(call, "id"):
            self._calls[index] = (call_id, str(field(function, "name") or ""))
        if index in self._calls:
            yield from self.call_piece(*self._calls[index], field(function, "arguments") or "")

    def _response(self, item: Any) -> Iterator[AgentEvent]:
        if not self._streamed:
            for output in field(item, "output") or ():
                yield from self._output(output)
        yield from _usage(item)

    def _output(self, item: Any) -> Iterator[AgentEvent]:
        kind = field(item, "type")
        if kind == "message":
            for part in field(item, "content") or ():
                yield from self.text(field(part, "text", "refusal"))
        elif kind == "reasoning":
            for part in field(item, "summary") or field(item, "content") or ():
                yield from self.reasoning(field(part, "text"))
        elif kind == "function_call":
            yield from self.call(field(item, "call_id"), field(item, "name"), field(item, "arguments") or "{}")

    # Events of a stream of a response

    def _of_text(self, item: Any) -> Iterator[AgentEvent]:
        self._streamed = True
        yield from self.text(field(item, "delta"))

    def _of_reasoning(self, item: Any) -> Iterator[AgentEvent]:
        self._streamed = True
        yield from self.reasoning(field(item, "delta"))

    def _of_item(self, item: Any) -> Iterator[AgentEvent]:
        output = field(item, "item")
        if field(output, "type") == "function_call":
            self._streamed = True
            self._calls[field(item, "output_index")] = (field(output, "call_id"), field(output, "name"))
            yield from self.call_piece(*self._calls[field(item, "output_index")], "")

    def _of_arguments(self, item: Any) -> Iterator[AgentEvent]:
        call = self._calls.get(field(item, "output_index"))
        if call is not None:
            yield from self.call_piece(*call, field(item, "delta") or "")

    def _of_end(self, item: Any) -> Iterator[AgentEvent]:
        yield from self._response(field(item, "response"))

    def _of_failure(self, item: Any) -> Iterator[AgentEvent]:
        error = field(field(item, "response"), "error") or item
        message = field(error, "message") or "The model failed"
        yield event(EventType.ERROR, message=message, code=field(error, "code") or "model_error")


def _first(choices: Any) -> Any:
    return choices[:1] if choices else ()


def _usage(item: Any) -> Iterator[AgentEvent]:
    usage = field(item, "usage")
    if usage is None:
        return
    spent = (field(usage, "prompt_tokens", "input_tokens"), field(usage, "completion_tokens", "output_tokens"))
    read, written = (count if isinstance(count, int) else 0 for count in spent)
    yield event(EventType.USAGE, input_tokens=read, output_tokens=written)
