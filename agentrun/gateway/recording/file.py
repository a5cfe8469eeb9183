"""The file of a recording: JSON lines, of which each exchange takes a few.

    {"format": "agentrun-recording", "version": 1, "redacted": []}
    {"exchange": 1, "operation": "chat/completions", "request": {...}}
    {"status": 200, "headers": {"content-type": "text/event-stream"}}
    {"text": "data: {...}\\n\\n"}
    {"end": "complete", "head_ms": 210.4, "pieces_ms": [215.0], "end_ms": 215.3}

Times stand together on the last line, so that recording once more the same words changes one line of each exchange.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun.gateway.recording.exchange import Ending, Exchange, Piece, RecordingError
from agentrun.gateway.recording.secret_types import SecretType

FORMAT, VERSION = "agentrun-recording", 1
_Line = dict[str, Any]

log = logging.getLogger("agentrun.gateway")


@dataclass(frozen=True)
class Recording:
    """What a file holds; `redacted` are the types that were removed beside those that always are."""

    path: Path
    digest: str
    exchanges: tuple[Exchange, ...]
    redacted: tuple[SecretType, ...] = ()

    @property
    def models(self) -> list[str]:
        """The models that were asked, each once."""
        return list(dict.fromkeys(exchange.model for exchange in self.exchanges if exchange.model))

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read a file; raises RecordingError. An exchange at the end that was not written to its end is left out."""
        try:
            content = path.read_bytes()
            # Only a line feed ends a line: texts may hold the other characters that are taken for one.
            lines = content.decode().split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise RecordingError(f"the recording {path} cannot be read: {error}") from error
        redacted = _read_head(path, lines[0])
        exchanges = sorted(_read_exchanges(path, lines), key=lambda exchange: exchange.number)
        return cls(path, hashlib.sha256(content).hexdigest(), tuple(exchanges), redacted)


class RecordingFile:
    """A file that exchanges are added to. Each is written at once, so a crash cannot leave half of one behind."""

    def __init__(self, path: Path, redacted: Sequence[SecretType] = (), *, overwrite: bool = False) -> None:
        """Begin a file; raises RecordingError, also when it exists and shall not be overwritten."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if overwrite else os.O_EXCL)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, flags, 0o666)
        except FileExistsError as error:
            raise RecordingError(f"{path} exists: choose another file, or overwrite it") from error
        except OSError as error:
            raise RecordingError(f"{path} cannot be written: {error.strerror}") from error
        self._write(_encoded({"format": FORMAT, "version": VERSION, "redacted": [each.value for each in redacted]}))

    def append(self, exchange: Exchange) -> None:
        """Add an exchange; raises RecordingError, and the file is then as it was."""
        self._write(b"".join(map(_encoded, _lines(exchange))))

    def close(self) -> None:
        """Close the file; what is added from now on is refused."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _write(self, content: bytes) -> None:
        if self._descriptor < 0:
            raise RecordingError("the recording cannot be written: it is closed")
        before = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, content) == len(content):
                return
            reason = "there is no room for all of it"
        except OSError as error:
            reason = str(error.strerror)
        os.ftruncate(self._descriptor, before)
        raise RecordingError(f"the recording cannot be written: {reason}")


def _encoded(line: _Line) -> bytes:
    try:
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        # Half of a surrogate pair is no text, but can be written as an escape.
        return json.dumps(line).encode() + b"\n"


def _lines(exchange: Exchange) -> Iterator[_Line]:
    yield {"exchange": exchange.number, "operation": exchange.operation, "request": exchange.request}
    if exchange.status:
        yield {"status": exchange.status, "headers": exchange.headers}
        yield from (_body_line(piece.data) for piece in exchange.pieces)
    times: _Line = {"head_ms": exchange.head_ms, "pieces_ms": [piece.ms for piece in exchange.pieces]}
    end: _Line = {"end": exchange.ending.value, **(times if exchange.status else {}), "end_ms": exchange.end_ms}
    yield {**end, "reason": exchange.reason} if exchange.reason else end


def _body_line(data: bytes) -> _Line:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _read_head(path: Path, line: str) -> tuple[SecretType, ...]:
    head = _decoded(line)
    if head is None or head.get("format") != FORMAT:
        raise RecordingError(f"{path} is no recording: its first line must name the format {FORMAT!r}")
    if head.get("version") != VERSION:
        raise RecordingError(f"{path} has version {head.get('version')} of the format; this is for version {VERSION}")
    try:
        return tuple(SecretType(name) for name in head.get("redacted") or ())
    except ValueError as error:
        raise RecordingError(f"{path}, line 1: redacted: {error}") from error


def _read_exchanges(path: Path, lines: Sequence[str]) -> Iterator[Exchange]:
    # A line feed ends the last line too; what stands behind it is the beginning of a line that was not finished.
    torn = bool(lines[-1]) and _decoded(lines[-1]) is None
    whole = lines[1:] if lines[-1] and not torn else lines[1:-1]
    under_way: list[_Line] = []
    for number, text in enumerate(whole, start=2):
        line = _decoded(text)
        if line is None:
            raise RecordingError(f"{path}, line {number} is not a JSON object")
        under_way.append(line)
        if "end" in line:
            yield _read_exchange(path, number, under_way)
            under_way = []
    if under_way or torn:
        log.warning("%s: the last exchange was not written to its end and is left out", path)


def _decoded(text: str) -> _Line | None:
    try:
        line: Any = json.loads(text)
    except ValueError:
        return None
    return line if is_object(line) else None


def _read_exchange(path: Path, number: int, lines: Sequence[_Line]) -> Exchange:
    try:
        return _exchange(lines)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        text = f"{path}: the exchange that ends on line {number} cannot be read: {error!r}"
        raise RecordingError(text) from error


def _exchange(lines: Sequence[_Line]) -> Exchange:
    request, *answer, end = lines
    status = answer.pop(0) if answer else {}
    times: Any = end.get("pieces_ms") or []
    if not is_object(request["request"]) or not is_list(times) or len(times) != len(answer):
        raise ValueError("request must be an object, and pieces_ms a time for each piece")
    return Exchange(
        int(request["exchange"]),
        str(request["operation"]),
        request["request"],
        int(status.get("status", 0)),
        status.get("headers") or {},
        float(end.get("head_ms", 0)),
        tuple(Piece(float(ms), _body(line)) for ms, line in zip(times, answer, strict=True)),
        Ending(end["end"]),
        float(end["end_ms"]),
        str(end.get("reason", "")),
    )


def _body(line: _Line) -> bytes:
    if "text" in line:
        return str(line["text"]).encode()
    return base64.b64decode(line["base64"], validate=True)
