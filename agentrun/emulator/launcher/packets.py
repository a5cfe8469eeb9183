"""Messages between processes of this machine: JSON objects, one a packet, with open descriptors beside them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LARGEST = 128 * 1024
MOST_DESCRIPTORS = 16
_BUFFER = 1024 * 1024


@dataclass
class Packet:
    """A message as it came, and the descriptors that came along; who takes them closes them."""

    content: dict[str, Any]
    descriptors: list[int] = field(default_factory=list[int])

    def close(self) -> None:
        """Close the descriptors that nobody took."""
        while self.descriptors:
            os.close(self.descriptors.pop())


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that keep packets apart."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return ends


def send(connection: socket.socket, content: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one packet. Raises ValueError when it is too large, OSError when the other side is gone."""
    data = json.dumps(content, separators=(",", ":")).encode()
    if len(data) > LARGEST:
        raise ValueError(f"a message of {len(data)} bytes is larger than {LARGEST}")
    if descriptors:
        socket.send_fds(connection, [data], list(descriptors))
    else:
        connection.send(data)


def receive(connection: socket.socket) -> Packet | None:
    """The next packet, None at the end. Raises OSError, BlockingIOError when none is there yet."""
    data, descriptors, _, _ = socket.recv_fds(connection, LARGEST, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    return Packet(json.loads(data), list(descriptors))
