"""The content of files in a sandbox, as a whole, in part or as a stream."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

from agentrun._core.blocking import run
from agentrun._core.session import ByteStream
from agentrun._core.streams import Stream
from agentrun.errors import ClientError, InvalidInputError, InvalidResponseError
from agentrun.sandbox.calls import checked_fields, whole
from agentrun.sandbox.extensions import BATCH, SIGNED_URL, WRITE_STREAM
from agentrun.sandbox.operations import Operations
from agentrun.sandbox.transfer import Source, pieces

BYTES = {"content-type": "application/octet-stream"}


class FileOperations(Operations):
    """The content of files, as a whole, in part or as a stream."""

    async def read_async(self, path: str) -> dict[str, Any]:
        """A file: `content` is text, or Base64 when `encoding` says so; `size` is bytes."""
        return await self._api.read_file_async(path)

    def read(self, path: str) -> dict[str, Any]:
        """A file: `content` is text, or Base64 when `encoding` says so; `size` is bytes."""
        return run(self.read_async(path))

    async def write_async(
        self, path: str, content: str, mode: str = "644", encoding: str = "utf-8", create_dir: bool = True
    ) -> dict[str, Any]:
        """Write a file; with the encoding `base64` the content is bytes."""
        return await self._api.write_file_async(path, content, mode, encoding, create_dir)

    def write(
        self, path: str, content: str, mode: str = "644", encoding: str = "utf-8", create_dir: bool = True
    ) -> dict[str, Any]:
        """Write a file; with the encoding `base64` the content is bytes."""
        return run(self.write_async(path, content, mode, encoding, create_dir))

    async def read_bytes_async(self, path: str) -> bytes:
        """A whole file as bytes."""
        stream = await self._download(path)
        return await stream.read()

    def read_bytes(self, path: str) -> bytes:
        """A whole file as bytes."""
        return run(self.read_bytes_async(path))

    async def write_bytes_async(
        self, path: str, content: bytes, mode: str = "644", create_dir: bool = True
    ) -> dict[str, Any]:
        """Write bytes as a whole file: `path` and `size`."""
        text = base64.b64encode(content).decode()
        return await self.write_async(path, text, mode, "base64", create_dir)

    def write_bytes(self, path: str, content: bytes, mode: str = "644", create_dir: bool = True) -> dict[str, Any]:
        """Write bytes as a whole file: `path` and `size`."""
        return run(self.write_bytes_async(path, content, mode, create_dir))

    async def read_range_async(self, path: str, start: int, length: int) -> bytes:
        """At most `length` bytes of a file from `start` on, fewer at its end."""
        if start < 0 or length < 0:
            raise InvalidInputError("start and length count bytes from 0", field="start" if start < 0 else "length")
        if length == 0:
            return b""
        try:
            stream = await self._download(path, {"range": f"bytes={start}-{start + length - 1}"})
        except ClientError as error:
            if error.status_code == 416:
                return b""
            raise
        return await _first(stream, 0 if stream.status == 206 else start, length)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """At most `length` bytes of a file from `start` on, fewer at its end."""
        return run(self.read_range_async(path, start, length))

    async def stream_async(self, path: str) -> Stream[bytes]:
        """A file of any size in pieces, as they arrive."""
        body = await self._download(path)
        return Stream(body, aiter(body))

    def stream(self, path: str) -> Stream[bytes]:
        """A file of any size in pieces, as they arrive."""
        return run(self.stream_async(path))

    async def write_stream_async(
        self, path: str, content: Source, mode: str = "644", create_dir: bool = True
    ) -> dict[str, Any]:
        """Write a file of any size from a binary file, or from pieces of bytes: `path` and `size`.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        query = {"path": path, "mode": mode, "createDir": create_dir}
        answer = await self._api.open(
            "PUT", "/filesystem/content", query=query, content=pieces(content), headers=BYTES, extension=WRITE_STREAM
        )
        return checked_fields(await whole(answer))

    def write_stream(self, path: str, content: Source, mode: str = "644", create_dir: bool = True) -> dict[str, Any]:
        """Write a file of any size from a binary file, or from pieces of bytes: `path` and `size`.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.write_stream_async(path, content, mode, create_dir))

    async def read_many_async(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Several files at once, each as `read` gives it; one that cannot be read has `error` instead of its content.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        answer = await self._api.ask("POST", "/files/batch", body={"read": list(paths)}, extension=BATCH)
        return [checked_fields(item) for item in answer.get("read") or ()]

    def read_many(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Several files at once, each as `read` gives it; one that cannot be read has `error` instead of its content.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.read_many_async(paths))

    async def write_many_async(self, files: Mapping[str, str | bytes], mode: str = "644") -> list[dict[str, Any]]:
        """Write several files at once, their content by path: the `path` and `size` of each.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        items = [{"path": path, "mode": mode, **_content(content)} for path, content in files.items()]
        answer = await self._api.ask("POST", "/files/batch", body={"write": items}, extension=BATCH)
        return [checked_fields(item) for item in answer.get("written") or ()]

    def write_many(self, files: Mapping[str, str | bytes], mode: str = "644") -> list[dict[str, Any]]:
        """Write several files at once, their content by path: the `path` and `size` of each.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.write_many_async(files, mode))

    async def url_async(
        self, path: str, expires_in: int = 3600, operation: Literal["download", "upload"] = "download"
    ) -> str:
        """A URL that works without a signature for `expires_in` seconds: GET it, or PUT the content for an upload.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        body = {"path": path, "operation": operation, "expiresInSeconds": expires_in}
        answer = await self._api.manage("POST", "/filesystem/signed-url", body=body, extension=SIGNED_URL)
        if not answer.get("url"):
            raise InvalidResponseError(f"the answer has no URL: {answer!r:.200}")
        return str(answer["url"])

    def url(self, path: str, expires_in: int = 3600, operation: Literal["download", "upload"] = "download") -> str:
        """A URL that works without a signature for `expires_in` seconds: GET it, or PUT the content for an upload.

        Extension of the local platform; elsewhere it raises UnsupportedError.
        """
        return run(self.url_async(path, expires_in, operation))

    async def _download(self, path: str, headers: Mapping[str, str] | None = None) -> ByteStream:
        return await self._api.open("GET", "/filesystem/download", query={"path": path}, headers=headers)


async def _first(stream: ByteStream, skip: int, length: int) -> bytes:
    """`length` bytes behind the first `skip` ones, without reading further than needed."""
    found = bytearray()
    source: AsyncIterator[bytes] = aiter(stream)
    async for piece in source:
        found += piece[skip:]
        skip = max(skip - len(piece), 0)
        if len(found) >= length:
            break
    await stream.close()
    return bytes(found[:length])


def _content(content: str | bytes) -> dict[str, str]:
    if isinstance(content, str):
        return {"content": content, "encoding": "utf-8"}
    return {"content": base64.b64encode(content).decode(), "encoding": "base64"}
