"""An agent as a server: every protocol on one port."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agentrun.errors import InvalidInputError
from agentrun.server.engine import Engine
from agentrun.server.handlers import InvokeAgentHandler
from agentrun.server.invoker import Around
from agentrun.server.model import ServerConfig
from agentrun.server.protocols.protocol import ProtocolHandler
from agentrun.server.serving import serve

if TYPE_CHECKING:
    from fastapi import FastAPI


class AgentRunServer:
    """Serves an agent: `AgentRunServer(invoke_agent).start()`.

    Without `protocols` there are all that `config` does not switch off; what is `around` each run sees all of it.
    Raises InvalidInputError for what is no agent.
    """

    def __init__(
        self,
        invoke_agent: InvokeAgentHandler,
        protocols: list[ProtocolHandler] | None = None,
        config: ServerConfig | None = None,
        memory_collection_name: str | None = None,
        *,
        around: Sequence[Around] = (),
    ) -> None:
        if memory_collection_name is not None:
            raise InvalidInputError(
                "Conversations cannot be kept in a memory collection yet",
                field="memory_collection_name",
                hint="Leave it out, and keep them in a service: around=[keep_conversations(service)]",
            )
        self.engine = Engine(invoke_agent, config or ServerConfig(), protocols, around)
        self._app: FastAPI | None = None

    def start(self, host: str | None = None, port: int = 9000, log_level: str = "info", **kwargs: Any) -> None:
        """Serve until a signal ends it; answers under way are finished before, for half a minute at most.

        Without a `host` it is that of the variable HOST, else this machine alone can reach the server: say "0.0.0.0"
        in a container. The other arguments are those of `uvicorn.run`.
        """
        serve(self.as_fastapi_app(), host, port, log_level=log_level, **kwargs)

    def as_fastapi_app(self) -> FastAPI:
        """The application, to be served or mounted under another, which then has to run its lifespan for a runner."""
        if self._app is None:
            self._app = self._build()
        return self._app

    def _build(self) -> FastAPI:
        # FastAPI takes longer to load than all the rest, and is needed only to serve.
        from fastapi import FastAPI

        app = FastAPI(title="AgentRun Server", lifespan=self._lifespan)
        vars(app)["engine"] = self.engine  # As an AgentApp has it, for whoever serves or deploys one of the two.
        self.engine.install(app)
        return app

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncGenerator[None, None]:
        async with self.engine.running():
            yield
