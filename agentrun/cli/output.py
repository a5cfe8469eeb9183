"""What the command line prints: colours and tables for a person at a terminal, plain lines for everything else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


class CommandError(Exception):
    """Ends a command with one line on stderr that says what to do, and an exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def at_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout.isatty()


def show(text: str, style: str = "") -> None:
    """Print a line to stdout, in a rich style when a person reads it."""
    if at_terminal():
        Console(soft_wrap=True, highlight=False).print(Text(text, style))
    else:
        print(text, flush=True)


def tell(text: str) -> None:
    """Print a line to stderr."""
    print(f"agentrun: {text}", file=sys.stderr, flush=True)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to stdout; without a terminal, columns are separated by tabs."""
    if not at_terminal():
        for row in (columns, *rows):
            print("\t".join(row))
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
