"""Between an agent and its model: everything goes through as it is, and what the model was asked is kept."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import Request, urlopen

from agentrun import ModelProxy, ModelService, ProviderSettings
from agentrun.integration._tool import Tool


class Relay(BaseHTTPRequestHandler):
    """Passes a question on to the scripted model."""

    protocol_version = "HTTP/1.1"
    asked: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.asked.append(json.loads(body))
        url = os.environ["OPENAI_BASE_URL"] + self.path
        headers = {"content-type": "application/json", "authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
        with urlopen(Request(url, body, headers)) as answer:
            content = answer.read()
            self.send_response(answer.status)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests say what matters."""


@contextmanager
def recorded_model(name: str = "recorded-model") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A model service over the scripted model: its name, and the bodies of the requests that reached it, in order."""
    asked: list[dict[str, Any]] = []
    handler = type("Recording", (Relay,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = ProviderSettings(
            base_url=f"http://127.0.0.1:{server.server_port}",
            api_key=os.environ["OPENAI_API_KEY"],
            model_names=[os.environ.get("OPENAI_MODEL", "scripted")],
        )
        service = ModelService.create(
            model_service_name=name, model_type="llm", provider="openai", provider_settings=settings
        )
        try:
            yield name, asked
        finally:
            service.delete()
            server.shutdown()


@contextmanager
def signed_model(service: str, name: str = "signed-model") -> Iterator[str]:
    """A model proxy over a model service, by its name: nobody has a key for it, so requests must be signed."""
    endpoint = {"model_names": [os.environ.get("OPENAI_MODEL", "scripted")], "model_service_name": service}
    proxy = ModelProxy.create(model_proxy_name=name, model_type="llm", proxy_config={"endpoints": [endpoint]})
    try:
        yield name
    finally:
        proxy.delete()


# A schema with everything that adapters have been seen to lose.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "place": {"$ref": "#/$defs/Place"},
        "level": {"type": "string", "enum": ["info", "warning"], "default": "info", "description": "How bad it is."},
        "notes": {"type": "array", "items": {"type": "object", "properties": {"text": {"type": "string"}}}},
        "count": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None},
    },
    "required": ["place"],
    "additionalProperties": False,
    "$defs": {
        "Place": {
            "type": "object",
            "properties": {"city": {"type": "string", "pattern": "^[A-Z]"}, "kind": {"const": "town"}},
            "required": ["city"],
        }
    },
}


async def _warn(arguments: dict[str, Any]) -> Any:
    return {"sent": arguments}


def schema_tool() -> Tool:
    """A tool with that schema, which says what it was called with."""
    return Tool("send_alert", "Warn the people of a place.", SCHEMA, perform=_warn)
