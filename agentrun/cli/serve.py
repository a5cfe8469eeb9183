"""`agentrun serve`: an agent in a file becomes a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from agentrun.cli.output import CommandError, show

if TYPE_CHECKING:
    from agentrun.server.engine import Engine

DEFAULT_PORT = 8080
_SOURCE = "The file of the agent, as in agent.py or agent.py:app; a module will do as well."


def serve(
    source: Annotated[str, typer.Argument(help=_SOURCE, show_default=False)],
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = DEFAULT_PORT,
    web_ui: Annotated[bool, typer.Option("--web-ui", help="Serve a page to talk to the agent at /chat.")] = False,
    log_level: Annotated[str, typer.Option(help="How much uvicorn tells: debug, info, warning, error.")] = "info",
) -> None:
    """Serve an agent in every protocol: an AgentApp, an AgentRunServer, a function or a Runner.

    Ctrl-C ends it when the answers under way are finished, after half a minute at the latest.
    """
    try:
        from agentrun.deploy.source import application_of, load  # Only who serves an agent needs its server.
        from agentrun.server.serving import serve as serve_application
    except ModuleNotFoundError as error:
        raise CommandError(f"the server needs {error.name}: pip install 'agentrun[server]'") from error
    app = application_of(load(source))
    engine = cast("Engine | None", getattr(app, "engine", None))
    if web_ui and engine is not None:
        engine.add_page(app)
    _tell(f"http://{host}:{port}", engine, web_ui=web_ui)
    serve_application(cast("Any", app), host, port, log_level=log_level)


def _tell(url: str, engine: Engine | None, *, web_ui: bool) -> None:
    show(f"The agent answers at {url}", "bold")
    for protocol in engine.protocols if engine else ():
        show(f"  {protocol.name:<24}{', '.join(url + prefix for prefix in protocol.get_prefixes())}")
    if web_ui:
        show(f"  {'page':<24}{url}/chat")
