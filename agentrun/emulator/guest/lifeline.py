"""The agent's line to the emulator: JSON packets on a socket that nothing else in the sandbox has."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

RETRY = 0.01
MAX_PACKET = 65536


class Lifeline:
    """Tells the emulator how the agent is, asks it for connections, and notices when it is gone."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection

    def on_end(self, callback: Callable[[], object]) -> None:
        """Call back once the emulator is gone."""
        loop = asyncio.get_running_loop()

        def readable() -> None:
            if self._gone():
                loop.remove_reader(self._connection)
                callback()

        loop.add_reader(self._connection, readable)

    async def tell(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send one message. Raises OSError when the emulator is gone."""
        data = json.dumps(message).encode()
        while True:
            try:
                socket.send_fds(self._connection, [data], list(descriptors))
                return
            except BlockingIOError:
                await asyncio.sleep(RETRY)

    async def connect(self, service: str) -> socket.socket:
        """A new connection to a service of the emulator, such as "egress"."""
        near, far = socket.socketpair()
        with far:
            try:
                await self.tell({"connect": service}, [far.fileno()])
            except BaseException:
                near.close()
                raise
        return near

    def _gone(self) -> bool:
        try:
            return not self._connection.recv(MAX_PACKET)
        except BlockingIOError:
            return False
        except OSError:
            return True
