"""The body of a call or of its output while it comes in pieces."""

from __future__ import annotations

import json
from typing import Any

from agentrun.server.protocols.agent_api.model import MessageType, RoleName
from agentrun.server.protocols.agent_api.outputs import output_text

OUTPUTS = {
    MessageType.PLUGIN_CALL.value: MessageType.PLUGIN_CALL_OUTPUT.value,
    MessageType.MCP_TOOL_CALL.value: MessageType.MCP_TOOL_CALL_OUTPUT.value,
    MessageType.COMPONENT_CALL.value: MessageType.COMPONENT_CALL_OUTPUT.value,
}
# A body is told as a whole every time, so a long one is told when it has grown by an eighth: else it costs its square.
_OFTEN = 1024
_GROWTH = 8


class ToolBody:
    """What belongs to one call; it is over when it is `complete`."""

    field = ""
    role: RoleName = "assistant"

    def __init__(self, type_: str, call_id: str, name: str | None, more: dict[str, Any] | None = None) -> None:
        self.type = type_
        self.call_id = call_id
        self.name = name
        self.more = more or {}
        self.complete = False
        self._pieces: list[str] = []
        self._size = 0
        self._told = 0

    def add(self, delta: str) -> None:
        """Adds what comes next."""
        self._pieces.append(delta)
        self._size += len(delta)

    @property
    def text(self) -> str:
        """All that has come."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    @property
    def is_news(self) -> bool:
        """Whether so much has come since it was told that it is worth to tell again."""
        grown = self._size - self._told
        return grown > 0 and grown * _GROWTH >= self._told - _OFTEN

    @property
    def is_over(self) -> bool:
        """Whether nothing can come any more."""
        return self.complete

    def beginning(self) -> dict[str, Any]:
        """The body before anything has come."""
        return {"call_id": self.call_id, "name": self.name, self.field: "", **self.more}

    def so_far(self) -> dict[str, Any]:
        """The body with what has come."""
        self._told = self._size
        return {**self.beginning(), self.field: self._value()}

    def _value(self) -> str:
        return self.text


class CallBody(ToolBody):
    """A call; its arguments are over where they are JSON, as nothing can follow on it."""

    field = "arguments"

    @property
    def is_over(self) -> bool:
        """Whether nothing can come any more."""
        return self.complete or (self.text.rstrip().endswith("}") and _is_json(self.text))

    def replace(self, arguments: str) -> None:
        """Takes whole arguments for all that has come."""
        self._pieces, self._size, self._told = [arguments], len(arguments), 0
        self.complete = True


class OutputBody(ToolBody):
    """What a call gave; `more` has `is_error` where that is a failure."""

    field = "output"
    role: RoleName = "tool"
    whole: Any = None

    def finish(self, result: Any) -> None:
        """Takes the result; text belongs behind the pieces that have come, anything else is the whole of it."""
        self.complete = True
        if isinstance(result, str):
            self.add(result)
        else:
            self.whole = result

    def _value(self) -> str:
        return output_text(self.text if self.whole is None else self.whole)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
