"""A terminal in a sandbox."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from agentrun._core.blocking import iterate, run
from agentrun.errors import RequestTimeoutError, TransportError
from agentrun.sandbox.calls import SandboxCalls, checked_fields

if TYPE_CHECKING:
    from typing_extensions import Self

    from agentrun._core.channel import Channel


class Terminal:
    """A shell or a command behind a terminal: `for` over what it shows, `write` what is typed.

    Leaving a `with` block, or `close`, hangs up, which ends what runs in it. One thread may read while another writes.
    """

    def __init__(self, channel: Channel, calls: SandboxCalls) -> None:
        self._channel = channel
        self._calls = calls
        self._exit_code: int | None = None

    @property
    def exit_code(self) -> int | None:
        """The exit code of what ran, None while it runs."""
        return self._exit_code

    async def write_async(self, text: str) -> None:
        """Type something; a line ends with a line feed, and control characters are keys such as Ctrl-C."""
        await self._send({"type": "input", "data": text})

    def write(self, text: str) -> None:
        """Type something; a line ends with a line feed, and control characters are keys such as Ctrl-C."""
        run(self.write_async(text))

    async def read_async(self, timeout: float | None = None) -> str:
        """The next piece shown, empty after the last one; raises RequestTimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._exit_code is None:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
            text = self._taken(await self._next(left))
            if text:
                return text
        return ""

    def read(self, timeout: float | None = None) -> str:
        """The next piece shown, empty after the last one; raises RequestTimeoutError after `timeout` seconds."""
        return run(self.read_async(timeout))

    async def read_until_async(self, text: str, timeout: float = 30.0) -> str:
        """Everything shown up to the piece that completes `text`; raises RequestTimeoutError when it does not come."""
        shown = ""
        deadline = time.monotonic() + timeout
        while text not in shown:
            piece = await self.read_async(max(deadline - time.monotonic(), 0.001))
            if not piece:
                raise RequestTimeoutError(f"the terminal ended without {text!r}: {shown[-200:]!r}")
            shown += piece
        return shown

    def read_until(self, text: str, timeout: float = 30.0) -> str:
        """Everything shown up to the piece that completes `text`; raises RequestTimeoutError when it does not come."""
        return run(self.read_until_async(text, timeout))

    async def resize_async(self, columns: int, rows: int) -> None:
        """Change the size, which what runs is told."""
        await self._send({"type": "resize", "columns": columns, "rows": rows})

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, which what runs is told."""
        run(self.resize_async(columns, rows))

    async def kill_async(self, signal: str = "SIGKILL") -> None:
        """Send a signal to what runs in front."""
        await self._send({"type": "signal", "signal": signal})

    def kill(self, signal: str = "SIGKILL") -> None:
        """Send a signal to what runs in front."""
        run(self.kill_async(signal))

    async def wait_async(self, timeout: float | None = None) -> int:
        """The exit code, once what runs has ended; what it shows is read away. Raises RequestTimeoutError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._exit_code is None:
            await self.read_async(None if deadline is None else max(deadline - time.monotonic(), 0.001))
        return self._exit_code

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once what runs has ended; what it shows is read away. Raises RequestTimeoutError."""
        return run(self.wait_async(timeout))

    async def close_async(self) -> None:
        """Hang up; calling it twice is allowed."""
        await self._channel.close()

    def close(self) -> None:
        """Hang up; calling it twice is allowed."""
        run(self.close_async())

    async def _send(self, message: dict[str, Any]) -> None:
        await self._channel.send(json.dumps(message))

    async def _next(self, timeout: float | None) -> dict[str, Any]:
        message = await self._channel.receive(timeout)
        if message is None:
            raise await self._cause()
        return checked_fields(json.loads(message))

    def _taken(self, message: dict[str, Any]) -> str:
        """What a message shows, nothing for the one that tells the end."""
        if message.get("type") == "exit":
            self._exit_code = int(message.get("exitCode") or 0)
        return str(message.get("data") or "") if message.get("type") == "output" else ""

    async def _cause(self) -> Exception:
        """Why the channel closed although the command had not ended."""
        reason = self._channel.close_reason
        return await self._calls.cause(TransportError(f"the terminal was closed{reason and ': '}{reason}"))

    def __iter__(self) -> Iterator[str]:
        return iterate(self._pieces())

    async def __aiter__(self) -> AsyncIterator[str]:
        async for piece in self._pieces():
            yield piece

    async def _pieces(self) -> AsyncIterator[str]:
        while piece := await self.read_async():
            yield piece

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close_async()
