"""Every public name the docs mention exists: dotted paths, names in backticks, and imports in code blocks."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

import agentrun

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

CODE_BLOCK = re.compile(r"^([ \t]*)```(\w*)[^\n]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`([^`\n]+)`")
# Not inside a path, a host name or a package name: `/agentrun.py`, `x.agentrun.dev`, `my-agentrun.cn-hangzhou`.
DOTTED_PATH = re.compile(r"(?<![\w./@:-])agentrun(?:\.[A-Za-z_]\w*)+(?![\w-]*[-/@])")
MEMBER_PATH = re.compile(r"(?<![\w./@:-])([A-Z]\w*)((?:\.[A-Za-z_]\w*)+)")
# Names of files and hosts, and attributes of spans, that look like attribute paths.
NOT_A_PATH = re.compile(
    r"agentrun\.(?:md|json|toml|db|log|sock|service|localhost|cn|outcome|protocol|sandbox\.id)\b"
    r"|\.(?:com|dev|md|py|json)$"
)


class Mention(NamedTuple):
    """A dotted name and the line it stands on."""

    line: int
    name: str


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def imports_in(code: str, first_line: int) -> Iterator[Mention]:
    """The names that a block of Python imports from the package."""
    for node in ast.walk(ast.parse(code)):
        line = first_line + getattr(node, "lineno", 1) - 1
        if isinstance(node, ast.Import):
            yield from (Mention(line, alias.name) for alias in node.names if alias.name.startswith("agentrun"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "agentrun":
            yield from (Mention(line, f"{node.module}.{alias.name}") for alias in node.names if alias.name != "*")


def unindent(code: str, margin: str) -> str:
    return "".join(line.removeprefix(margin) for line in code.splitlines(keepends=True))


def mentions(text: str) -> Iterator[Mention]:
    """Every public name that a page of Markdown mentions."""
    for block in CODE_BLOCK.finditer(text):
        if block[2] in ("python", "py"):
            yield from imports_in(unindent(block[3], block[1]), line_of(text, block.start(3)))
    for match in DOTTED_PATH.finditer(text):
        if not NOT_A_PATH.search(match[0]):
            yield Mention(line_of(text, match.start()), match[0])
    for code in INLINE_CODE.finditer(text):
        for match in MEMBER_PATH.finditer(code[1]):
            if match[1] in agentrun.__all__:
                yield Mention(line_of(text, code.start()), f"agentrun.{match[0]}")


def declares_field(owner: object, name: str) -> bool:
    """Whether a class declares something that only its instances have."""
    return isinstance(owner, type) and any(name in inspect.get_annotations(base) for base in owner.__mro__)


def is_of_a_framework(module: str) -> bool:
    """Whether a module cannot be imported because its framework has an environment of its own."""
    try:
        import_module(module)
    except ImportError as error:
        check_names_an_extra(error)
        return True
    return False


def check_names_an_extra(error: ImportError) -> None:
    if "pip install 'agentrun[" not in str(error):
        raise error


def has(owner: object, name: str) -> bool:
    """Whether there is such a name, be it one that is loaded with its framework when it is used."""
    try:
        return hasattr(owner, name)
    except ImportError as error:
        check_names_an_extra(error)
        return True


def written_names(module: str) -> set[str]:
    """What a module defines or imports at its top, read from its text."""
    spec = find_spec(module)
    assert spec
    assert spec.origin
    names: set[str] = set()
    for node in ast.parse(Path(spec.origin).read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def exists(name: str) -> bool:
    """Whether a dotted name leads to a module or to something inside one."""
    module, *rest = name.split(".")
    while rest and hasattr(import_module(module), "__path__") and find_spec(f"{module}.{rest[0]}"):
        module = f"{module}.{rest.pop(0)}"
        if is_of_a_framework(module):
            return not rest or rest[0] in written_names(module)
    owner: object = import_module(module)
    for place, part in enumerate(rest, 1):
        if not has(owner, part):
            return declares_field(owner, part)
        if place < len(rest):
            owner = getattr(owner, part)
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_on_the_page_exists(page: Path) -> None:
    wrong = [f"{page.name}:{line}: {name}" for line, name in mentions(page.read_text()) if not exists(name)]
    assert not wrong


def test_wrong_names_are_found() -> None:
    page = "See `agentrun.Nope` and `Config.nope`.\n\n```python\nfrom agentrun.errors import Nope\n```\n"
    assert [mention for mention in mentions(page) if not exists(mention.name)] == [
        Mention(4, "agentrun.errors.Nope"),
        Mention(1, "agentrun.Nope"),
        Mention(1, "agentrun.Config.nope"),
    ]


@pytest.mark.parametrize("text", ["agentrun.cn-hangzhou.aliyuncs.com", "./agentrun.md", "https://a.agentrun.dev/x"])
def test_hosts_and_files_are_not_names(text: str) -> None:
    assert list(mentions(text)) == []
