"""Asking a server on a unix socket: whether it is well, and small things."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio

MAX_STATUS_LINE = 4096


async def healthy(path: Path, url_path: str, timeout: float) -> bool:
    """Whether GET answers 2xx within `timeout` seconds."""
    try:
        with anyio.fail_after(timeout):
            return 200 <= await _status(path, url_path) < 300
    except (OSError, ValueError, IndexError):
        return False


async def fetch(path: Path, url_path: str) -> tuple[int, bytes]:
    """The status and body that GET answers. Raises OSError and ValueError when it answers no HTTP."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(f"GET {url_path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split(maxsplit=2)[1]), body
    finally:
        writer.close()


async def _status(path: Path, url_path: str) -> int:
    reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_STATUS_LINE)
    try:
        writer.write(f"GET {url_path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
