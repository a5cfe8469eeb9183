"""Lets an agent call the platform with the access keys that the platform lends to each of its requests."""

from __future__ import annotations

import os

from starlette.datastructures import Headers

from agentrun._core.credentials import use_sts_from_headers
from agentrun._serving.asgi import App, Receive, Scope, Send

# Set in every instance of the platform, whose gateway alone can reach it there.
_OF_THE_PLATFORM = "FC_FUNCTION_NAME"


class StsRefreshMiddleware:
    """An ASGI application around another, for whose requests the keys in their headers count.

    Anyone can send such headers, so they count only on the platform, or where `enabled` says that a gateway is before
    the server that takes away those of others.
    """

    def __init__(
        self,
        app: App,
        *,
        enabled: bool | None = None,
        access_key_id_header: str | None = None,
        access_key_secret_header: str | None = None,
        security_token_header: str | None = None,
    ) -> None:
        self._app = app
        self._enabled = _OF_THE_PLATFORM in os.environ if enabled is None else enabled
        self._names = {
            "access_key_id_header": access_key_id_header,
            "access_key_secret_header": access_key_secret_header,
            "security_token_header": security_token_header,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if not self._enabled or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with use_sts_from_headers(Headers(scope=scope), **self._names):
            await self._app(scope, receive, send)
