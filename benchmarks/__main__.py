"""Runs benchmarks and writes their figures to `benchmarks/results.md`: all of them, or those named."""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.report import section, write

NAMES = (
    "import_cost",
    "call_overhead",
    "emulator",
    "sandbox",
    "model_gateway",
    "model_policies",
    "tools",
    "agent_api",
    "tracing_cost",
)


def main(names: list[str]) -> int:
    """Run the benchmarks named; returns 2 when one does not exist."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        figures = import_module(f"benchmarks.{name}").run()
        write(name, figures)
        print(section(name, figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
