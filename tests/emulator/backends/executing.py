"""How tests have code executed in a sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx

Entry = dict[str, Any]


async def results(client: httpx.AsyncClient, code: str, **fields: Any) -> list[Entry]:
    """All entries of the answer."""
    response = await client.post("/contexts/execute", json={"code": code, **fields})
    assert response.status_code == 200, response.text
    found: list[Entry] = response.json()["results"]
    return found


async def execute(client: httpx.AsyncClient, code: str, **fields: Any) -> dict[str, Entry]:
    """The entries of the answer by their type."""
    return {entry["type"]: entry for entry in await results(client, code, **fields)}


async def value(client: httpx.AsyncClient, code: str, **fields: Any) -> str:
    """The text of the result."""
    answer = await execute(client, code, **fields)
    assert "result" in answer, answer
    text: str = answer["result"]["text"]
    return text


async def stream(client: httpx.AsyncClient, code: str, **fields: Any) -> AsyncGenerator[Entry]:
    """The entries as they come."""
    async with client.stream("POST", "/contexts/execute", json={"code": code, "stream": True, **fields}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line:
                yield json.loads(line.removeprefix("data: "))


async def new_context(client: httpx.AsyncClient, language: str = "python", **fields: Any) -> str:
    response = await client.post("/contexts", json={"language": language, **fields})
    assert response.status_code == 200, response.text
    context_id: str = response.json()["id"]
    return context_id


async def post(client: httpx.AsyncClient, route: str, /, **fields: Any) -> Any:
    """The JSON of an answer that has to be a good one."""
    response = await client.post(route, json=fields)
    assert response.status_code == 200, response.text
    return response.json()
