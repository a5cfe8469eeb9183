"""A server that answers one thing as fast as Python can, in a process of its own: clients are measured against it."""

from __future__ import annotations

import asyncio
import json
import sys

CREDENTIAL: dict[str, object] = {
    "credentialId": "c-1",
    "credentialName": "key",
    "credentialAuthType": "api_key",
    "credentialSourceType": "external_llm",
    "credentialPublicConfig": {"users": []},
    "credentialSecret": "sk",
    "createdAt": "2026-01-01T00:00:00.000000Z",
    "updatedAt": "2026-01-01T00:00:00.000000Z",
    "enabled": True,
}
BODY = json.dumps({"code": "SUCCESS", "requestId": "R", "data": CREDENTIAL}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Stub(asyncio.Protocol):
    """Answers every request that has no body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        """Answer each complete head."""
        self.rest += data
        while b"\r\n\r\n" in self.rest:
            _, _, self.rest = self.rest.partition(b"\r\n\r\n")
            self.transport.write(ANSWER)


async def main() -> None:
    """Listen on a free port, say which, and serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stub, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
