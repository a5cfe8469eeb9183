"""A weather service over HTTP, with the OpenAPI document that describes it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CELSIUS = {
    "Hangzhou": 25.0, "Oslo": -5.0, "Cairo": 35.0, "Lima": 20.0, "Quito": 15.0,
    "Tokyo": 10.0, "Delhi": 40.0, "Bergen": 5.0, "Perth": 30.0, "Paris": 0.0,
}  # fmt: skip


def fahrenheit_squared(city: str) -> str:
    """What the agent has to find out about a city."""
    return f"Squared, that is {(CELSIUS[city] * 9 / 5 + 32) ** 2:g}."


def document(url: str) -> dict[str, Any]:
    """The OpenAPI document of the service at a URL."""
    city = {"name": "city", "in": "path", "required": True, "schema": {"type": "string"}, "description": "The city."}
    unit = {"name": "unit", "in": "query", "schema": {"type": "string", "enum": ["celsius"], "default": "celsius"}}
    alert = {
        "type": "object",
        "required": ["place", "level"],
        "properties": {
            "place": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
            "level": {"type": "string", "enum": ["info", "warning"], "default": "info"},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weather", "version": "1"},
        "servers": [{"url": url}],
        "paths": {
            "/weather/{city}": {
                "get": {
                    "operationId": "get_weather",
                    "summary": "Tell how warm it is in a city.",
                    "parameters": [city, unit],
                    "responses": {"200": {"description": "The weather."}, "404": {"description": "No such city."}},
                }
            },
            "/alerts": {
                "post": {
                    "operationId": "send_alert",
                    "summary": "Warn the people of a place.",
                    "requestBody": {"required": True, "content": {"application/json": {"schema": alert}}},
                    "responses": {"200": {"description": "It was sent."}},
                }
            },
        },
    }


class Weather(BaseHTTPRequestHandler):
    """Answers what the document promises."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        city = unquote(url.path.rpartition("/")[2])
        if city not in CELSIUS:
            self._answer(404, {"message": f"there is no city {city}"})
            return
        unit = parse_qs(url.query).get("unit", ["celsius"])[0]
        key = self.headers.get("x-key")  # Of callers who have one.
        self._answer(200, {"city": city, unit: CELSIUS[city], **({"key": key} if key else {})})

    def do_POST(self) -> None:
        self._answer(200, json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests say what matters."""


@contextmanager
def weather_service() -> Iterator[str]:
    """The service on a free port of this machine, as its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Weather) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
