"""What was changed in a copy-on-write folder, as a unified diff that `patch -p1` and people can read."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

LARGEST_FILE = 4 * 1024 * 1024
NOTHING = "/dev/null"


def unified(original: Path, changed: Path) -> str:
    """The difference between two folders; files that are not text are only named."""
    names = sorted({*_files(original), *_files(changed)})
    return "".join(_difference(original / name, changed / name, name) for name in names)


def _files(folder: Path) -> Iterator[str]:
    for parent, _, files in os.walk(folder):
        for name in files:
            yield os.path.relpath(os.path.join(parent, name), folder)


def _difference(old: Path, new: Path, name: str) -> str:
    before, after = _content(old), _content(new)
    if before == after:
        return ""
    if isinstance(before, bytes) or isinstance(after, bytes):
        return f"Binary files a/{name} and b/{name} differ\n"
    labels = f"a/{name}" if before is not None else NOTHING, f"b/{name}" if after is not None else NOTHING
    lines = difflib.unified_diff(_lines(before), _lines(after), *labels)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _content(file: Path) -> str | bytes | None:
    """Text, bytes when it is none, None when there is no such file; a link is its target, as a line."""
    if file.is_symlink():
        return f"{os.readlink(file)}\n"
    if not file.is_file():
        return None
    if file.stat().st_size > LARGEST_FILE:
        return str(file.stat()).encode()
    content = file.read_bytes()
    try:
        return content if b"\0" in content else content.decode()
    except UnicodeDecodeError:
        return content


def _lines(text: str | None) -> list[str]:
    return (text or "").splitlines(keepends=True)
