"""Lets in only who shows a key, where a server has any."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from pydantic import SecretStr
from starlette.datastructures import Headers

from agentrun._serving.asgi import App, Receive, Scope, Send
from agentrun._serving.openai_error import ApiError
from agentrun.server.streaming import error_answer

# Balancers, those who look for an agent, and people who have yet to type a key into the page, show none.
_PUBLIC = ("/health", "/liveness", "/readiness", "/.well-known/", "/chat")
_MESSAGE = "This server asks for a key: send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`"


class Authentication:
    """An ASGI application around another, whose requests carry one of the keys."""

    def __init__(self, app: App, keys: Sequence[SecretStr]) -> None:
        self._app = app
        self._keys = [key.get_secret_value().encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or answer 401."""
        if scope["type"] not in ("http", "websocket") or _is_public(scope["path"]) or self._knows(Headers(scope=scope)):
            await self._app(scope, receive, send)
        else:
            error = ApiError(401, _MESSAGE, "invalid_api_key", headers={"www-authenticate": "Bearer"})
            await error_answer(error)(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        shown = shown_key(headers).encode()
        return any(hmac.compare_digest(shown, key) for key in self._keys)


def shown_key(headers: Headers) -> str:
    """The key that a request shows, empty where it shows none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _is_public(path: str) -> bool:
    return any(path == known or path.startswith(f"{known.rstrip('/')}/") for known in _PUBLIC)
