"""Secrets that are recognised wherever they turn up: each has the mark of this run of the tests in it.

`canary("password")` is a secret for a test; `Search` looks for the mark of any of them, also where it was encoded.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import os
import secrets
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

# All workers of one run have the same mark, so that each finds what the others have let out.
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex(16)
MARK = f"canary{hashlib.sha256(_RUN.encode()).hexdigest()[:18]}"
_LARGEST = 64 * 2**20


def canary(what: str = "secret") -> str:
    """A secret that nothing else has and `Search` finds; `what` tells people what it was."""
    return f"{what}-{MARK}{secrets.token_hex(4)}"


def _needles() -> tuple[bytes, ...]:
    """The mark as it may stand in a file: plain, in two bytes for each character, in hexadecimal, in base64."""
    mark = MARK.encode()
    found = [mark, MARK.encode("utf-16-le"), mark.hex().encode(), mark.hex().upper().encode()]
    for before in range(3):
        # Which characters stand for the mark depends on where it begins; those at the ends depend on its neighbours.
        encoded = base64.b64encode(bytes(before) + mark).rstrip(b"=")
        found.append(encoded[-(-before * 8 // 6) + (1 if before else 0) : -2])
    return tuple(found)


NEEDLES = _needles()


def holds(data: bytes | str) -> bool:
    """Whether the secret of a test is in there, as it is or encoded, or in an archive."""
    content = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return any(needle in each for each in _unpacked(content) for needle in NEEDLES)


def _unpacked(content: bytes) -> Iterator[bytes]:
    yield content
    if content[:2] == b"\x1f\x8b":
        with contextlib.suppress(OSError, EOFError):
            yield gzip.decompress(content)
    if content[:2] == b"PK":
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name.encode() + archive.read(name)


def files_below(folder: Path) -> list[str]:
    """The files below a folder that hold a secret of a test, by content or by name."""
    found: list[str] = []
    for root, _, names in os.walk(folder):
        for path in (Path(root, name) for name in names):
            # What is moved away in the meantime, sockets and pipes are no files.
            with contextlib.suppress(OSError):
                if path.is_file() and path.stat().st_size <= _LARGEST and holds(path.read_bytes()):
                    found.append(str(path))
            if holds(str(path)):
                found.append(str(path))
    return found


def processes(pids: Iterable[int]) -> list[str]:
    """The command lines and environments of processes that hold a secret of a test."""
    found: list[str] = []
    for pid in pids:
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                if holds(Path(f"/proc/{pid}/{name}").read_bytes()):
                    found.append(f"{name} of {pid}")
    return found
