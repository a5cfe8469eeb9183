"""The least that a relay of a model can be, with the libraries that most would take: Starlette and httpx."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

UPSTREAM = os.environ.get("UPSTREAM", "")


@asynccontextmanager
async def client_of(app: Starlette) -> AsyncGenerator[None]:
    """One client for all requests."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=None, limits=limits) as client:  # a relay has no opinion
        app.state.client = client
        yield


async def relay(request: Request) -> StreamingResponse:
    """Pass a request on, and its answer back."""
    client: httpx.AsyncClient = request.app.state.client
    headers = {"content-type": "application/json", "authorization": "Bearer sk"}
    asked = client.build_request("POST", UPSTREAM + request.url.path, content=await request.body(), headers=headers)
    answer = await client.send(asked, stream=True)
    kept = {name: value for name, value in answer.headers.items() if name in ("content-type", "content-length")}
    return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))


app = Starlette(routes=[Route("/v1/chat/completions", relay, methods=["POST"])], lifespan=client_of)
