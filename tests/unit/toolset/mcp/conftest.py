"""Servers that tests share where they leave nothing behind, and servers of their own where they do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentrun.toolset.mcp import McpClient
from tests.unit.toolset.mcp.mcp_servers import McpServer, serving

KINDS = {"stateful": ("http",), "json": ("http", "json"), "stateless": ("http", "stateless"), "sse": ("sse",)}


@pytest.fixture(scope="session", params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpServer]:
    """A server of each kind."""
    with serving(tmp_path_factory.mktemp("mcp"), *KINDS[request.param]) as running:
        yield running


@pytest.fixture
def client(shared: McpServer) -> Iterator[McpClient]:
    with McpClient(shared.url, transport=shared.transport, timeout=60) as opened:
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[McpServer]:
    """A server of the test's own."""
    with serving(tmp_path) as running:
        yield running
