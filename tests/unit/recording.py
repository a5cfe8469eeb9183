"""A platform in a few lines: it remembers every request, and answers what a test tells it to."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from agentrun import Config
from agentrun._core.paging import LazyList

Do: TypeAlias = Callable[..., Any]


def is_lazy(value: Any) -> TypeGuard[LazyList[Any]]:
    return isinstance(value, LazyList)


def blocking(owner: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method in blocking mode; a list is read to its end."""
    result = getattr(owner, name)(*args, **kwargs)
    return list(result) if is_lazy(result) else result


def waiting(owner: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """Call its twin on an event loop; a list is read to its end."""

    async def run() -> Any:
        twin = f"a{name}" if hasattr(owner, f"a{name}") else f"{name}_async"
        result = getattr(owner, twin)(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    return asyncio.run(run())


in_both_modes = pytest.mark.parametrize("do", [blocking, waiting], ids=["blocking", "waiting"])


@dataclass(frozen=True)
class Sent:
    """A request as the platform got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: httpx.Headers
    content: bytes

    @property
    def body(self) -> Any:
        """The JSON body, None when there is none."""
        return json.loads(self.content) if self.content else None


Answer = Callable[[Sent], httpx.Response]


def enveloped(data: Any) -> httpx.Response:
    """The platform's answer when all went well."""
    return httpx.Response(200, json={"code": "SUCCESS", "requestId": "R-1", "data": data})


def refused(status: int, message: str, code: str = "ERR") -> httpx.Response:
    """The platform's answer when something went wrong."""
    return httpx.Response(status, json={"code": code, "requestId": "R-2", "message": message})


class Platform(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Records requests of both modes and answers them by a function."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[Sent] = []
        self.watch: Callable[[httpx.Request], None] = lambda _: None
        self.answer = answer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._handle(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._handle(request, await request.aread())

    def _handle(self, request: httpx.Request, content: bytes) -> httpx.Response:
        self.watch(request)
        url = urlsplit(str(request.url))
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.requests.append(Sent(request.method, url.path, query, request.headers, content))
        return self.answer(self.requests[-1])

    @property
    def calls(self) -> list[str]:
        """The requests so far, as `GET /path`."""
        return [f"{sent.method} {sent.path}" for sent in self.requests]

    def config(self) -> Config:
        """The settings that lead here."""
        return Config(
            access_key_id="AKID",
            access_key_secret="SECRET",
            account_id="1234567890",
            control_endpoint="http://control.test",
            data_endpoint="http://data.test",
            transport=self,
        )


def by_path(answers: dict[str, Callable[[], httpx.Response]]) -> Answer:
    """Answers by `GET /path`; whatever is not in the table does not exist."""

    def answer(sent: Sent) -> httpx.Response:
        found = answers.get(f"{sent.method} {sent.path}")
        return found() if found else refused(404, f"{sent.path} does not exist")

    return answer
