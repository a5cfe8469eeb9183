"""Writes one message of a stream, from its beginning to its end, its contents one after the other."""

from __future__ import annotations

from typing import Any

from agentrun.server.protocols.agent_api.frames import Frames, layout_of
from agentrun.server.protocols.agent_api.model import AnyContent, DataContent, Message, RunStatus, TextContent

_IN_PROGRESS = RunStatus.IN_PROGRESS.value
_COMPLETED = RunStatus.COMPLETED.value


class MessageWriter:
    """A message that is being written; `group` is what the agent calls it, where it does."""

    def __init__(self, frames: Frames, message: Message, group: str | None = None) -> None:
        self.message = message
        self.type = message.type
        self.group = group
        self._frames = frames
        self._contents: list[AnyContent] = []
        self._pieces: list[str] | None = None
        self._layout = ""

    def begin(self) -> None:
        """Says that the message is there."""
        self.message.status = _IN_PROGRESS
        self._frames.add(self.message)

    def add_text(self, delta: str) -> None:
        """Writes what comes next of a text."""
        if self._pieces is None:
            self._pieces = []
            self._layout = layout_of(self._text(_IN_PROGRESS, True))
        self._frames.add_delta(self._layout, delta)
        self._pieces.append(delta)

    def add_part(self, part: AnyContent) -> None:
        """Writes a part that comes as a whole, an image say."""
        self._end_text()
        where = {"status": _COMPLETED, "index": len(self._contents), "delta": False, "msg_id": self.message.id}
        part = part.model_copy(update={**where, "error": None, "sequence_number": None})
        self._frames.add(part)
        self._contents.append(part)

    def add_body(self, body: dict[str, Any]) -> None:
        """Writes the body of a call or its output as far as it is known; it takes the place of the one before."""
        self._write_body(body, _IN_PROGRESS)

    def end_body(self, body: dict[str, Any]) -> None:
        """Writes the whole body."""
        self._write_body(body, _COMPLETED)
        # Inside a message, clients know a body without its place.
        self._contents.append(DataContent(data=body))

    def end(self) -> None:
        """Writes the whole message."""
        self._end_text()
        self._finish(_COMPLETED)

    def interrupt(self) -> None:
        """Writes what there is of the message, which nobody will complete."""
        if self._pieces is not None:
            self._contents.append(self._text(RunStatus.INCOMPLETE.value, None))
        self._finish(RunStatus.INCOMPLETE.value)

    def _write_body(self, body: dict[str, Any], status: str) -> None:
        self._frames.add(DataContent(status=status, index=len(self._contents), msg_id=self.message.id, data=body))

    def _end_text(self) -> None:
        if self._pieces is None:
            return
        whole = self._text(_COMPLETED, None)
        self._frames.add(whole)
        self._contents.append(whole)
        self._pieces = None

    def _text(self, status: str, delta: bool | None) -> TextContent:
        text = "".join(self._pieces or ())
        return TextContent(status=status, index=len(self._contents), delta=delta, msg_id=self.message.id, text=text)

    def _finish(self, status: str) -> None:
        self.message.status = status
        self.message.content = self._contents
        self._frames.add(self.message)
