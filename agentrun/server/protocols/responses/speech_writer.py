"""Writes what an agent says and thinks: messages and reasoning items, whose parts follow each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentrun.server.protocols.responses.frames import Layout
from agentrun.server.protocols.responses.item_writer import COMPLETED, IN_PROGRESS, ItemWriter, new_id


@dataclass(frozen=True)
class Speech:
    """A kind of text: the item in which it stands, the type and field of its parts, what else these and events hold."""

    item_type: str
    part_type: str
    event: str
    text_field: str = "text"
    part_more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    event_more: Mapping[str, Any] = field(default_factory=dict[str, Any])


TEXT = Speech(
    "message",
    "output_text",
    "response.output_text",
    part_more={"annotations": [], "logprobs": []},
    event_more={"logprobs": []},
)
REFUSAL = Speech("message", "refusal", "response.refusal", "refusal")
REASONING = Speech("reasoning", "reasoning_text", "response.reasoning_text")


class SpeechWriter:
    """The texts of a run; `begin` makes an item of the output."""

    def __init__(self, begin: Callable[[dict[str, Any]], ItemWriter]) -> None:
        self._begin = begin
        self._open: ItemWriter | None = None
        self._type = ""
        self._group: Any = None
        self._speech: Speech | None = None
        self._part: dict[str, Any] = {}
        self._pieces: list[str] = []
        self._layout = Layout("", "")

    def say(self, speech: Speech, delta: str, group: Any = None) -> None:
        """Writes what comes next of a text; another `group` is another message."""
        opened = self._open
        if opened is None or self._speech is not speech or group not in (None, self._group):
            opened = self._begin_text(speech, group)
        opened.tell_delta(self._layout, delta)
        self._pieces.append(delta)

    def add_part(self, part: dict[str, Any]) -> None:
        """Writes a part of a message that comes as a whole."""
        self._end_part()
        place = self._add(self._item(TEXT.item_type), part)
        self._item(TEXT.item_type).tell("response.content_part.done", content_index=place, part=part)

    def flush(self) -> None:
        """Puts what was said so far into the item."""
        if self._speech is not None:
            self._part[self._speech.text_field] = "".join(self._pieces)

    def end(self, status: str = COMPLETED) -> None:
        """Writes the whole item that is open, if one is."""
        self._end_part()
        if self._open is not None:
            self._open.end(status)
            self._open = None

    def _begin_text(self, speech: Speech, group: Any) -> ItemWriter:
        self._end_part()
        item = self._item(speech.item_type, group)
        self._part = {"type": speech.part_type, speech.text_field: "", **speech.part_more}
        place = self._add(item, self._part)
        self._layout = item.layout(f"{speech.event}.delta", content_index=place, **speech.event_more)
        self._speech, self._pieces = speech, []
        return item

    def _item(self, kind: str, group: Any = None) -> ItemWriter:
        """The open item of this type; another one where the agent says that another begins."""
        if self._open is not None and self._type == kind and group in (None, self._group):
            return self._open
        self.end()
        self._type, self._group = kind, group
        self._open = self._begin(_new_item(kind))
        return self._open

    def _add(self, item: ItemWriter, part: dict[str, Any]) -> int:
        parts: list[dict[str, Any]] = item.item["content"]
        item.tell("response.content_part.added", content_index=len(parts), part=part)
        parts.append(part)
        return len(parts) - 1

    def _end_part(self) -> None:
        speech, self._speech = self._speech, None
        if speech is None or self._open is None:
            return
        self._part[speech.text_field] = text = "".join(self._pieces)
        place = len(self._open.item["content"]) - 1
        whole = {speech.text_field: text, **speech.event_more}
        self._open.tell(f"{speech.event}.done", content_index=place, **whole)
        self._open.tell("response.content_part.done", content_index=place, part=self._part)


def _new_item(kind: str) -> dict[str, Any]:
    if kind == REASONING.item_type:
        return {"id": new_id("rs"), "type": kind, "summary": [], "content": [], "status": IN_PROGRESS}
    return {"id": new_id("msg"), "type": kind, "role": "assistant", "status": IN_PROGRESS, "content": []}
