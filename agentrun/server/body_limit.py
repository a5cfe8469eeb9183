"""Refuses requests that are longer than a server wants to hold in memory."""

from __future__ import annotations

from agentrun._serving.asgi import App, Message, Receive, Scope, Send
from agentrun._serving.openai_error import ApiError
from agentrun.server.streaming import error_answer


class BodyLimit:
    """An ASGI application that lets requests of at most so many bytes through to another."""

    def __init__(self, app: App, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most_bytes:
                raise self._too_long()
            return message

        if self._announced(scope) > self._most_bytes:
            await error_answer(self._too_long())(scope, receive, send)
        else:
            await self._app(scope, counted, send)

    def _announced(self, scope: Scope) -> int:
        found = dict(scope["headers"]).get(b"content-length", b"0")
        return int(found) if found.isdigit() else 0

    def _too_long(self) -> ApiError:
        message = f"The request is longer than {self._most_bytes} bytes, the max_body_bytes of this server"
        return ApiError(413, message, "request_too_large")
