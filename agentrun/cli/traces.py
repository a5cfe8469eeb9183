"""`agentrun traces`: what the agents that are served on this machine did."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from agentrun.cli.output import CommandError, show, show_table
from agentrun.server.tracing.place import TRACES, trace_file, usual_file
from agentrun.server.tracing.record import SpanRecord
from agentrun.server.tracing.store import TraceStore, UnknownTraceError

_POLL_SECONDS = 0.25
_COLUMNS = ("id", "time", "agent", "duration", "tokens", "outcome")
_STYLES = {"completed": "", "failed": "red", "cancelled": "yellow"}

FileOption = Annotated[
    Optional[Path],  # noqa: UP045  # typer before 0.13 does not read `Path | None`
    typer.Option("--file", help=f"The file in which traces are kept; else that of {TRACES}, or the usual one."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(help="What the agents that are served on this machine did.")


@app.callback(invoke_without_command=True)
def traces(
    context: typer.Context,
    file: FileOption = None,
    count: Annotated[int, typer.Option("-n", min=0, help="How many of the last runs.")] = 20,
    session: Annotated[
        Optional[str],  # noqa: UP045  # as above
        typer.Option(help="Only the runs of this session."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on each line.")] = False,
) -> None:
    """List the last runs; `agentrun traces show ID` tells what happened in one."""
    if context.invoked_subcommand is not None:
        return
    store = _store(file)
    runs = store.runs(count, session_id=session)[::-1]
    _show_runs(runs, as_json=as_json)
    if not runs and not follow and not as_json:
        show(f"No traces in {store.file}; servers that are started with {TRACES}=1 keep them")
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            for further in _further(store, session, runs[-1].number if runs else 0):
                _show_further(further, as_json=as_json)


@app.command("show")
def show_trace(
    id: Annotated[str, typer.Argument(help="The id of a run or of a trace, or how it begins.")],
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw what happened in a run, as a tree with durations."""
    try:
        spans = _store(file).find(id)
    except UnknownTraceError as error:
        raise CommandError(f"{error}: see `agentrun traces`") from error
    if as_json:
        print(json.dumps([span.to_json() for span in spans], indent=2))
        return
    console = Console(soft_wrap=True, highlight=False)
    for tree in _trees(spans):
        console.print(tree)


def _store(file: Path | None) -> TraceStore:
    return TraceStore(file or trace_file(None) or usual_file())


def _show_runs(runs: Sequence[SpanRecord], *, as_json: bool) -> None:
    if as_json:
        _show_further(runs, as_json=True)
    elif runs:
        show_table(_COLUMNS, map(_cells, runs))


def _further(store: TraceStore, session: str | None, after: int) -> Iterator[list[SpanRecord]]:
    """The runs that end from now on."""
    while True:
        runs = store.runs(1000, after=after, session_id=session)[::-1]
        yield runs
        after = runs[-1].number if runs else after
        time.sleep(_POLL_SECONDS)


def _show_further(runs: Sequence[SpanRecord], *, as_json: bool) -> None:
    for run in runs:
        if as_json:
            print(json.dumps(run.run_to_json()), flush=True)
        else:
            show("  ".join(_cells(run)), _STYLES[run.outcome])


def _cells(run: SpanRecord) -> tuple[str, ...]:
    moment = datetime.fromtimestamp(run.started / 1e9).strftime("%Y-%m-%d %H:%M:%S")
    tokens = "/".join(map(str, run.tokens)) if any(run.tokens) else "-"
    outcome = f"{run.outcome} ({run.error})" if run.error else run.outcome
    return run.span_id, moment, run.agent or "-", _duration(run.milliseconds), tokens, outcome


def _duration(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.1f} ms"


def _trees(spans: Sequence[SpanRecord]) -> Iterator[Tree]:
    """A tree for each span that is below no other of these; they are in the order in which they began."""
    nodes = {span.span_id: Tree(_line(span, spans[0].started)) for span in spans}
    for span in spans:
        above = nodes.get(span.parent_id or "")
        if above is not None:
            above.children.append(nodes[span.span_id])
    for span in spans:
        if span.parent_id not in nodes:
            yield nodes[span.span_id]


def _line(span: SpanRecord, first: int) -> Text:
    """A span for a person: its name, how long it took, when it began, tokens, and what went wrong."""
    line = Text(span.name, "bold red" if span.status == "error" else "bold")
    line.append(f"  {_duration(span.milliseconds)}", "cyan")
    if span.started > first:
        line.append(f"  +{_duration((span.started - first) / 1e6)}", "dim")
    if any(span.tokens):
        line.append(f"  {span.tokens[0]}/{span.tokens[1]} tokens", "green")
    if span.is_run and span.outcome != "completed" and not span.error:
        line.append(f"  {span.outcome}", "yellow")
    if span.error:
        line.append(f"  {': '.join(filter(None, (span.error, span.message)))}", "red")
    return line
