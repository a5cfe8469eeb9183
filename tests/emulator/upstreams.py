"""Servers to which secrets are sent: real HTTPS on loopback, with certificates of an authority of the tests' own."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from agentrun.emulator.authority import Authority

# Loopback, but none of the addresses that a sandbox reaches without its proxy.
HOST = "127.0.0.2"
PIECE = b"0123456789abcdef" * 4096


@dataclass
class Upstream:
    """A running server and what it was sent."""

    port: int
    scheme: str = "https"
    received: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def host(self) -> str:
        """Where it is, as an allowed host."""
        prefix = "" if self.scheme == "https" else f"{self.scheme}://"
        return f"{prefix}{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.scheme}://{HOST}:{self.port}"

    @property
    def last(self) -> dict[str, Any]:
        """The last request."""
        return self.received[-1]

    def saw(self, text: str) -> bool:
        """Whether anything it was sent holds a text."""
        return any(text in json.dumps(one) for one in self.received)


def _handler(upstream: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            if address.path == "/swallow":
                self._answer(json.dumps({"received": self._swallowed()}).encode())
                return
            body = self._body()
            request = {"method": self.command, "path": self.path, "headers": dict(self.headers.items()), "body": body}
            upstream.received.append(request)
            if address.path == "/redirect":
                self._answer(b"", 302, Location=query["to"])
            elif address.path == "/big":
                self._big(int(query["size"]))
            elif address.path == "/chunks":
                self._chunks([piece.encode() for piece in json.dumps(request)])
            elif address.path == "/header":
                self._answer(b"", 200, **{"X-Echo": self.headers.get("Authorization", "")})
            elif address.path == "/slow":
                self._chunks([b"first", b"second"], wait=float(query["wait"]))
            else:
                self._answer(json.dumps(request).encode())

        do_POST = do_PUT = do_DELETE = do_GET

        def _body(self) -> str:
            return b"".join(self._pieces()).decode("latin-1")

        def _swallowed(self) -> int:
            return sum(map(len, self._pieces()))

        def _pieces(self) -> Generator[bytes]:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                while size := int(self.rfile.readline().strip(), 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return
            left = int(self.headers.get("Content-Length") or 0)
            while left:
                piece = self.rfile.read(min(left, 65536))
                if not piece:
                    return
                left -= len(piece)
                yield piece

        def _answer(self, body: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _big(self, size: int) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            while size:
                piece = PIECE[:size]
                self.wfile.write(piece)
                size -= len(piece)

        def _chunks(self, pieces: list[bytes], wait: float = 0.0) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in pieces:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                if wait:
                    self.wfile.flush()
                    threading.Event().wait(wait)
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what some tests are about."""


@contextmanager
def running(authority: Authority | None, folder: Path, *names: str) -> Generator[Upstream]:
    """A server; without an authority it speaks plain HTTP, and `names` are what its certificate is for."""
    upstream = Upstream(0, "https" if authority else "http")
    server = _Server((HOST, 0), _handler(upstream))
    if authority:
        server.socket = _context(authority, folder, names or (HOST,)).wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    upstream.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _context(authority: Authority, folder: Path, names: tuple[str, ...]) -> ssl.SSLContext:
    issued = authority.issue("upstream", *names)
    file = folder / f"{names[0]}.pem"
    file.write_bytes(issued.certificate + issued.key_in_clear())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def trusted(authority: Authority, folder: Path) -> Path:
    """A file with the authority's certificate."""
    file = folder / "authority.pem"
    file.write_bytes(authority.certificate)
    return file
