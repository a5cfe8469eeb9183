"""Messages as agent frameworks make them: text or a list of blocks, with calls and their results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from agentrun.integration._events import Teller
from agentrun.integration._outcome import as_text
from agentrun.server.events import AgentEvent

# The names that frameworks give to the same things.
_THOUGHTS = ("thinking", "reasoning")
_CALLS = ("tool_use", "tool_call", "tool-call")
_RESULTS = ("tool_result", "tool-return")


def field(value: Any, *names: str) -> Any:
    """The first of these fields that a mapping or an object has."""
    for name in names:
        found = cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else _attribute(value, name)
        if found is not None:
            return found
    return None


def _attribute(value: Any, name: str) -> Any:
    found = getattr(value, name, None)
    return None if callable(found) else found


class Messages(Teller):
    """Tells messages; those that grow are told by what is new in them."""

    def reset(self) -> None:
        """Begin another run."""
        super().reset()
        self._told: dict[tuple[str, str, int], str] = {}  # By message, kind of block and place among these.
        self._held: dict[str, list[Any]] = {}  # By message: calls and results, which are told when they are whole.

    def whole(self, message: Any) -> Iterator[AgentEvent]:
        """A message that comes once, or a piece of one that holds only what is new."""
        yield from self.reasoning(_reasoning(message))
        for block in _blocks(message):
            yield from self._block(block)
        for call in _several(field(message, "tool_calls")):
            yield from self._call(call)

    def growing(self, message: Any, *, is_last: bool) -> Iterator[AgentEvent]:
        """A message that comes again and again with more in it, each time with all of it."""
        message_id = str(field(message, "id") or "")
        yield from self._calls_before(message_id)
        places: dict[str, int] = {}
        self._held[message_id] = []
        for block in _blocks(message):
            kind = _kind(block)
            places[kind] = places.get(kind, -1) + 1
            text = _words(block)
            if text is None:
                self._held[message_id].append(block)
            else:
                yield from self._say(kind, self._new((message_id, kind, places[kind]), text))
        if is_last:
            yield from self._release(message_id)

    def finish(self) -> Iterator[AgentEvent]:
        """What was held back and is whole now, because nothing grows any more."""
        for message_id in list(self._held):
            yield from self._release(message_id)

    def _calls_before(self, message_id: str) -> Iterator[AgentEvent]:
        """The calls of other messages: none grows behind the beginning of the next message, but results may."""
        for other, blocks in self._held.items():
            if other != message_id and any(_kind(block) in _CALLS for block in blocks):
                self._held[other] = []
                for block in blocks:
                    yield from self._block(block)

    def _release(self, message_id: str) -> Iterator[AgentEvent]:
        for block in self._held.pop(message_id, ()):
            yield from self._block(block)

    def _new(self, place: tuple[str, str, int], text: str) -> str:
        before = self._told.get(place, "")
        self._told[place] = text
        return text[len(before) :] if text.startswith(before) else text

    def _say(self, kind: str, text: str) -> Iterator[AgentEvent]:
        yield from self.reasoning(text) if kind in _THOUGHTS else self.text(text)

    def _block(self, block: Any) -> Iterator[AgentEvent]:
        kind = _kind(block)
        if kind in _CALLS:
            yield from self._call(block)
        elif kind in _RESULTS:
            output = field(block, "output", "content")
            call_id = str(field(block, "tool_use_id", "tool_call_id", "id") or "")
            yield from self.result(call_id, output, is_error=bool(field(block, "is_error")))
        elif (text := _words(block)) is not None:
            yield from self._say(kind, text)
        else:
            yield from self.custom(kind, block)

    def _call(self, call: Any) -> Iterator[AgentEvent]:
        """A whole call: a block, what LangChain makes of one, or OpenAI's with its `function`."""
        function = field(call, "function") or call
        name = field(function, "name", "tool_name")
        arguments = field(function, "arguments", "args", "input")
        call_id = str(field(call, "id", "tool_call_id") or name)
        yield from self.call(call_id, str(name), {} if arguments is None else arguments)


def _kind(block: Any) -> str:
    return str(field(block, "type", "part_kind") or "text")


def _several(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else ()


def _reasoning(message: Any) -> str | None:
    found = field(message, "reasoning_content") or field(field(message, "additional_kwargs"), "reasoning_content")
    return found if isinstance(found, str) else None


def _blocks(message: Any) -> Sequence[Any]:
    """The parts of a message; a result of a tool is one, whatever its own content is made of."""
    content = field(message, "content", "parts")
    if field(message, "role") == "tool" or field(message, "type") == "tool":
        call_id = field(message, "tool_call_id")
        return [{"type": "tool_result", "id": call_id, "output": as_text(content)}]
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return _several(content)


def _words(block: Any) -> str | None:
    """What a block says or thinks, None when it is no block of words."""
    if isinstance(block, str):
        return block
    found = field(block, "text", "thinking", "reasoning")
    if found is None and field(block, "part_kind") in ("text", "thinking"):
        found = field(block, "content")
    return found if isinstance(found, str) else None
