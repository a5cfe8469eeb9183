"""Writes one item of the output of a response, from its beginning to its end."""

from __future__ import annotations

import uuid
from typing import Any

from agentrun.server.protocols.responses.frames import Frames, Layout, layout_of

IN_PROGRESS = "in_progress"
COMPLETED = "completed"
INCOMPLETE = "incomplete"


def new_id(prefix: str) -> str:
    """An id that nothing else has."""
    return f"{prefix}_{uuid.uuid4().hex}"


class ItemWriter:
    """An item that is being written; `item` is what it is so far, and stands in the output."""

    def __init__(self, frames: Frames, output: list[dict[str, Any]], item: dict[str, Any]) -> None:
        self.item = item
        self._frames = frames
        self._where = {"item_id": item["id"], "output_index": len(output)}
        output.append(item)
        self._tell_whole("response.output_item.added")

    def tell(self, kind: str, **fields: Any) -> None:
        """Writes an event about this item."""
        self._frames.add(kind, **self._where, **fields)

    def layout(self, kind: str, **fields: Any) -> Layout:
        """How the deltas of this item look."""
        return layout_of(kind, **self._where, **fields)

    def tell_delta(self, layout: Layout, delta: str) -> None:
        """Writes a piece of what this item says."""
        self._frames.add_delta(layout, delta)

    def end(self, status: str = COMPLETED) -> None:
        """Writes the whole item."""
        self.item["status"] = status
        self._tell_whole("response.output_item.done")

    def _tell_whole(self, kind: str) -> None:
        self._frames.add(kind, output_index=self._where["output_index"], item=self.item)
