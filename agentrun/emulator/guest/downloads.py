"""Downloads: a file, or one range of it, in constant memory."""

from __future__ import annotations

import contextlib
import email.utils
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote_from_bytes

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentrun.emulator.guest.errors import GuestError
from agentrun.emulator.guest.files import open_for_reading
from agentrun.emulator.guest.paths import shown

CHUNK = 256 * 1024
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class RangeNotSatisfiable(GuestError):
    """A range that the file does not have."""

    status = 416
    code = "ERR_RANGE_NOT_SATISFIABLE"

    def __init__(self, text: str, size: int) -> None:
        super().__init__(text)
        self.headers = {"content-range": f"bytes */{size}"}


class Download(Response):
    """A file as it is now; a file that shrinks meanwhile breaks the connection, so that nobody takes it for whole."""

    media_type = "application/octet-stream"

    def __init__(self, path: Path, headers: Mapping[str, str]) -> None:
        """Raises NotFound, Forbidden, BadRequest for what is no regular file, and RangeNotSatisfiable."""
        self.background = None
        self._file = open_for_reading(path)
        try:
            self._prepare(path, headers)
        except BaseException:
            self._file.close()
            raise

    def _prepare(self, path: Path, headers: Mapping[str, str]) -> None:
        facts = os.fstat(self._file.fileno())
        modified, size = email.utils.formatdate(facts.st_mtime, usegmt=True), _size(self._file, facts)
        tag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
        wanted = headers.get("range", "") if headers.get("if-range", tag) in (tag, modified) else ""
        part = None if size is None else _find_range(path, wanted, size)
        self._start, self._length = part or (0, size)
        self.status_code = 200 if part is None else 206
        self.init_headers({"accept-ranges": "bytes", "last-modified": modified, "etag": tag, **_disposition(path)})
        if self._length is not None:
            self.headers["content-length"] = str(self._length)
        if part is not None:
            self.headers["content-range"] = f"bytes {part[0]}-{part[0] + part[1] - 1}/{size}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI app."""
        with self._file as file:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await self._send_content(file, send)
            await send({"type": "http.response.body", "body": b""})

    async def _send_content(self, file: BinaryIO, send: Send) -> None:
        file.seek(self._start)
        left = self._length
        while left is None or left > 0:
            # From the page cache this takes microseconds; a thread for each piece would take longer.
            data = _read(file, CHUNK if left is None else min(CHUNK, left))
            if not data:
                return
            left = None if left is None else left - len(data)
            await send({"type": "http.response.body", "body": data, "more_body": True})


def _read(file: BinaryIO, size: int) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return file.read(size) or b""
    return b""


def _size(file: BinaryIO, facts: os.stat_result) -> int | None:
    """None for what says that it is empty and is not, as files of /proc do."""
    with contextlib.suppress(OSError):
        if facts.st_size == 0 and os.pread(file.fileno(), 1, 0):
            return None
    return facts.st_size


def _find_range(path: Path, wanted: str, size: int) -> tuple[int, int] | None:
    """Start and length; None when no range is wanted, or several, which may be answered with everything."""
    match = RANGE.fullmatch(wanted)
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size or end < start:
        raise RangeNotSatisfiable(f"{shown(path)} has {size} bytes: it has no range {wanted}", size)
    return start, end - start + 1


def _disposition(path: Path) -> dict[str, str]:
    name = quote_from_bytes(os.fsencode(path.name))
    if name == path.name:
        return {"content-disposition": f'attachment; filename="{name}"'}
    return {"content-disposition": f"attachment; filename*=utf-8''{name}"}
