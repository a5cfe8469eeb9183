"""A server elsewhere: tells what reached it, whatever it is asked."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen: dict[str, Any] = {"method": self.command, "path": self.path, "headers": headers, "body": body.decode()}
        if self.path.startswith("/events"):
            self.events(self.path.partition("?to=")[2])
        else:
            self.reply("application/json", json.dumps(seen).encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

    def events(self, reference: str) -> None:
        self.reply("text/event-stream", f": hello\r\n\r\nevent: endpoint\r\ndata: {reference}\r\n\r\n".encode())

    def reply(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def echoing() -> Generator[str, None, None]:
    """The server's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
