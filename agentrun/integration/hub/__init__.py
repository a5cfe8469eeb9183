"""Ready tools, to be searched and taken: `hub.search("time zones")`, `hub.get("time")`.

Importing it loads none of them.
"""

from __future__ import annotations

from agentrun.integration.hub._index import Entry, entries, get, names, search

__all__ = ["Entry", "entries", "get", "names", "search"]
