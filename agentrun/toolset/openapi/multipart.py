"""A multipart form: its parts one after the other, with what tells them apart."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from agentrun.toolset.openapi.files import BINARY, File

_ESCAPED = {ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"}


@dataclass
class Multipart:
    """A form that is being made."""

    boundary: str = field(default_factory=lambda: secrets.token_hex(16))
    _pieces: list[bytes] = field(default_factory=list[bytes])

    @property
    def content_type(self) -> str:
        """The media type of the whole."""
        return f"multipart/form-data; boundary={self.boundary}"

    def add_text(self, name: str, text: str, media_type: str | None = None) -> None:
        """Add a field."""
        self._add(f'name="{_quoted(name)}"', media_type, text.encode())

    def add_file(self, name: str, file: File, media_type: str | None = None) -> None:
        """Add a file."""
        where = f'name="{_quoted(name)}"; filename="{_quoted(file.name)}"'
        self._add(where, media_type or file.media_type or BINARY, file.content)

    def _add(self, where: str, media_type: str | None, content: bytes) -> None:
        kind = f"\r\nContent-Type: {media_type}" if media_type else ""
        head = f"--{self.boundary}\r\nContent-Disposition: form-data; {where}{kind}\r\n\r\n"
        self._pieces += [head.encode(), content, b"\r\n"]

    def content(self) -> bytes:
        """The whole form."""
        return b"".join([*self._pieces, f"--{self.boundary}--\r\n".encode()])


def _quoted(text: str) -> str:
    # As HTML says it, so that a name cannot end the header that it stands in.
    return text.translate(_ESCAPED)
