"""Figures, their budgets, and the page they are written to."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent / "results.md"


@dataclass(frozen=True)
class Figure:
    """One measured thing: its median over the runs, beside the budget and the peer that was measured with it.

    The budget is the most that is allowed, or with `at_least` the least.
    """

    what: str
    value: float
    unit: str
    budget: float | None = None
    peer: str = ""
    note: str = ""
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """Whether the budget was met, empty without one."""
        if self.budget is None:
            return ""
        met = self.value >= self.budget if self.at_least else self.value <= self.budget
        return "met" if met else "**missed**"

    def row(self) -> str:
        """A line of the table."""
        budget = "" if self.budget is None else f"{'>=' if self.at_least else '<='} {self.budget:g} {self.unit}"
        cells = (self.what, f"{self.value:.3g} {self.unit}", budget, self.verdict, self.peer, self.note)
        return f"| {' | '.join(cells)} |"


def median(values: Sequence[float]) -> float:
    """The middle of some measurements."""
    return statistics.median(values)


def machine() -> str:
    """What the figures were measured on."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}"


def section(name: str, figures: Sequence[Figure]) -> str:
    """The part of the page that one benchmark writes."""
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    head = f"## {name}\n\n`python -m benchmarks {name}`, {today}, {machine()}\n"
    table = "| what | median | budget | | peer in the same run | note |\n|---|---|---|---|---|---|"
    return "\n".join((head, table, *(figure.row() for figure in figures))) + "\n"


def write(name: str, figures: Sequence[Figure]) -> None:
    """Put a benchmark's section into the page, in place of its last one."""
    text = PAGE.read_text() if PAGE.exists() else "# Results\n\nShared, noisy machines: ratios count, not absolutes.\n"
    fresh = section(name, figures)
    pattern = re.compile(rf"^## {re.escape(name)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    text = pattern.sub(lambda _: fresh + "\n", text) if pattern.search(text) else f"{text.rstrip()}\n\n{fresh}"
    PAGE.write_text(text.rstrip() + "\n")
