"""The published documents of tests/data/openapi, and the little ones that tests write themselves."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentrun.toolset.openapi import Document, OpenAPI
from tests.unit.servers import Received, answer, serving

FOLDER = Path(__file__).parents[2] / "data" / "openapi"
PUBLISHED = sorted(path.name.removesuffix(".xz") for path in FOLDER.glob("*.xz"))
LARGE = ("api.github.com.json", "stripe.com.json", "kubernetes.io.json")


@lru_cache(maxsize=4)
def text_of(name: str) -> str:
    return lzma.decompress((FOLDER / f"{name}.xz").read_bytes()).decode()


@lru_cache(maxsize=4)
def document_of(name: str) -> Document:
    return Document.read(text_of(name))


def minimal(
    operation: Mapping[str, Any] | None = None,
    *,
    path: str = "/things",
    method: str = "get",
    version: str = "3.1.0",
    **fields: Any,
) -> dict[str, Any]:
    """A document with one operation, `call`."""
    found = {"operationId": "call", "responses": {"200": {"description": "well"}}, **(operation or {})}
    return {
        "openapi": version,
        "info": {"title": "Things", "version": "1"},
        "servers": [{"url": "http://127.0.0.1:1"}],
        "paths": {path: {method: found}},
        **fields,
    }


def sent(document: Mapping[str, Any], arguments: Mapping[str, Any], **options: Any) -> Received:
    """The request that a call of `call` sends, as a server receives it."""
    with serving(answer(b"")) as server:
        OpenAPI(document, server.url, **options).invoke_tool("call", arguments)
        return server.requests[0]


def schema_of(document: Mapping[str, Any], name: str = "call") -> dict[str, Any]:
    """The schema of a tool's arguments, as JSON brings it."""
    found: dict[str, Any] = json.loads(json.dumps(OpenAPI(document).operation(name).definition.parameters))
    return found
