"""The control socket on the interpreter's side: a JSON line a message, with descriptors beside it."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrun.emulator.guest.workers.bundles import encode

CHUNK = 65536
DESCRIPTORS = 3


@dataclass
class Message:
    """What the guest asks for, and the descriptors it sent along."""

    content: dict[str, Any]
    descriptors: list[int]

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in self.descriptors:
            os.close(descriptor)


class Channel:
    """The control socket, which a clone replaces by its own."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._sending = threading.Lock()
        self._rest = bytearray()
        self._lines: deque[bytes] = deque()

    def receive(self) -> Message | None:
        """What the guest says next; None when it has hung up."""
        descriptors: list[int] = []
        while not self._lines:
            data, descriptors, _, _ = socket.recv_fds(self._control, CHUNK, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
            if not data:
                return None
            self._rest += data
            if b"\n" in data:
                *lines, self._rest = self._rest.split(b"\n")
                self._lines.extend(map(bytes, lines))
        return Message(json.loads(self._lines.popleft()), descriptors)

    def send(self, content: Mapping[str, Any]) -> None:
        """Tell the guest; threads of the code may do so too."""
        line = encode(content) + b"\n"
        with self._sending:
            self._control.sendall(line)

    def replace(self, control: socket.socket) -> None:
        """Go on with another socket, in a process that was just forked."""
        self._control.close()
        self._control = control
        self._sending = threading.Lock()
