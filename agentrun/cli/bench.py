"""`agentrun bench`: what things cost on this machine, as one who uses them sees it."""

from __future__ import annotations

from typing import Annotated

import typer

from agentrun.cli.output import show, tell

app = typer.Typer(no_args_is_help=True, help="Measure what things cost on this machine.")


@app.callback()
def _group() -> None:
    """Keeps `sandbox` a command of its own."""


@app.command()
def sandbox(
    clients: Annotated[int, typer.Option(min=1, help="Clients that work at once.")] = 8,
    seconds: Annotated[float, typer.Option(min=1, help="How long they create, execute and delete.")] = 10.0,
    memory: Annotated[int, typer.Option(min=1, help="Idle sandboxes to weigh.")] = 100,
) -> None:
    """Measure sandboxes: the first answer, lives a minute, warm calls, pauses, forks, transfers, memory.

    An emulator of its own is started for it, so that nothing else is measured and nothing is left.
    """
    # The client, which no other command needs and which takes longer to load than they run.
    from agentrun.cli import measuring

    with measuring.fresh_emulator() as emulator:
        for what, measure in measuring.measurements(emulator, clients, seconds, memory):
            tell(f"measuring: {what} ...")
            show(f"{what:<42} {measure()}")
