"""What a session reads from and writes to, with an eye on what goes by."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from agentrun.toolset.mcp.library import root

if TYPE_CHECKING:
    from typing_extensions import Self


class Sent:
    """What is known of a request: its id on the wire, None until it has been handed over to be sent."""

    def __init__(self) -> None:
        self.request_id: Any = None
        self.is_cancelled = False


# The request that the running task makes.
current: ContextVar[Sent | None] = ContextVar("agentrun_mcp_request", default=None)


class Inbox:
    """Messages from the server; `ended` is called when there will be no more."""

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self._stream.__aexit__(*details)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except BaseException:
            self._ended()
            raise

    async def receive(self) -> Any:
        """The next message."""
        return await self._stream.receive()

    async def aclose(self) -> None:
        """Read no more."""
        await self._stream.aclose()

    def close(self) -> None:
        """Read no more."""
        self._stream.close()


class Outbox:
    """Messages to the server; notes the id of each request, and which of them were cancelled."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self._stream.__aexit__(*details)

    async def send(self, item: Any) -> None:
        """Send one message."""
        sent = current.get()
        if sent is not None:
            message = root(item.message)
            if message.method == "notifications/cancelled":
                sent.is_cancelled = True
            elif sent.request_id is None:
                sent.request_id = message.id
        await self._stream.send(item)

    async def aclose(self) -> None:
        """Send no more."""
        await self._stream.aclose()

    def close(self) -> None:
        """Send no more."""
        self._stream.close()
