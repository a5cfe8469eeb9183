"""What an agent does, for a person at a terminal: its words plain, its thoughts and calls dim."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from agentrun.cli.chatting.served import AgentFailed
from agentrun.cli.output import at_terminal
from agentrun.server.events import AgentEvent, EventType

_MOST_OF_A_RESULT = 400
# What an agent says could otherwise move the cursor, or worse.
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


class Telling:
    """Writes one answer to stdout; without a terminal only what was said, for whoever reads it."""

    def __init__(self) -> None:
        self.text = ""
        self._is_seen = at_terminal()
        self._console = Console(highlight=False, soft_wrap=True)
        self._what = ""  # What the last piece belongs to.
        self._at_line_start = True

    def tell(self, events: Iterable[AgentEvent]) -> str:
        """Write it as it comes, and give what was said. Raises AgentFailed."""
        for event in events:
            self._event(event)
        return self.text

    def end(self) -> None:
        """End the line."""
        if not self._at_line_start:
            self._write("\n")

    def _event(self, event: AgentEvent) -> None:
        kind, data = event.event, event.data
        if kind == EventType.TEXT:
            self.text += data["delta"]
            self._turn_to("text")
            self._write(data["delta"])
        elif kind == EventType.REASONING:
            self._aside("reasoning", data["delta"])
        elif kind == EventType.TOOL_CALL_CHUNK:
            self._call(data)
        elif kind == EventType.TOOL_RESULT:
            mark = "✗" if data["is_error"] else "←"
            self._aside(f"result {data['id']}", f"{mark} {_shortened(data['result'])}")
        elif kind == EventType.ERROR:
            raise AgentFailed(": ".join(filter(None, (data.get("code"), data["message"]))))

    def _call(self, data: dict[str, str]) -> None:
        what = f"call {data['id']}"
        head = f"→ {data.get('name', '')} " if self._what != what else ""
        self._aside(what, head + data["args_delta"])

    def _aside(self, what: str, text: str) -> None:
        if self._is_seen:
            self._turn_to(what)
            self._write(text, "dim")

    def _turn_to(self, what: str) -> None:
        """Begin a line for something else."""
        if self._what not in ("", what):
            self.end()
        self._what = what

    def _write(self, text: str, style: str = "") -> None:
        if not text:
            return
        self._at_line_start = text.endswith("\n")
        if self._is_seen:
            self._console.print(Text(text.translate(_CONTROLS), style), end="")
        else:
            sys.stdout.write(text)
            sys.stdout.flush()


def _shortened(result: str) -> str:
    line = " ".join(result.split())
    return line if len(line) <= _MOST_OF_A_RESULT else f"{line[:_MOST_OF_A_RESULT]} ..."
