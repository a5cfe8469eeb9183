"""An agent of the standard library alone: it speaks the OpenAI chat protocol and repeats what it was told.

Asked as the model `held` it waits after its first word until somebody asks the model `release`.
"""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

released = threading.Event()


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        words = asked["messages"][-1]["content"].split(" ")
        if asked["model"] == "release":
            released.set()
        if asked.get("stream"):
            self.stream(asked, words)
        else:
            text = json.dumps(answer(asked, "message", {"role": "assistant", "content": " ".join(words)}, "stop"))
            self.begin("application/json", ("content-length", str(len(text))))
            self.wfile.write(text.encode())

    def stream(self, asked: dict[str, Any], words: list[str]) -> None:
        self.begin("text/event-stream", ("transfer-encoding", "chunked"))
        for number, word in enumerate(words):
            if number and asked["model"] == "held" and not released.wait(5):
                raise TimeoutError("nobody asked for the release")
            self.event(json.dumps(answer(asked, "delta", {"content": f" {word}" if number else word}, None)))
        self.event(json.dumps(answer(asked, "delta", {}, "stop")))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def begin(self, kind: str, framing: tuple[str, str]) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("x-seen-signature", str("agentrun-authorization" in self.headers))
        self.send_header(*framing)
        self.end_headers()

    def event(self, data: str) -> None:
        frame = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(frame), frame))


def answer(asked: dict[str, Any], field: str, value: dict[str, str], reason: str | None) -> dict[str, Any]:
    kind = "chat.completion.chunk" if field == "delta" else "chat.completion"
    choice = {"index": 0, field: value, "finish_reason": reason}
    return {"id": "chatcmpl-echo", "object": kind, "created": 0, "model": asked["model"], "choices": [choice]}


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Echo).serve_forever()
