"""A page to talk to an agent, served beside it: `routes` are added to any application.

It comes with the package as it is, and asks nobody else: neither when it is built nor when somebody looks at it.
"""

from __future__ import annotations

from agentrun.server.page.routes import routes
from agentrun.server.page.settings import PageProtocol, PageSettings, page_settings

__all__ = ["PageProtocol", "PageSettings", "page_settings", "routes"]
