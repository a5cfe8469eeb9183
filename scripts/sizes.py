"""Holds a package to the sizes its house rules promise; exit status 1 when one is over its bar.

usage: python scripts/sizes.py PACKAGE_DIR
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FILE_LINES = 650
LONG_BODY_LINES = 50
# Where an import inside a function is the point: lazy public names, and frameworks that may not be installed.
LATE_IMPORTS_WELCOME = ("__init__.py", "integration/")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One parsed source file."""

    name: str
    lines: int
    tree: ast.Module

    @classmethod
    def read(cls, path: Path, root: Path) -> Module:
        """The module at `path`, named relative to `root`."""
        source = path.read_text(encoding="utf-8")
        return cls(path.relative_to(root).as_posix(), source.count("\n"), ast.parse(source))

    def functions(self) -> Iterator[Function]:
        """Every function and method, nested ones too; overloads have no body to measure."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function) and not any("overload" in ast.unparse(d) for d in node.decorator_list):
                yield node

    def late_imports(self) -> int:
        """How many import statements stand inside a function without a good reason."""
        if self.name.endswith(LATE_IMPORTS_WELCOME[0]) or self.name.startswith(LATE_IMPORTS_WELCOME[1]):
            return 0
        inside = {node for function in self.functions() for node in ast.walk(function)}
        return sum(isinstance(node, (ast.Import, ast.ImportFrom)) for node in inside)


@dataclass(frozen=True)
class Measure:
    """One figure beside the bar it must keep."""

    what: str
    value: float
    bar: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        """Whether the figure is on the right side of its bar."""
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def __str__(self) -> str:
        sign, mark = (">=" if self.at_least else "<="), ("ok" if self.kept else "OVER THE BAR")
        return f"  {self.what:<28}{self.value:>8.1f}   {sign} {self.bar:<6g}{mark}"


def body_lines(function: Function) -> int:
    """Lines of a function from below its signature and docstring to its end."""
    first = function.body[0]
    start = (first.end_lineno or first.lineno) if ast.get_docstring(function) is not None else first.lineno - 1
    return (function.end_lineno or start) - start


def annotated(function: Function) -> list[bool]:
    """Whether each argument but `self` and `cls`, and the result, carries a type."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    typed = [argument.annotation is not None for argument in arguments if argument.arg not in ("self", "cls")]
    return [*typed, function.returns is not None]


def percent(flags: Iterable[bool]) -> float:
    """The share of true ones, in percent."""
    return 100 * statistics.fmean(flags)


def measure(modules: list[Module]) -> list[Measure]:
    """The figures of a package beside their bars."""
    functions = [function for module in modules for function in module.functions()]
    bodies = sorted(body_lines(function) for function in functions)
    typed = [slot for function in functions for slot in annotated(function)]
    late, lines = sum(module.late_imports() for module in modules), sum(module.lines for module in modules)
    return [
        Measure("median body, lines", statistics.median(bodies), 5),
        Measure("90th percentile body, lines", bodies[min(len(bodies) - 1, int(len(bodies) * 0.9))], 23),
        Measure(f"bodies over {LONG_BODY_LINES} lines, %", percent(n > LONG_BODY_LINES for n in bodies), 2),
        Measure("longest file, lines", max(module.lines for module in modules), MAX_FILE_LINES),
        Measure("annotated, %", percent(typed), 97, at_least=True),
        Measure("late imports per 1000 lines", 1000 * late / lines, 0.5),
    ]


def offenders(modules: list[Module]) -> Iterator[str]:
    """The places to look at first: long files, long bodies and files with late imports."""
    for module in modules:
        if module.lines > MAX_FILE_LINES:
            yield f"{module.name}: {module.lines} lines"
        for function in module.functions():
            if body_lines(function) > LONG_BODY_LINES:
                yield f"{module.name}:{function.lineno}: {function.name} has {body_lines(function)} lines"
        if late := module.late_imports():
            yield f"{module.name}: {late} late imports"


def main(root: Path) -> int:
    """Print the figures, and where to look when one is over its bar."""
    modules = [Module.read(path, root) for path in sorted(root.rglob("*.py"))]
    figures = measure(modules)
    print(*figures, sep="\n")
    if all(figure.kept for figure in figures):
        return 0
    print(*(f"    {root}/{place}" for place in offenders(modules)), sep="\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
