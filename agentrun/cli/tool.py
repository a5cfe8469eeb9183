"""`agentrun tool ...`: tools, on the platform that the environment names or in a running emulator."""

from __future__ import annotations

from typing import Annotated

import typer

from agentrun.cli.options import PortOption
from agentrun.cli.running import use

app = typer.Typer(no_args_is_help=True, help="Tools.")


@app.callback()
def tool() -> None:
    """Tools."""


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="The name of the tool.")],
    count: Annotated[int, typer.Option("-n", min=1, help="How many of the last lines.")] = 100,
    port: PortOption = None,
) -> None:
    """Print what the server of a tool wrote to stderr, and to stdout where that is not its protocol."""
    from agentrun.tool import Tool  # slow to import, and other commands need to start quickly

    use(port)
    for line in Tool.get_by_name(name).logs(count):
        print(line)
