"""What the page is told about the agent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from agentrun.server.protocols.protocol import ProtocolHandler

# What the page calls a protocol, by the name of its handler, and what stands behind its prefix. The first that there
# is, is used until somebody chooses.
_NAMES = {
    "agent_api": "agent_api",
    "ag-ui": "ag_ui",
    "openai_chat_completions": "chat",
    "openai_responses": "responses",
}
_MOST_UPLOAD_BYTES = 16 * 2**20
# Files travel as Base64, with a conversation around them.
_SHARE_OF_BODY = 0.7


class PageProtocol(NamedTuple):
    """A protocol that an agent speaks; `path` is where, seen from the root of the server."""

    name: str
    path: str


class PageSettings(NamedTuple):
    """The agent's name and description, its protocols, and how many bytes of files a message may have.

    `traces` is where the traces of its runs may be, seen from the root of the server; None where there are none.
    """

    name: str
    protocols: list[PageProtocol]
    description: str = ""
    most_upload_bytes: int = _MOST_UPLOAD_BYTES
    traces: str | None = None


def page_settings(
    name: str,
    protocols: Iterable[ProtocolHandler],
    description: str = "",
    max_body_bytes: int | None = None,
    traces: str | None = None,
) -> PageSettings:
    """The settings for an agent that is served in these protocols; those that the page does not speak are left out."""
    paths = {protocol.name: protocol.get_prefixes()[0] for protocol in protocols}
    spoken = [PageProtocol(_NAMES[each], paths[each]) for each in _NAMES if each in paths]
    limit = _MOST_UPLOAD_BYTES if max_body_bytes is None else int(max_body_bytes * _SHARE_OF_BODY)
    return PageSettings(name, spoken, description, min(limit, _MOST_UPLOAD_BYTES), traces)
