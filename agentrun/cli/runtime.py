"""`agentrun runtime ...`: agent runtimes, on the platform that the environment names or in a running emulator."""

from __future__ import annotations

from typing import Annotated

import typer

import agentrun
from agentrun.cli.options import PortOption
from agentrun.cli.running import use

app = typer.Typer(no_args_is_help=True, help="Agent runtimes.")


@app.callback()
def runtime() -> None:
    """Agent runtimes."""


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="The name of the agent runtime.")],
    endpoint: Annotated[str, typer.Option(help="The name of its endpoint.")] = "Default",
    count: Annotated[int, typer.Option("-n", min=1, help="How many of the last lines.")] = 100,
    port: PortOption = None,
) -> None:
    """Print what an agent wrote to stdout and stderr."""
    use(port)
    for line in agentrun.AgentRuntimeDataAPI(name, endpoint).logs(count):
        print(line)
