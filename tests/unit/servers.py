"""A real HTTP server on loopback that behaves as told, and counts the connections and requests that reach it."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Received:
    """A request as it arrived; header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Line:
    """One connection, seen from the server."""

    socket: socket.socket
    stopping: threading.Event
    buffer: bytes = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def wait(self, seconds: float) -> None:
        """Do nothing, until the test ends at the latest."""
        self.stopping.wait(seconds)

    def _until(self, enough: Callable[[bytes], bool]) -> bool:
        while not enough(self.buffer):
            data = self.socket.recv(65536)
            if not data:
                return False
            self.buffer += data
        return True

    def receive(self) -> Received | None:
        """The next request, None when the client has gone."""
        if not self._until(lambda data: b"\r\n\r\n" in data):
            return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, path, _ = first.split(" ", 2)
        return Received(method, path, headers, self._body(headers))

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            self._until(lambda data: data.endswith(b"0\r\n\r\n"))
            body, self.buffer = self.buffer, b""
            return body
        length = int(headers.get("content-length", 0))
        self._until(lambda data: len(data) >= length)
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return body


# What to do with one request; returns whether the connection stays open.
Behaviour = Callable[[Line, Received], bool]


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(
    body: bytes | Mapping[str, Any] = b"", status: int = 200, headers: Mapping[str, str] | None = None
) -> Behaviour:
    """A proper answer; a mapping is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def behave(line: Line, _: Received) -> bool:
        line.send(head(status, {"content-length": str(len(content)), **(headers or {})}) + content)
        return True

    return behave


def success(data: Mapping[str, Any]) -> Behaviour:
    return answer({"code": "SUCCESS", "requestId": "R-1", "data": data})


def raw(data: bytes, keep: bool = False) -> Behaviour:
    """These bytes, whatever they are."""

    def behave(line: Line, _: Received) -> bool:
        line.send(data)
        return keep

    return behave


def reset(before: bytes = b"") -> Behaviour:
    """Cut the connection with a TCP reset, after these bytes."""

    def behave(line: Line, _: Received) -> bool:
        line.send(before)
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return behave


def after(seconds: float, then: Behaviour) -> Behaviour:
    def behave(line: Line, request: Received) -> bool:
        line.wait(seconds)
        return then(line, request)

    return behave


def trickle(pieces: Sequence[bytes], pause: float) -> Behaviour:
    """The pieces one by one, as fast as `pause` seconds allow; then the connection stays open."""

    def behave(line: Line, _: Received) -> bool:
        for piece in pieces:
            line.send(piece)
            line.wait(pause)
        return True

    return behave


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAM_HEAD = head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
STREAM_END = b"0\r\n\r\n"


def stream(*pieces: bytes, pause: float = 0.0, end: bytes = STREAM_END) -> Behaviour:
    """A chunked answer; without an `end` the connection breaks off behind the last piece."""

    def behave(line: Line, _: Received) -> bool:
        line.send(STREAM_HEAD)
        for piece in pieces:
            line.send(chunk(piece))
            line.wait(pause)
        line.send(end)
        return bool(end)

    return behave


def page(status: int) -> Behaviour:
    return answer(b"<html><body>Bad gateway, dear visitor</body></html>", status, {"content-type": "text/html"})


# Everything a server or a network can do wrong, each by a name.
MISBEHAVIOURS: dict[str, Behaviour] = {
    "closes without an answer": raw(b""),
    "resets without an answer": reset(),
    "resets in the head": reset(b"HTTP/1.1 200 OK\r\ncontent-le"),
    "resets in the body": reset(head(200, {"content-length": "100"}) + b"{"),
    "closes in the body": raw(head(200, {"content-length": "100"}) + b"{"),
    "breaks a chunked body": stream(b"data: x", end=b""),
    "names a wrong chunk size": raw(STREAM_HEAD + b"zz\r\nnothing\r\n"),
    "speaks another protocol": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "sends nonsense": raw(bytes(range(256))),
    "lies about its encoding": answer(b"not gzip", headers={"content-encoding": "gzip"}),
    "cuts its encoding": answer(gzip.compress(b"{}" * 500)[:20], headers={"content-encoding": "gzip"}),
    "has a negative length": raw(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n"),
    "has an endless head": raw(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000),
    "answers with a page": page(200),
    "answers with a page of an error": page(502),
    "answers with nothing": answer(b""),
    "answers with a list": answer(b"[1, 2]"),
    "answers with broken JSON": answer(b'{"code": "SUCC'),
    "answers with other bytes": answer(b"\xff\xfe\x00"),
    "succeeds without data": answer({"code": "SUCCESS"}),
    "succeeds with a list as data": answer({"code": "SUCCESS", "data": [1]}),
    "fails with status 200": answer({"code": "ERR_X", "message": "no"}),
    "fails with an empty body": answer(b"", 500),
    "redirects": answer(b"", 302, {"location": "http://127.0.0.1:1/elsewhere"}),
    "is silent": after(60, raw(b"")),
    "trickles its head": trickle([b"HTTP/1.1 200 OK\r\nx: ", *[b"a"] * 400], 0.05),
    "trickles its body": trickle([head(200, {"content-length": "5000"}), *[b" "] * 400], 0.05),
}


@dataclass
class Server:
    """Answers each request by the next behaviour; the last one goes on for ever."""

    behaviours: list[Behaviour]
    requests: list[Received] = field(default_factory=list[Received])
    accepted: int = 0
    lines: list[Line] = field(default_factory=list[Line])
    listening: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=256))
    stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    @property
    def open_lines(self) -> int:
        """How many connections are open now."""
        with self._lock:
            return sum(line.socket.fileno() >= 0 for line in self.lines)

    def then(self, *behaviours: Behaviour) -> None:
        """From now on do this instead."""
        with self._lock:
            self.behaviours[:] = behaviours

    def start(self) -> None:
        self._thread(self._accept)

    def stop(self) -> None:
        self.stopping.set()
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        for line in list(self.lines):
            with suppress(OSError):
                line.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self.listening.close()

    def _thread(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self.stopping.is_set():
                connection, _ = self.listening.accept()
                line = Line(connection, self.stopping)
                with self._lock:
                    self.accepted += 1
                    self.lines.append(line)
                self._thread(self._serve, line)

    def _serve(self, line: Line) -> None:
        with suppress(OSError), line.socket:
            while (request := line.receive()) is not None:
                if not self._next(request)(line, request):
                    return

    def _next(self, request: Received) -> Behaviour:
        with self._lock:
            self.requests.append(request)
            return self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]


@contextmanager
def serving(*behaviours: Behaviour) -> Generator[Server, None, None]:
    server = Server(list(behaviours) or [answer(b"{}")])
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def serving_late(seconds: float, *behaviours: Behaviour) -> Generator[Server, None, None]:
    """A server that refuses connections for so many seconds."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    server = Server(list(behaviours), listening=bound)

    def open_up() -> None:
        bound.listen()
        server.start()

    timer = threading.Timer(seconds, open_up)
    timer.start()
    try:
        yield server
    finally:
        timer.join()
        server.stop()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port
