"""What agents answer in the words of their frameworks, as events; nothing has to be wrapped.

Objects are known by what they look like, so that no framework is imported that the agent has not imported itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from importlib import import_module
from typing import Any, Protocol

from agentrun._core.values import is_list, is_object, is_tuple
from agentrun.integration._outcome import as_text
from agentrun.integration.langgraph_events import INTERRUPT
from agentrun.server.events import AgentEvent, EventType
from agentrun.server.messages import Messages, field
from agentrun.server.openai_objects import OpenAIObjects

# Whose objects are events of a run or messages that an adapter knows, by the package of their class.
_LANGGRAPH = "agentrun.integration.langgraph_events"
_ADAPTERS = {
    "langchain_core": _LANGGRAPH,
    "langchain": _LANGGRAPH,
    "langgraph": _LANGGRAPH,
    "pydantic_ai": "agentrun.integration.pydantic_ai_events",
    "agents": "agentrun.integration.openai_agents_events",
    "llama_index": "agentrun.integration.llama_index_events",
    "crewai": "agentrun.integration.crewai_events",
    "smolagents": "agentrun.integration.smolagents_events",
    "autogen_agentchat": "agentrun.integration.autogen_events",
    "agno": "agentrun.integration.agno_events",
}
_AGENTSCOPE_EVENTS = "agentrun.integration.agentscope_v2_events"
_EVENT_TYPES = frozenset(kind.value for kind in EventType)
# Where the results of frameworks keep what the agent said in the end.
_OUTPUTS = ("final_output", "output", "raw", "response")


class _Converter(Protocol):
    """What each adapter has under the name `AgentRunConverter`."""

    def convert(self, event: Any) -> Iterator[AgentEvent]: ...


class Conversion:
    """Turns what one run gives into events; it remembers what it has told, so that nothing is told twice."""

    def __init__(self) -> None:
        self._messages = Messages()
        self._openai = OpenAIObjects()
        self._adapters: dict[str, _Converter] = {}
        self._has_told = False

    def returned(self, value: Any) -> Iterator[AgentEvent]:
        """What an answer means that is the only one; an object without anything to say is shown as JSON."""
        told = list(self.convert(value))
        if not told and is_object(value) and value and not _is_message(value):
            told = [_text(as_text(value))]
        yield from told

    def convert(self, item: Any) -> Iterator[AgentEvent]:
        """What one thing that an agent gives means."""
        for event in self._convert(item):
            self._has_told = True
            yield event

    def finish(self) -> Iterator[AgentEvent]:
        """What is left to tell when the agent gives nothing more."""
        yield from self._messages.finish()

    def _convert(self, item: Any) -> Iterator[AgentEvent]:
        if isinstance(item, AgentEvent):
            yield item
        elif isinstance(item, str):
            if item:
                yield _text(item)
        elif isinstance(item, (bytes, bytearray)):
            yield from self._convert(item.decode(errors="replace"))
        elif is_object(item):
            yield from self._object(item)
        elif is_list(item):
            for entry in item:
                yield from self._convert(entry)
        elif is_tuple(item):
            yield from self._tuple(item)
        elif item is not None:
            yield from self._foreign(item)

    def _object(self, item: dict[str, Any]) -> Iterator[AgentEvent]:
        if item.get("event") in _EVENT_TYPES:
            yield AgentEvent.model_validate(item)
        elif _is_of_graph(item):
            yield from self._adapter(_LANGGRAPH).convert(item)
        elif self._openai.knows(item):
            yield from self._openai.convert(item)
        elif _is_message(item):
            yield from self._messages.whole(item)
        elif not all(value is None or isinstance(value, Mapping) for value in item.values()):
            yield _text(as_text(item))  # The rest is what steps of a graph changed, and none of it was said.

    def _tuple(self, item: tuple[Any, ...]) -> Iterator[AgentEvent]:
        """A message and whether it is the last one, as AgentScope gives them; or a graph's event and its mode."""
        if len(item) == 2 and isinstance(item[1], bool):
            message, is_last = item
            if _package(message) == "agentscope" or field(message, "content") is not None:
                yield from self._messages.growing(message, is_last=is_last)
            else:
                yield from self._convert(message)
        else:
            yield from self._adapter(_LANGGRAPH).convert(item)

    def _foreign(self, item: Any) -> Iterator[AgentEvent]:
        package = _package(item)
        if package == "agentscope":
            yield from self._agentscope(item)
        elif package in _ADAPTERS:
            told = list(self._adapter(_ADAPTERS[package]).convert(item))
            # A result at the end repeats what came before, and an event is no answer.
            yield from told or (() if self._has_told else self._result(item))
        elif self._openai.knows(item):
            yield from self._openai.convert(item)
        elif _is_message(item):
            yield from self._messages.whole(item)
        elif not self._has_told:
            yield from list(self._result(item)) or self._convert(_data(item))

    def _agentscope(self, item: Any) -> Iterator[AgentEvent]:
        if field(item, "content") is None:
            yield from self._adapter(_AGENTSCOPE_EVENTS).convert(item)
        elif _AGENTSCOPE_EVENTS not in self._adapters:  # Behind events the message repeats them.
            yield from self._messages.growing(item, is_last=field(item, "role") is not None)

    def _result(self, item: Any) -> Iterator[AgentEvent]:
        """What an agent said in the end, from the object in which its framework gives it back."""
        if field(item, "parts") is not None:
            yield from self._messages.whole(item)
            return
        output = field(item, *_OUTPUTS)
        if output is not None:
            yield from self._convert(output if isinstance(output, str) or _is_message(output) else as_text(output))

    def _adapter(self, module: str) -> _Converter:
        if module not in self._adapters:
            self._adapters[module] = import_module(module).AgentRunConverter()
        return self._adapters[module]


def _text(delta: str) -> AgentEvent:
    return AgentEvent(event=EventType.TEXT, data={"delta": delta})


def _package(item: Any) -> str:
    """The package whose object this is, or on whose class its own is built."""
    packages = [kind.__module__.partition(".")[0] for kind in type(item).__mro__]
    return next((name for name in packages if name in _ADAPTERS or name == "agentscope"), packages[0])


def _is_message(item: Any) -> bool:
    return any(field(item, name) is not None for name in ("content", "reasoning_content", "tool_calls"))


def _is_of_graph(item: Mapping[str, Any]) -> bool:
    """Whether this is an event of `astream_events`, or a state of a graph, or a step that said something."""
    if isinstance(item.get("event"), str) and "data" in item:
        return True
    if INTERRUPT in item or isinstance(item.get("messages"), (list, tuple)):
        return True
    return any(isinstance(value, Mapping) and "messages" in value for value in item.values())


def _data(item: Any) -> str | None:
    """The JSON of data that an agent answers with in place of words; None for what is no data."""
    dump: Callable[..., str] | None = getattr(item, "model_dump_json", None)
    if dump is not None:
        return dump(exclude_none=True)
    return as_text(item) if isinstance(item, (int, float)) or is_dataclass(item) else None
