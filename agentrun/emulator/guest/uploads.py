"""Uploads of any size in constant memory: a raw body, or a multipart form whose file goes to disk as it comes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request

from agentrun.emulator.guest.errors import BadRequest, Unavailable
from agentrun.emulator.guest.events import CallerGone
from agentrun.emulator.guest.files import Incoming, prepare_folder
from agentrun.emulator.guest.paths import home, resolve, shown
from agentrun.emulator.guest.turns import in_thread

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

BATCH = 1024 * 1024
# Memory, and a disk that is not busy, take a batch in less time than a thread costs. Once one took longer than this the
# rest of the upload goes to a thread in larger batches, so that nobody else waits for the disk.
SLOW = 0.05
SLOW_BATCH = 4 * BATCH
MAX_FIELD = 64 * 1024


class Spool:
    """Bytes on their way into a file."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._slow = False

    def add(self, data: bytes) -> None:
        """Take some bytes; `drain` writes them."""
        self._pieces.append(data)
        self._waiting += len(data)

    async def drain(self) -> None:
        """Write once there is enough to be worth it."""
        if self._waiting < (SLOW_BATCH if self._slow else BATCH):
            return
        began, pieces = time.monotonic(), self._take()
        if self._slow:
            await in_thread(lambda: self._write(pieces))
        else:
            self._write(pieces)
            self._slow = time.monotonic() - began > SLOW

    def finish(self) -> None:
        """Write the rest."""
        self._write(self._take())

    def _take(self) -> list[bytes]:
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        return pieces

    def _write(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._incoming.write(piece)


async def receive_body(request: Request, path: Path, mode: int | None, *, create_folder: bool) -> dict[str, Any]:
    """Store the raw body at a path; it appears there complete or not at all."""
    prepare_folder(path, create=create_folder)
    with contextlib.closing(Incoming.beside(path)) as incoming:
        spool = Spool(incoming)
        async for data in _stream(request):
            spool.add(data)
            await spool.drain()
        spool.finish()
        await in_thread(lambda: incoming.place(path, mode))
        return {"path": shown(path), "size": incoming.size}


async def receive_form(request: Request) -> dict[str, Any]:
    """Store the form's part `file` at its field `path`; in a folder, or after a /, it gets the file's own name."""
    boundary = _boundary(request)
    # /tmp may be memory, and a large upload must not fill that; the path may come after the file.
    with contextlib.closing(Incoming(home())) as incoming:
        form = Form(Spool(incoming))
        parse = form.parser(boundary)
        async for data in _stream(request):
            parse(data)
            await form.spool.drain()
        form.spool.finish()
        path = form.target()
        prepare_folder(path)
        await in_thread(lambda: incoming.place(path, None))
        return {"path": shown(path), "size": incoming.size, "message": "uploaded"}


class Form:
    """The parts of a multipart form as the parser tells them: `path` is kept, `file` goes to the spool."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._path = b""
        self._file_name: str | None = None
        self._part = ""
        self._header = b""
        self._value = b""
        self._disposition = b""

    def parser(self, boundary: bytes) -> Callable[[bytes], None]:
        """What takes the body, piece by piece; BadRequest when it is no form."""
        from python_multipart.exceptions import FormParserError  # only uploads need it
        from python_multipart.multipart import MultipartParser

        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
        }
        parser = MultipartParser(boundary, callbacks)

        def parse(data: bytes) -> None:
            try:
                parser.write(data)
            except FormParserError as error:
                raise BadRequest(f"the form is not valid multipart/form-data: {error}") from None

        return parse

    def target(self) -> Path:
        """Where the file goes; BadRequest when the form lacked something."""
        if not self._path:
            raise BadRequest("the form field 'path' is required")
        if self._file_name is None:
            raise BadRequest("the form's file part 'file' is required")
        name = os.fsdecode(self._path)
        path = resolve(name)
        if name.endswith("/") or path.is_dir():
            path /= Path(self._file_name).name or "upload"
        return path

    def _begin(self) -> None:
        self._part, self._disposition = "", b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._disposition)
        self._part = options.get(b"name", b"").decode("utf-8", "replace")
        if self._part == "file":
            self._file_name = os.fsdecode(options.get(b"filename", b"upload"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part == "file":
            self.spool.add(data[start:end])
        elif self._part == "path":
            self._path += data[start:end]
            if len(self._path) > MAX_FIELD:
                raise BadRequest("the form field 'path' is too long")


def _boundary(request: Request) -> bytes:
    if importlib.util.find_spec("python_multipart") is None:
        raise Unavailable("uploads need the package python-multipart in the sandbox: pip install python-multipart")
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise BadRequest("an upload is a multipart/form-data request with the field 'path' and the file part 'file'")
    return boundary


async def _stream(request: Request) -> AsyncIterator[bytes]:
    try:
        async for data in request.stream():
            yield data
    except ClientDisconnect:
        raise CallerGone from None
