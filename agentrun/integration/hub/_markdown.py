"""A web page as Markdown: its text with headings, links, lists, tables and code, without scripts and styles."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import urljoin

_LEFT_OUT = ("script", "style", "noscript", "template", "svg", "iframe", "head", "nav", "footer", "form", "button")
_BLOCKS = (
    *("p", "div", "section", "article", "main", "header", "aside", "table", "blockquote", "figure"),
    *("dl", "dt", "dd", "address", "details", "summary"),
)
_HEADING = re.compile(r"h([1-6])$")
_SPACES = re.compile(r"\s+")
_EMPTY_LINES = re.compile(r"\n\s*\n+")
_ALWAYS_EMPTY = ("br", "hr", "img", "input", "meta", "link", "area", "base", "col", "embed", "source", "track", "wbr")


def markdown(html: str, base_url: str = "") -> str:
    """A page as Markdown; links and pictures are made absolute with the page's own URL."""
    writer = _Writer(base_url)
    writer.feed(html)
    writer.close()
    return writer.text()


def title(html: str) -> str | None:
    """The title of a page, None when it has none."""
    found = re.search(r"<title[^>]*>(.*?)</title", html, re.IGNORECASE | re.DOTALL)
    return _SPACES.sub(" ", found[1]).strip() if found else None


class _Writer(HTMLParser):
    def __init__(self, base_url: str) -> None:
        super().__init__(convert_charrefs=True)
        self._base_url = base_url
        self._pieces: list[str] = []
        self._left_out = 0
        self._code = 0
        self._lists: list[int | None] = []
        self._links: list[str | None] = []
        self._cells = 0
        self._marks: dict[str, str] = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "s": "~~"}

    def text(self) -> str:
        """What was written so far, with no more than one empty line in a row."""
        lines = "".join(self._pieces).splitlines()
        return _EMPTY_LINES.sub("\n\n", "\n".join(line.rstrip() for line in lines)).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        if tag in _LEFT_OUT:
            self._left_out += 1
        if self._left_out:
            return
        begin: Callable[[dict[str, str]], None] | None = getattr(self, f"_begin_{tag}", None)
        given = {name: value or "" for name, value in attrs}
        if begin is not None:
            begin(given)
        elif found := _HEADING.match(tag):
            self._write(f"\n\n{'#' * int(found[1])} ")
        elif tag in _BLOCKS:
            self._write("\n\n")
        self._write(self._marks.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        if tag in _LEFT_OUT:
            self._left_out = max(self._left_out - 1, 0)
            return
        if self._left_out or tag in _ALWAYS_EMPTY:
            return
        self._write(self._marks.get(tag, ""))
        end: Callable[[], None] | None = getattr(self, f"_end_{tag}", None)
        if end is not None:
            end()
        if tag in _BLOCKS or _HEADING.match(tag):
            self._write("\n\n")

    def handle_data(self, data: str) -> None:
        """Text."""
        if not self._left_out:
            self._write(data if self._code else _SPACES.sub(" ", data))

    def _write(self, text: str) -> None:
        at_start = not self._pieces or self._pieces[-1].endswith(("\n", " "))
        if text and not (text == " " and at_start):
            self._pieces.append(text)

    def _begin_br(self, _: dict[str, str]) -> None:
        self._write("\n")

    def _begin_hr(self, _: dict[str, str]) -> None:
        self._write("\n\n---\n\n")

    def _begin_img(self, given: dict[str, str]) -> None:
        if given.get("alt") and given.get("src"):
            self._write(f"![{given['alt']}]({urljoin(self._base_url, given['src'])})")

    def _begin_a(self, given: dict[str, str]) -> None:
        target = given.get("href", "")
        self._links.append(None if not target or target.startswith(("#", "javascript:")) else target)
        self._write("[" if self._links[-1] else "")

    def _end_a(self) -> None:
        target = self._links.pop() if self._links else None
        if target:
            self._write(f"]({urljoin(self._base_url, target)})")

    def _begin_pre(self, _: dict[str, str]) -> None:
        self._write("\n\n```\n")
        self._code += 1

    def _end_pre(self) -> None:
        self._code = max(self._code - 1, 0)
        self._write("\n```\n\n")

    def _begin_code(self, _: dict[str, str]) -> None:
        self._write("" if self._code else "`")

    def _end_code(self) -> None:
        self._write("" if self._code else "`")

    def _begin_ul(self, _: dict[str, str]) -> None:
        self._begin_list(None)

    def _begin_ol(self, _: dict[str, str]) -> None:
        self._begin_list(0)

    def _begin_list(self, number: int | None) -> None:
        self._write("" if self._lists else "\n\n")
        self._lists.append(number)

    def _end_ul(self) -> None:
        self._lists = self._lists[:-1]
        self._write("" if self._lists else "\n\n")

    _end_ol = _end_ul

    def _begin_li(self, _: dict[str, str]) -> None:
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        mark = "-" if number is None else f"{number + 1}."
        self._write(f"\n{'  ' * max(len(self._lists) - 1, 0)}{mark} ")

    def _begin_tr(self, _: dict[str, str]) -> None:
        self._cells = 0
        self._write("\n| ")

    def _begin_td(self, _: dict[str, str]) -> None:
        self._cells += 1

    _begin_th = _begin_td

    def _end_td(self) -> None:
        self._write(" | ")

    _end_th = _end_td

    def _end_thead(self) -> None:
        self._write(f"\n|{' --- |' * self._cells}")
