"""The journal of a running emulator, as lines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from agentrun.cli.output import CommandError, show
from agentrun.cli.running import ask
from agentrun.emulator.records import RunningEmulator

_POLL_SECONDS = 0.25
_STYLES = {2: "green", 3: "cyan", 4: "yellow", 5: "red"}


def show_entries(emulator: RunningEmulator, operation: str | None, count: int, *, follow: bool, as_json: bool) -> None:
    """Print the last entries, and with `follow` every further one until the emulator ends or Ctrl-C."""
    entries = _entries(emulator, operation, 0)
    _show(entries[len(entries) - min(count, len(entries)) :], as_json)
    if follow:
        for entry in _further(emulator, operation, entries[-1]["number"] if entries else 0):
            _show([entry], as_json)


def _entries(emulator: RunningEmulator, operation: str | None, after: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(emulator, "GET", "journal", {"after": after, "operation": operation or ""})[
        "entries"
    ]
    # Looking at the emulator is no event in it, unless one asks for that.
    return [entry for entry in found if operation or entry["plane"] != "admin"]


def _further(emulator: RunningEmulator, operation: str | None, after: int) -> Iterator[dict[str, Any]]:
    while emulator.alive:
        entries = _entries_while_it_runs(emulator, operation, after)
        yield from entries
        after = entries[-1]["number"] if entries else after
        time.sleep(_POLL_SECONDS)


def _entries_while_it_runs(emulator: RunningEmulator, operation: str | None, after: int) -> list[dict[str, Any]]:
    try:
        return _entries(emulator, operation, after)
    except CommandError:
        # It may be on its way out: then this is the end and no error.
        time.sleep(_POLL_SECONDS)
        if emulator.alive:
            raise
        return []


def _show(entries: list[dict[str, Any]], as_json: bool) -> None:
    for entry in entries:
        if as_json:
            print(json.dumps(entry), flush=True)
        else:
            show(line(entry), _STYLES.get(entry["status"] // 100, ""))


def line(entry: dict[str, Any]) -> str:
    """An entry for a person: time, status, duration, what was called, request id and remarks."""
    moment = datetime.fromtimestamp(entry["time"]).strftime("%H:%M:%S.%f")[:-3]
    what = f"{entry['operation'] or '-'} {entry['method']} {entry['path']}"
    remarks = "".join(f" ({remark})" for remark in entry["remarks"])
    return f"{moment} {entry['status']} {entry['duration_ms']:.1f} ms {what} {entry['request_id']}{remarks}"
