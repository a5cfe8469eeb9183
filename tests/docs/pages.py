"""The pages of the documentation as data: code blocks in their order, with what the page says about each.

An HTML comment right before a block tells the tests what to do with it; readers do not see it:

    <!-- not run: the reason -->   leave it alone
    <!-- file: NAME -->            write it to a file instead of running it
    <!-- output -->                it is what the block before printed; `...` stands for anything
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
START = ROOT / "docs" / "index.md"
READMES = (ROOT / "README.md", ROOT / "README.zh.md")
PAGES = (*READMES, *sorted(ROOT.glob("docs/**/*.md")))

NOT_RUN, FILE, OUTPUT = "not run", "file", "output"
_BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```[ ]*$", re.DOTALL | re.MULTILINE)
_DIRECTIVE = re.compile(rf"<!-- ({NOT_RUN}|{FILE}|{OUTPUT})(?:: ([^\n]+?))? -->\s*\Z")


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line of code in the page, its language, and the comment before it."""

    page: Path
    line: int
    language: str
    code: str
    directive: str = ""
    argument: str = ""

    @property
    def place(self) -> str:
        """The page and the line, as editors understand them."""
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """The page's path from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path, text: str | None = None) -> Iterator[Block]:
    """The fenced blocks of a page, or of a text that stands for it."""
    text = page.read_text(encoding="utf-8") if text is None else text
    for found in _BLOCK.finditer(text):
        margin, language, code = found.groups()
        code = "".join(line.removeprefix(margin) for line in code.splitlines(keepends=True))
        said = _DIRECTIVE.search(text, 0, found.start())
        directive, argument = said.groups(default="") if said else ("", "")
        yield Block(page, text.count("\n", 0, found.start(3)) + 1, language, code, directive, argument)


def without_code(text: str) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", text)
