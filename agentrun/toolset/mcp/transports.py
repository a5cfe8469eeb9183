"""The ways to a server: each gives a session what it reads from and writes to."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from agentrun._core.foreign_http import foreign_client
from agentrun._core.session import Session
from agentrun.errors import AgentRunError, ConnectError
from agentrun.toolset.mcp.address import Address, CommandAddress, HttpAddress
from agentrun.toolset.mcp.library import library
from agentrun.toolset.mcp.relay import SseRelay, StreamableRelay

log = logging.getLogger("agentrun.mcp")

_LONGEST_COMPLAINT = 2000


class Way(Protocol):
    """A way to a server."""

    def open(self) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """What to read from and to write to."""
        ...

    @property
    def hears(self) -> bool:
        """Whether the server can tell us something of its own accord now, and we notice when it no longer can."""
        ...

    def failure(self, data: Any) -> AgentRunError | None:
        """The error of ours to which the data of an error of the protocol refers, None when to none."""
        ...

    def explanation(self) -> AgentRunError | None:
        """Why it broke, None when that is not known."""
        ...


def way_to(address: Address, lost: Callable[[], None], broken: Callable[[AgentRunError], None]) -> Way:
    """The way to an address.

    `lost` is called when a stream on which the server speaks of its own accord ends, `broken` when the session is over.
    """
    return ProcessWay(address) if isinstance(address, CommandAddress) else HttpWay(address, lost, broken)


class HttpWay:
    """To a server at a URL."""

    def __init__(self, address: HttpAddress, lost: Callable[[], None], broken: Callable[[AgentRunError], None]) -> None:
        self._address = address
        self._settings = address.settings
        self._connections = Session(self._settings.transport)  # Of this session alone: it closes them with itself.
        kind = SseRelay if address.transport == "sse" else StreamableRelay
        connect_timeout = self._settings.get_connect_timeout()
        self._relay = kind(self._connections, address.authenticate, connect_timeout, lost, broken)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[Any, Any], None]:
        """What to read from and to write to."""
        mcp = await asyncio.to_thread(library)  # It may have to be loaded, which would hold everybody up.
        client, url = foreign_client(mcp.http, self._relay.exchange), self._address.target()
        try:
            if isinstance(self._relay, SseRelay):
                await self._relay.dial(url)
                opening = mcp.sse(url, client)
            else:
                opening = mcp.streamable_http(url, client)
            async with opening as streams:
                yield streams[0], streams[1]
        finally:
            await self._relay.close()
            if self._settings.transport is None:
                await self._connections.close_async()

    @property
    def hears(self) -> bool:
        """Whether a stream is open on which the server speaks of its own accord."""
        return self._relay.hears

    def failure(self, data: Any) -> AgentRunError | None:
        """The error of ours to which the data of an error of the protocol refers, None when to none."""
        return self._relay.failure(data)

    def explanation(self) -> AgentRunError | None:
        """What the last failed request met with."""
        return self._relay.last_failure


class ProcessWay:
    """To a server that is a process of ours."""

    def __init__(self, address: CommandAddress) -> None:
        self._address = address
        self._complaints = _Complaints()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[Any, Any], None]:
        """What to read from and to write to."""
        parameters = self._address.parameters()
        mcp = await asyncio.to_thread(library)
        reading, writing = os.pipe()
        loop = asyncio.get_running_loop()
        pipe, _ = await loop.connect_read_pipe(lambda: self._complaints, os.fdopen(reading, "rb"))
        try:
            with os.fdopen(writing, "w") as errors:
                async with mcp.stdio(parameters, errors) as streams:
                    errors.close()  # The process has it; what we kept would hide that it ended.
                    yield streams[0], streams[1]
        except OSError as error:
            raise ConnectError(f"cannot start {self._address.command!r}: {error}") from error
        finally:
            pipe.close()

    @property
    def hears(self) -> bool:
        """True: what it says comes the way of all answers."""
        return True

    def failure(self, data: Any) -> AgentRunError | None:
        """None: nothing of ours is between the package and the process."""
        return None

    def explanation(self) -> AgentRunError | None:
        """The last that the process said on its standard error."""
        said = self._complaints.text
        return ConnectError(f"the process {self._address.command!r} ended" + (f": {said}" if said else ""))


class _Complaints(asyncio.Protocol):
    """What a process writes on its standard error: logged, and its end kept for errors."""

    def __init__(self) -> None:
        self.text = ""

    def data_received(self, data: bytes) -> None:
        said = data.decode(errors="replace")
        log.debug("%s", said.rstrip())
        self.text = (self.text + said)[-_LONGEST_COMPLAINT:].strip()
