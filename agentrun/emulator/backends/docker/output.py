"""What a container writes, read from the engine as it comes; the end of it is the end of the container."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agentrun.emulator.backends.base import BackendError

FRAME = struct.Struct(">BxxxL")


@dataclass(frozen=True)
class Output:
    """An open stream of what one container writes to stdout and stderr."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_all(self, feed: Callable[[bytes], None]) -> None:
        """Pass on everything until the container has ended."""
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                while True:
                    _, size = FRAME.unpack(await self.reader.readexactly(FRAME.size))
                    feed(await self.reader.readexactly(size))
        finally:
            self.writer.close()


async def attach(engine: Path, container: str) -> Output:
    """Begin to follow a container, before its start to miss nothing; BackendError when the engine refuses."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(engine))
        url = f"/containers/{container}/attach?stream=1&stdout=1&stderr=1"
        writer.write(f"POST {url} HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, asyncio.IncompleteReadError) as error:
        raise BackendError(f"the container engine at {engine} does not answer: {error}") from None
    if head.split(b" ", 2)[1] not in (b"101", b"200"):
        writer.close()
        raise BackendError(f"the container engine does not let its output be read: {head.decode(errors='replace')}")
    return Output(reader, writer)
