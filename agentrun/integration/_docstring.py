"""What a function's docstring says of the function and of each argument: Google's, NumPy's and Sphinx's style."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_ARGUMENTS = ("args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters")
_OTHERS = (
    *("returns", "return", "yields", "yield", "receives", "raises", "raise", "except", "warns", "attributes"),
    *("example", "examples", "note", "notes", "warning", "warnings", "see also", "references", "todo"),
)
_FIELD = re.compile(r":(\w+)\s*([^:]*):(?:\s+(.*))?$")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\(.*?\))?\s*:(?:\s+(.*))?$")
_NUMPY = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_OF_ARGUMENTS = ("param", "parameter", "arg", "argument", "key", "keyword")


class Docstring(NamedTuple):
    """A docstring's text before its sections, and what it says of each argument."""

    text: str
    arguments: dict[str, str]


class _Section(NamedTuple):
    """`kind` is `google`, `numpy` or `field`; `name` is that of the section, `lines` are what stands below it."""

    kind: str
    name: str
    lines: list[str]


def parsed(docstring: str | None) -> Docstring:
    """The parts of a docstring; one in no known style is all text."""
    text, sections = _divided(inspect.cleandoc(docstring or "").splitlines())
    arguments = {name: said for section in sections for name, said in _described(section)}
    return Docstring("\n".join(text).strip(), arguments)


def _divided(lines: Sequence[str]) -> tuple[list[str], list[_Section]]:
    text: list[str] = []
    sections: list[_Section] = []
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        section = _opened(line, following)
        if section is not None:
            sections.append(section)
        elif sections:
            sections[-1].lines.append(line)
        else:
            text.append(line)
    return text, sections


def _opened(line: str, following: str) -> _Section | None:
    """The section that begins with this line, None when none does."""
    field = _FIELD.match(line)
    if field:
        return _Section("field", f"{field[1]} {field[2]}".strip(), [field[3] or ""])
    name = line.strip().rstrip(":").lower()
    if line[:1].isspace() or name not in (*_ARGUMENTS, *_OTHERS):
        return None
    if len(following) >= 3 and not following.strip("-="):
        return _Section("numpy", name, [])
    return _Section("google", name, []) if line.endswith(":") else None


def _described(section: _Section) -> Iterator[tuple[str, str]]:
    """The arguments that a section describes, each with its text."""
    if section.kind == "field":
        kind, _, name = section.name.partition(" ")
        if kind in _OF_ARGUMENTS and name:
            yield name.split()[-1].lstrip("*\\"), _joined(section.lines)
    elif section.name in _ARGUMENTS:
        pattern = _GOOGLE if section.kind == "google" else _NUMPY
        yield from _entries([line for line in section.lines if line.strip("-= ") or not line.strip()], pattern)


def _entries(lines: Sequence[str], pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Entries begin at the indentation of the first line; what is indented further goes on with the one above."""
    indentation = next((_indentation(line) for line in lines if line.strip()), 0)
    names: list[str] = []
    said: list[str] = []
    for line in lines:
        found = pattern.match(line.strip()) if _indentation(line) <= indentation and line.strip() else None
        if found is None:
            said.append(line)
            continue
        yield from ((name, _joined(said)) for name in names)
        names = [name.strip().lstrip("*") for name in found[1].split(",")]
        said = [found[2] or ""] if pattern.groups > 1 else []
    yield from ((name, _joined(said)) for name in names)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _joined(lines: Sequence[str]) -> str:
    return " ".join(" ".join(lines).split())
