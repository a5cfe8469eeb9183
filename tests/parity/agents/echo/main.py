"""An agent of the standard library alone: it speaks the OpenAI chat protocol and repeats what it was told."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        words = asked["messages"][-1]["content"].split(" ")
        if asked.get("stream"):
            deltas = [{"content": word if word is words[0] else f" {word}"} for word in words]
            frames = [chunk(asked, "delta", delta, None) for delta in deltas] + [chunk(asked, "delta", {}, "stop")]
            text = "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames) + "data: [DONE]\n\n"
            self.answer("text/event-stream", text)
        else:
            message = {"role": "assistant", "content": " ".join(words)}
            self.answer("application/json", json.dumps(chunk(asked, "message", message, "stop")))

    def answer(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("x-seen-signature", str("agentrun-authorization" in self.headers))
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


def chunk(asked: dict[str, Any], field: str, value: dict[str, str], reason: str | None) -> dict[str, Any]:
    kind = "chat.completion.chunk" if field == "delta" else "chat.completion"
    choice = {"index": 0, field: value, "finish_reason": reason}
    return {"id": "chatcmpl-echo", "object": kind, "created": 0, "model": asked["model"], "choices": [choice]}


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Echo).serve_forever()
