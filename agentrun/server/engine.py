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
from agentrun.server.model import ServerConfig
from agentrun.server.protocols import every
from agentrun.server.protocols.protocol import ProtocolHandler
from agentrun.server.shutdown import Shutdown
from agentrun.server.sts_middleware import StsRefreshMiddleware

if TYPE_CHECKING:
    from fastapi import FastAPI


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
        self.invoker = AgentInvoker(invoke_agent, around)
        self.health = Health()
        self.shutdown = Shutdown(config.shutdown_token)
        self.protocols = every(config) if protocols is None else protocols

    def add_page(self, app: FastAPI) -> None:
        """Add the page on which people talk to the agent."""

    def install(self, app: FastAPI, info: Info | None = None) -> None:
        """Add the routes, and what stands before them."""
        from starlette.middleware.cors import CORSMiddleware

        app.routes.extend([*(info or Info()).routes(self.protocols), *self.health.routes(), *self.shutdown.routes()])
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
