"""What a tool answered."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from agentrun.errors import InvalidResponseError, ToolError


@dataclass(frozen=True)
class McpResult:
    """The parts of an answer as the protocol has them, and the ones that are usually wanted.

    `content` holds dicts, each with a `type`: `text`, `image`, `audio`, `resource` (embedded) or `resource_link`.
    `structured` is a dict when the tool has a schema for its output, else None. `is_error` says that the tool failed.
    """

    content: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    structured: dict[str, Any] | None = None
    is_error: bool = False
    meta: dict[str, Any] | None = None

    @classmethod
    def from_wire(cls, answer: Mapping[str, Any]) -> McpResult:
        """The result out of what the server sent; raises InvalidResponseError when it is none."""
        parts: list[Any] = answer.get("content", [])
        structured = answer.get("structuredContent")
        if not _is_content(parts):
            raise InvalidResponseError("the MCP server answered with content that has no type")
        return cls(parts, structured, bool(answer.get("isError")), answer.get("_meta"))

    @property
    def text(self) -> str:
        """All text of the answer, that of embedded resources too, one part below the other."""
        return "\n".join(text for part in self.content if (text := _text(part)) is not None)

    @property
    def images(self) -> list[bytes]:
        """The images, decoded; `content` says of which type they are."""
        return list(self._decoded("image"))

    @property
    def audio(self) -> list[bytes]:
        """The sounds, decoded; `content` says of which type they are."""
        return list(self._decoded("audio"))

    @property
    def links(self) -> list[str]:
        """The URIs of resources that the answer refers to without holding them."""
        return [str(part.get("uri")) for part in self.content if part["type"] == "resource_link"]

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values, which JSON can hold."""
        given = {"structured": self.structured, "meta": self.meta}
        return {
            "content": self.content,
            "is_error": self.is_error,
            **{name: value for name, value in given.items() if value is not None},
        }

    def raise_for_error(self, tool: str | None = None) -> McpResult:
        """The result itself; raises ToolError when the tool failed."""
        if self.is_error:
            raise ToolError(self.text or "the tool failed and did not say why", tool=tool, content=self.content)
        return self

    def _decoded(self, kind: str) -> Iterable[bytes]:
        return (b64decode(part.get("data", "")) for part in self.content if part["type"] == kind)


def _is_content(parts: Any) -> bool:
    return isinstance(parts, list) and all(
        isinstance(part, dict) and "type" in part for part in cast("list[object]", parts)
    )


def _text(part: Mapping[str, Any]) -> str | None:
    if part["type"] == "text":
        return str(part.get("text", ""))
    if part["type"] == "resource":
        text = part.get("resource", {}).get("text")
        return None if text is None else str(text)
    return None
