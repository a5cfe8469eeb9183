"""Files on their way into a sandbox and out of it, in constant memory."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast
from uuid import uuid4

from agentrun._core.session import ByteStream
from agentrun.errors import InvalidInputError

# What can be sent as the content of a file.
Source: TypeAlias = "bytes | BinaryIO | Iterable[bytes] | AsyncIterable[bytes]"

_CHUNK = 1 << 18


def pieces(content: Source) -> bytes | Iterable[bytes] | AsyncIterable[bytes]:
    """The content in pieces of a good size; a file iterates over its lines, which may be of any size."""
    read: Callable[[int], bytes] | None = getattr(content, "read", None)
    return iter(lambda: read(_CHUNK), b"") if read else cast("Iterable[bytes]", content)


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


@dataclass
class Upload:
    """A multipart form with the target's path and the content of a local file; iterated, it gives the bytes."""

    source: Path
    target: str
    boundary: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        if not self.source.is_file():
            raise InvalidInputError(f"there is no file {str(self.source)!r}", field="local_file_path")
        self._size = self.source.stat().st_size

    @property
    def headers(self) -> dict[str, str]:
        """The headers that describe the form."""
        length = len(self._head) + self._size + len(self._tail)
        return {
            "content-type": f"multipart/form-data; boundary={self.boundary}",
            "content-length": str(length),
        }

    @property
    def _head(self) -> bytes:
        return (
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="path"\r\n\r\n{self.target}\r\n'
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_quoted(self.source.name)}"'
            "\r\nContent-Type: application/octet-stream\r\n\r\n"
        ).encode()

    @property
    def _tail(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode()

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        with self.source.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
        yield self._tail


class Download:
    """A file that is being written; the one that was there stays until the new one is whole."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._target = Path(path).absolute()
        if self._target.is_dir() or not self._target.parent.is_dir():
            raise InvalidInputError(f"{str(self._target)!r} is not a file in an existing folder", field="save_path")
        self._part = self._target.with_name(f".{self._target.name}.{uuid4().hex[:8]}")

    async def write(self, body: ByteStream) -> int:
        """Write a body to its end; returns its size in bytes."""
        try:
            with self._part.open("xb") as file:
                async for chunk in body:
                    file.write(chunk)
                size = file.tell()
            self._part.replace(self._target)
        finally:
            self._part.unlink(missing_ok=True)
        return size
