"""Multipart forms as uploads send them, read piece by piece."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from agentrun.emulator.guest.errors import BadRequest
from agentrun.emulator.guest.paths import resolve
from agentrun.emulator.guest.spool import Spool

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELD = 64 * 1024


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


def boundary_of(content_type: str) -> bytes:
    """What separates the parts; BadRequest when the content is no form."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise BadRequest("an upload is a multipart/form-data request with the field 'path' and the file part 'file'")
    return boundary
