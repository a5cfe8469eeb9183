"""What every server of an agent is made of: the agent, the protocols in which it is asked, and what watches over it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from agentrun.server.authentication import Authentication
from agentrun.server.body_limit import BodyLimit
from agentrun.server.handlers import InvokeAgentHandler
from agentrun.server.health import Health
from agentrun.server.info import Info
from agentrun.server.invoker import AgentInvoker, Around
from agentrun.server.metrics import Metrics
from agentrun.server.model import ServerConfig
from agentrun.server.page import page_settings
from agentrun.server.page import routes as page_routes
from agentrun.server.protocols import every
from agentrun.server.protocols.protocol import ProtocolHandler
from agentrun.server.shutdown import Shutdown
from agentrun.server.sts_middleware import StsRefreshMiddleware
from agentrun.server.tracing.around import Tracing

if TYPE_CHECKING:
    from fastapi import FastAPI

_NAMELESS = ("<lambda>", "Runner")


class Engine:
    """Makes an application answer for an agent; without `protocols` in all that `config` does not switch off."""

    def __init__(
        self,
        invoke_agent: InvokeAgentHandler,
        config: ServerConfig,
        protocols: Sequence[ProtocolHandler] | None = None,
        around: Sequence[Around] = (),
    ) -> None:
        self.config = config
        self.metrics = Metrics()
        self.tracing = Tracing(_name_of(invoke_agent, config), config)
        self.invoker = AgentInvoker(invoke_agent, (self.tracing.around, self.metrics.around, *around))
        self.health = Health()
        self.shutdown = Shutdown(config.shutdown_token)
        # One that lacks its package has no path.
        found = every(config) if protocols is None else protocols
        self.protocols = [protocol for protocol in found if protocol.get_prefixes()]
        self.info = Info()
        self._has_page = False

    def add_page(self, app: FastAPI) -> None:
        """Add the page on which people talk to the agent, once."""
        if self._has_page:
            return
        self._has_page = True
        name, description = self.info.name or "Agent", self.info.description
        settings = page_settings(name, self.protocols, description, self.config.max_body_bytes, self.tracing.path)
        app.routes[:0] = page_routes(settings)  # Before what else answers at `/`.

    def install(self, app: FastAPI, info: Info | None = None) -> None:
        """Add the routes, and what stands before them."""
        from starlette.middleware.cors import CORSMiddleware

        self.info = info or self.info
        app.routes.extend(self.info.routes(self.protocols))
        for part in (self.health, self.metrics, self.tracing, self.shutdown):
            app.routes.extend(part.routes())
        if self.config.web_ui:
            self.add_page(app)
        for protocol in self.protocols:
            router = protocol.as_fastapi_router(self.invoker)
            for prefix in protocol.get_prefixes():
                app.include_router(router, prefix=prefix)
            app.routes.extend(protocol.root_routes())
        app.add_middleware(StsRefreshMiddleware)
        if self.config.api_keys:
            app.add_middleware(Authentication, keys=self.config.api_keys)
        app.add_middleware(BodyLimit, most_bytes=self.config.max_body_bytes)
        if self.config.cors_origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=self.config.cors_origins,
                # Cookies and keys of a page go only to origins that were named.
                allow_credentials="*" not in self.config.cors_origins,
                allow_methods=["*"],
                allow_headers=["*"],
            )

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """While this lasts the agent is there."""
        self.health.is_ready = False
        await self.tracing.start()
        await self.invoker.start()
        try:
            async with AsyncExitStack() as stack:
                for protocol in self.protocols:
                    await stack.enter_async_context(protocol.running())
                self.health.is_ready = True
                yield
        finally:
            self.health.is_ready = False
            await self.invoker.stop()
            await self.tracing.stop()


def _name_of(invoke_agent: InvokeAgentHandler, config: ServerConfig) -> str:
    """What the agent is called where nobody says: as in its card, or as its function or class."""
    if config.a2a and config.a2a.name:
        return config.a2a.name
    name = getattr(invoke_agent, "__name__", None) or type(invoke_agent).__name__
    return "agent" if name in _NAMELESS else name
