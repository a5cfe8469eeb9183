"""The files of the page, compressed once and named by what is in them."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).with_name("static")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
INDEX = "index.html"


class File(NamedTuple):
    """A file, also compressed."""

    media_type: str
    content: bytes
    compressed: bytes


class Files(NamedTuple):
    """All files by their paths, and a name that changes when any of them does."""

    version: str
    by_path: dict[str, File]


@cache
def page_files() -> Files:
    """The files, read when they are first asked for."""
    paths = sorted(path for path in _FOLDER.rglob("*") if path.suffix in _TYPES)
    by_path = {path.relative_to(_FOLDER).as_posix(): _read(path) for path in paths}
    digest = hashlib.sha256()
    for path, file in by_path.items():
        digest.update(f"{path} {len(file.content)} ".encode() + file.content)
    return Files(digest.hexdigest()[:16], by_path)


def _read(path: Path) -> File:
    content = path.read_bytes()
    return File(_TYPES[path.suffix], content, gzip.compress(content, mtime=0))
