"""Spans of requests to models that other libraries send over our connections; texts of messages are not in them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from agentrun._core.tracing import MODEL_OPERATIONS, Span, begin, current_scope
from agentrun._core.values import is_object

# Answers of models, whole or streamed, say last what they have used.
_TAIL = 4096
_USED = re.compile(rb'"(prompt|input|completion|output)_tokens"\s*:\s*(\d+)')
_NOTHING = Span()


def model_span(request: httpx.Request) -> Span:
    """The span of a request, to be ended by `watched`; nothing for one that is no question to a model."""
    if current_scope() is None or request.method != "POST":
        return _NOTHING
    operation = next((word for path, word in MODEL_OPERATIONS.items() if request.url.path.endswith(f"/{path}")), None)
    if operation is None:
        return _NOTHING
    asked = _asked(request)
    model = asked.get("model")
    attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": model,
        "gen_ai.request.stream": True if asked.get("stream") else None,
        "server.address": request.url.host,
        "server.port": request.url.port,
    }
    span = begin(f"{operation} {model}" if model else operation, attributes, "CLIENT")
    request.headers.update(span.headers)
    return span


def _asked(request: httpx.Request) -> dict[str, Any]:
    try:
        found = json.loads(request.content)
    except (httpx.RequestNotRead, ValueError):
        return {}
    return found if is_object(found) else {}


def watched(response: httpx.Response, span: Span) -> httpx.Response:
    """The answer, whose end is that of the span."""
    if span.is_recording:
        if response.status_code >= 400:
            span.fail(str(response.status_code))
        response.stream = _Body(response.stream, span)
    return response


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, body: Any, span: Span) -> None:
        self._body = body
        self._span = span
        self._tail = b""

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            self._tail = (self._tail + piece)[-_TAIL:]
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            self._tail = (self._tail + piece)[-_TAIL:]
            yield piece

    def close(self) -> None:
        self._end()
        self._body.close()

    async def aclose(self) -> None:
        self._end()
        await self._body.aclose()

    def _end(self) -> None:
        for match in _USED.finditer(self._tail):
            kind = "input" if match[1] in (b"prompt", b"input") else "output"
            self._span.set({f"gen_ai.usage.{kind}_tokens": int(match[2])})
        self._span.end()
