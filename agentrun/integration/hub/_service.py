"""A service that speaks JSON over HTTP, as the tools of the hub call one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode

from agentrun._core.api import USER_AGENT, error_of, parsed, query_pairs
from agentrun._core.credentials import Secret
from agentrun._core.session import Reply, Request, Session, Timeouts, session_for
from agentrun.errors import InvalidResponseError

RETRIES = 2


class Service:
    """Where a service is, and the headers of every call, which are never shown."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = 60.0,
        session: Session | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self._headers = {name.lower(): Secret(value) for name, value in (headers or {}).items()}
        self._session = session or session_for(None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """The object of the answer; raises the error that it means, and InvalidResponseError when it is no object."""
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        reply = await self.send(method, path, query, content, headers, timeout)
        answer = parsed(reply.content)
        if not isinstance(answer, dict):
            raise InvalidResponseError(f"the answer of {self.base_url} is no JSON object: {reply.content[:200]!r}")
        return cast("dict[str, Any]", answer)

    async def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Reply:
        """The whole answer; raises the error that it means when it is one."""
        pairs = query_pairs(query)
        url = f"{self.base_url}{path}" + (f"?{urlencode(pairs, quote_via=quote)}" if pairs else "")
        kind = {"content-type": "application/json"} if content is not None else {}
        given = {"user-agent": USER_AGENT, "accept": "application/json", **kind, **self._headers, **(headers or {})}
        seconds = timeout or self.timeout
        request = Request(method, url, given, content, Timeouts(seconds, min(seconds, 10.0), seconds), RETRIES)
        reply = await self._session.send(request)
        if reply.status >= 400:
            raise error_of(reply.status, reply.headers, reply.content)
        return reply
