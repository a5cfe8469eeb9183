"""The commands put together, and the one place where their errors become lines."""

from __future__ import annotations

import sys
from typing import Any

import typer

from agentrun import __version__
from agentrun._core.run_directory import RunDirectoryError
from agentrun.cli import bench, chat, emulator, gateway, runtime, serve, tool, traces
from agentrun.cli.output import CommandError, show, tell
from agentrun.emulator.choices import ChoiceError
from agentrun.errors import AgentRunError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() and sys.stderr.isatty() else None,
    help="Agents, sandboxes and models, in the cloud or on this machine.",
)
app.add_typer(emulator.app, name="emulator")
app.command("doctor")(emulator.doctor)
app.command("gateway")(gateway.gateway)
app.command("serve")(serve.serve)
app.command("chat")(chat.chat)
app.add_typer(bench.app, name="bench")
app.add_typer(runtime.app, name="runtime")
app.add_typer(tool.app, name="tool")
app.add_typer(traces.app, name="traces")


@app.command()
def version() -> None:
    """Print the version."""
    show(f"agentrun {__version__}")


def run(*arguments: Any) -> int:
    """Run a command line, by default the process's own; returns the exit status when the command does not exit."""
    try:
        app(*arguments)
    except CommandError as error:
        if str(error):
            tell(str(error))
        return error.status
    except (AgentRunError, ChoiceError, RunDirectoryError) as error:
        tell(str(error))
        return 1
    return 0
