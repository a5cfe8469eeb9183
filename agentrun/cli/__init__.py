"""The command line: `agentrun`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; exits with the command's status."""
    try:
        from agentrun.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"agentrun: the command line needs {error.name}: pip install 'agentrun[emulator]'")
    sys.exit(run())
