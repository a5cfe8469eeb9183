"""`agentrun emulator ...`: start, stop, use and look at the local emulator."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Optional

import typer

from agentrun._core import local
from agentrun.cli import images, journal, processes, recording
from agentrun.cli.doctor import examine
from agentrun.cli.execute import execute, until_stopped
from agentrun.cli.options import PortOption, with_choices
from agentrun.cli.output import CommandError, show, show_table
from agentrun.cli.running import ask, find
from agentrun.cli.variables import Shell, render
from agentrun.emulator import records
from agentrun.emulator.choices import Choices
from agentrun.emulator.records import RunningEmulator

_COLUMNS = ("url", "pid", "since", "backend", "sandboxes", "agents", "state")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

app = typer.Typer(no_args_is_help=True, help="The platform on this machine.")
app.add_typer(images.app, name="images")


@app.command()
@with_choices
def up(
    choices: Choices,
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = local.PORT,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once it answers and leave it running.")
    ] = False,
) -> None:
    """Start an emulator; Ctrl-C stops it, and what runs in it."""
    processes.check_free(port)
    chosen = replace(choices, port=port)
    if detach:
        _introduce(processes.start_in_background(chosen), chosen, "agentrun emulator down")
        return
    with processes.own_emulator(chosen) as started, until_stopped(started.process):
        _introduce(started.record, chosen, "Ctrl-C")
    if started.process.returncode != 0:
        raise CommandError(f"the emulator ended with status {started.process.returncode}")


@app.command()
def down(port: PortOption = None) -> None:
    """Stop a running emulator."""
    emulator = find(port)
    show(f"{emulator.url} (pid {emulator.pid}) {processes.stop(emulator)}")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the emulators that run; the exit status is 1 when there is none."""
    found = [_described(emulator) for emulator in records.running()]
    if as_json:
        print(json.dumps(found, indent=2))
    elif found:
        show_table(_COLUMNS, [[str(emulator[column]) for column in _COLUMNS] for emulator in found])
    if not found:
        raise CommandError("no emulator runs: start one with `agentrun emulator up --detach`")


@app.command()
def env(
    port: PortOption = None,
    shell: Annotated[Shell, typer.Option(help="Who shall read it.")] = Shell.SH,
) -> None:
    """Print every variable that an SDK reads: eval "$(agentrun emulator env)"."""
    print(render(find(port).environment, shell))


@app.command("exec", context_settings={"allow_interspersed_args": False})
@with_choices
def execute_command(
    choices: Choices,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="What to run.")],
    port: PortOption = None,
    running: Annotated[bool, typer.Option("--running", help="Use the emulator that runs already.")] = False,
) -> None:
    """Run a command against an emulator of its own, which ends with it; the exit status is the command's."""
    if running or port is not None:
        if choices != Choices():
            raise CommandError("a running emulator keeps its options: leave them out, or else --running and --port")
        raise typer.Exit(execute(command, find(port).environment))
    raise typer.Exit(recording.execute_with_receipt(command, replace(choices, port=0)))


app.command("record", context_settings={"allow_interspersed_args": False})(recording.record)
app.command("receipt")(recording.receipt)


@app.command()
def reset(
    port: PortOption = None,
    account_of: Annotated[
        Optional[str],  # noqa: UP045  # typer before 0.13 does not read `str | None`
        typer.Option(metavar="ACCESS_KEY_ID", help="Only the account of this access key."),
    ] = None,
) -> None:
    """Stop what runs in an emulator and forget everything it holds."""
    emulator = find(port)
    ask(emulator, "POST", "reset", {"account": local.account_id(account_of)} if account_of else None)
    show(f"{emulator.url} has forgotten {f'the account of {account_of}' if account_of else 'everything'}")


@app.command()
def logs(
    port: PortOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on each line.")] = False,
    operation: Annotated[
        Optional[str],  # noqa: UP045  # as above
        typer.Option(help="Only this operation, such as CreateCredential."),
    ] = None,
    count: Annotated[int, typer.Option("-n", min=0, help="How many of the last requests.")] = 50,
) -> None:
    """Print the requests that an emulator answered."""
    with contextlib.suppress(KeyboardInterrupt):
        journal.show_entries(find(port), operation, count, follow=follow, as_json=as_json)


@app.command()
def doctor() -> None:
    """Say what this machine lacks to run agents and sandboxes, and how to get it; 1 when nothing could run."""
    if not examine():
        raise typer.Exit(1)


def _introduce(emulator: RunningEmulator, choices: Choices, stop: str) -> None:
    """Say where an emulator is, how it isolates what runs in it, and what to type next."""
    show(f"The emulator listens at {emulator.url} (pid {emulator.pid})", "bold")
    if choices.host not in _LOOPBACK:
        show(f"{choices.host} is not loopback: whoever reaches it can run code on this machine", "yellow")
    said = ask(emulator, "GET", "status")
    if said["problem"]:
        show(f"Agents and sandboxes cannot run: {said['problem']}", "yellow")
    else:
        show(f"Agents and sandboxes run by {_isolation(said)}")
    port = "" if emulator.port == local.PORT else f" --port {emulator.port}"
    show(f'Next: eval "$(agentrun emulator env{port})"; to stop: {stop}{port if stop != "Ctrl-C" else ""}')


def _isolation(said: dict[str, Any]) -> str:
    level, missing = said.get("isolation"), said.get("missing")
    text = f"the {said['backend']} backend" + (f", isolation {level}" if level else "")
    return f"{text} (without {', '.join(missing)})" if missing else text


def _described(emulator: RunningEmulator) -> dict[str, Any]:
    """What `status` shows of an emulator, also when it does not answer."""
    since = datetime.fromtimestamp(emulator.started).astimezone().isoformat(sep=" ", timespec="seconds")
    known: dict[str, Any] = {"url": emulator.url, "port": emulator.port, "pid": emulator.pid, "since": since}
    try:
        return {**known, **ask(emulator, "GET", "status")}
    except CommandError:
        silent = dict.fromkeys(("backend", "sandboxes", "agents"), "does not answer")
        return {**known, **silent, "state": emulator.state}
