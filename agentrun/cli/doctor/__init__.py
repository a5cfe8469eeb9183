"""What this machine offers and lacks, found by trying; each lack comes with the command that ends it."""

from __future__ import annotations

from collections.abc import Iterable

from agentrun.cli.doctor import contents, ladder, machine, walls
from agentrun.cli.doctor.finding import Finding
from agentrun.cli.output import show

_STYLES = {"ok": "green", "missing": "yellow", "problem": "red"}


def examine() -> bool:
    """Print a line for each look; returns whether agents or sandboxes could run."""
    emulator = _print("The emulator", machine.findings())
    walled = _print("Isolation", walls.findings())
    levels = _print("Isolation levels, the weakest first", ladder.levels(walled))
    inside = _print("In sandboxes", contents.findings())
    now = _print("What an emulator started now gives", ladder.reached())
    return all(finding.well or not finding.essential for finding in (*emulator, *walled, *levels, *inside, *now))


def _print(title: str, findings: Iterable[Finding]) -> list[Finding]:
    """Show each as soon as it is known."""
    show(title, "bold")
    found: list[Finding] = []
    for finding in findings:
        show(str(finding), _STYLES[finding.state])
        found.append(finding)
    return found
