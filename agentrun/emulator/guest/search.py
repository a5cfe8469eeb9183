"""Finding files by their names and by what is in them."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from agentrun.emulator.guest.entries import descendants, entry
from agentrun.emulator.guest.errors import BadRequest, GuestError, NotFound
from agentrun.emulator.guest.files import CHUNK, explained, open_for_reading
from agentrun.emulator.guest.paths import shown
from agentrun.emulator.guest.turns import in_turns

DEFAULT_LIMIT = 1000
MAX_LIMIT = 10_000
LINE_LIMIT = 200


async def search(path: Path, pattern: str, content: str, limit: int) -> dict[str, Any]:
    """What lies below a folder and matches; sorted by path.

    The pattern is a glob: `*`, `?`, `[...]` within a name, `**` across folders. Without a `/` it is for names at any
    depth, else for paths below the folder. With `content`, only files that have this text, with the first `line` that
    does (`number`, `text`). More than `limit` entries are cut off, and `truncated` is true.
    """
    with explained(path):
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    found: list[dict[str, Any]] = []
    async for match in in_turns(_matches(path, pattern, content.encode())):
        if match is not None:
            found.append(match)
        if len(found) > limit:
            break
    return {"path": shown(path), "entries": found[:limit], "truncated": len(found) > limit}


def translate(pattern: str) -> re.Pattern[bytes]:
    """A glob as a regular expression over the bytes of relative paths."""
    parts = re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)
    try:
        return re.compile("".join(map(_translate_part, parts)).encode(), re.DOTALL)
    except re.error as error:
        raise BadRequest(f"the pattern {pattern!r} is no glob: {error}") from None


def _translate_part(part: str) -> str:
    simple = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in simple:
        return simple[part]
    if part.startswith("[") and len(part) > 2:
        inside = part[1:-1].replace("\\", "\\\\")
        return f"[^/{inside[1:]}]" if inside.startswith("!") else f"(?!/)[{inside}]"
    return re.escape(part)


def _matches(path: Path, pattern: str, content: bytes) -> Iterator[dict[str, Any] | None]:
    """An entry for each that matches, and None for each that does not, so that the search can pause at it."""
    expression, whole = translate(pattern.removeprefix("./")), "/" in pattern
    skipped = len(os.fsencode(path).rstrip(b"/")) + 1
    for child in descendants(path):
        name = os.fsencode(child.path)[skipped:] if whole else os.fsencode(child.name)
        if not expression.fullmatch(name):
            yield None
        elif not content:
            yield _entry(child.path)
        else:
            yield from _with_content(child, content)


def _with_content(child: os.DirEntry[str], content: bytes) -> Iterator[dict[str, Any] | None]:
    line: dict[str, Any] | None = None
    with contextlib.suppress(OSError, GuestError):
        if child.is_file():
            line = yield from _find_line(Path(child.path), content)
    yield line and _entry(child.path, line=line)


def _find_line(path: Path, content: bytes) -> Generator[None, None, dict[str, Any] | None]:
    """Read until the text is found, in bounded memory, with a pause after each piece."""
    number, window = 1, b""
    with open_for_reading(path) as file:
        while data := file.read(CHUNK):
            window += data
            at = window.find(content)
            if at >= 0:
                window += file.read(LINE_LIMIT) or b""
                return {"number": number + window.count(b"\n", 0, at), "text": _line_at(window, at)}
            keep = len(content) - 1 + LINE_LIMIT
            number += window.count(b"\n", 0, max(0, len(window) - keep))
            window = window[-keep:]
            yield
    return None


def _line_at(window: bytes, at: int) -> str:
    start = max(window.rfind(b"\n", 0, at) + 1, at - LINE_LIMIT)
    end = window.find(b"\n", at)
    text = window[start : len(window) if end < 0 else end]
    return text[: at - start + LINE_LIMIT].decode("utf-8", "replace")


def _entry(path: str, **more: Any) -> dict[str, Any] | None:
    try:
        return {**entry(path), **more}
    except (NotFound, BadRequest):  # it is gone, or its path is too long
        return None
