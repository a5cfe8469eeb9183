"""The scripted model behind Anthropic's messages protocol; what is not in the protocol is refused."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import Request, urlopen

from agentrun import ModelService, ProviderSettings

KEY = "a-key-of-anthropics"


def blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The content of a message, as blocks."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def problem(body: dict[str, Any], headers: Any) -> str | None:
    """What is wrong with a request, as the real service sees it."""
    # Versions of the package before 2 sent the key in a header of its own.
    key = headers["x-api-key"] or (headers["authorization"] or "").removeprefix("Bearer ")
    if key != KEY or not headers["anthropic-version"]:
        return "authentication"
    if not isinstance(body.get("max_tokens"), int):
        return "max_tokens: field required"
    for tool in body.get("tools", ()):
        if set(tool) != {"name", "description", "input_schema"} or tool["input_schema"]["type"] != "object":
            return f"tools: {sorted(tool)}"
    wanted: list[str] = []
    for message, role in zip(body["messages"], ["user", "assistant"] * len(body["messages"]), strict=False):
        given = [block["tool_use_id"] for block in blocks(message) if block["type"] == "tool_result"]
        if message["role"] != role or given != wanted:
            return f"messages: {role} with results for {wanted}, not {message['role']} with {given}"
        wanted = [block["id"] for block in blocks(message) if block["type"] == "tool_use"]
    return None


def as_chat(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A message in the words of the chat API."""
    found, text = blocks(message), "".join(block.get("text", "") for block in blocks(message))
    results = [block for block in found if block["type"] == "tool_result"]
    if results:
        return [
            {"role": "tool", "tool_call_id": each["tool_use_id"], "content": each["content"][0]["text"]}
            for each in results
        ]
    calls = [
        {
            "id": each["id"],
            "type": "function",
            "function": {"name": each["name"], "arguments": json.dumps(each["input"])},
        }
        for each in found
        if each["type"] == "tool_use"
    ]
    return [{"role": message["role"], "content": text, **({"tool_calls": calls} if calls else {})}]


def asked(body: dict[str, Any]) -> dict[str, Any]:
    """What the scripted model says, as one of Anthropic's messages."""
    tools = [
        {"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}}
        for tool in body.get("tools", ())
    ]
    messages = [told for message in body["messages"] for told in as_chat(message)]
    question = {"model": body["model"], "messages": messages, "tools": tools or None}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    headers = {"content-type": "application/json", "authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    with urlopen(Request(url, json.dumps(question).encode(), headers)) as answer:
        said = json.loads(answer.read())["choices"][0]["message"]
    content: list[dict[str, Any]] = [{"type": "text", "text": said["content"]}] if said.get("content") else []
    for call in said.get("tool_calls") or ():
        function = call["function"]
        arguments = json.loads(function["arguments"])
        content.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments})
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": "tool_use" if said.get("tool_calls") else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


class Messages(BaseHTTPRequestHandler):
    """Answers `POST /v1/messages`, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    kept: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        wrong = problem(body, self.headers) if self.path == "/v1/messages" else f"there is no {self.path}"
        self.kept.append(body)
        answer = (
            {"type": "error", "error": {"type": "invalid_request_error", "message": wrong}} if wrong else asked(body)
        )
        content = json.dumps(answer).encode()
        self.send_response(400 if wrong else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests say what matters."""


@contextmanager
def claude(name: str = "demo-claude") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A model service that speaks the protocol: its name, and the bodies of the requests that reached it, in order."""
    kept: list[dict[str, Any]] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Keeping", (Messages,), {"kept": kept})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = ProviderSettings(
            base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key=KEY, model_names=["scripted"]
        )
        service = ModelService.create(
            model_service_name=name, model_type="llm", provider="anthropic", provider_settings=settings
        )
        try:
            yield name, kept
        finally:
            service.delete()
            server.shutdown()
