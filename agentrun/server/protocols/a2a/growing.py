"""Messages and artifacts that grow while an agent speaks."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class Growing:
    """Something with parts; text that follows text becomes one part with it."""

    def __init__(self, **head: Any) -> None:
        self.head: Json = head
        self._parts: list[Json] = []
        self._pieces: list[str] = []  # Of the text that comes behind the parts.

    def add(self, part: Json) -> None:
        """One more part."""
        if part.keys() == {"text"}:
            self._pieces.append(part["text"])
        else:
            self._parts = self._whole()
            self._pieces = []
            self._parts.append(part)

    def as_json(self) -> Json:
        """All of it so far."""
        return {**self.head, "parts": self._whole()}

    def _whole(self) -> list[Json]:
        if not self._pieces:
            return list(self._parts)
        self._pieces = ["".join(self._pieces)]
        return [*self._parts, {"text": self._pieces[0]}]
