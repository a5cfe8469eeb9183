"""Every link inside the documentation leads somewhere, and every page can be reached from the start page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, READMES, ROOT, START, name_of, without_code

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
LINKING = (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")


def links_in(text: str) -> Iterator[str]:
    """The links of a page that do not leave the repository."""
    return (link for link in LINK.findall(without_code(text)) if "://" not in link and not link.startswith("mailto:"))


def anchors_in(text: str) -> set[str]:
    """The anchors that the headings of a page make, as GitHub does."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(without_code(text))]
    return {heading.replace(" ", "-") for heading in plain}


def target_of(page: Path, link: str) -> Path:
    path = link.partition("#")[0]
    return (page.parent / path).resolve() if path else page


def is_broken(page: Path, link: str) -> bool:
    target, anchor = target_of(page, link), link.partition("#")[2]
    if not target.exists():
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in anchors_in(target.read_text(encoding="utf-8"))


def reachable(start: Path) -> set[Path]:
    """The pages that a reader finds from this one."""
    found, waiting = {start}, [start]
    while waiting:
        page = waiting.pop()
        linked = {target_of(page, link) for link in links_in(page.read_text(encoding="utf-8"))}
        new = {target for target in linked if target.suffix == ".md" and target.is_file()} - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in links_in(page.read_text(encoding="utf-8")) if is_broken(page, link)] == []


def test_every_page_is_found_from_the_start_page() -> None:
    assert [name_of(page) for page in PAGES if page not in {*reachable(START), *READMES}] == []


def test_the_start_page_links_every_page_itself() -> None:
    linked = {target_of(START, link) for link in links_in(START.read_text(encoding="utf-8"))}
    assert [name_of(page) for page in PAGES if page not in {*linked, *READMES, START}] == []


@pytest.mark.parametrize("link", ["nowhere.md", "index.md#no-such-heading", "../nowhere/"])
def test_a_broken_link_is_found(link: str) -> None:
    assert is_broken(START, link)


def test_links_in_code_and_to_elsewhere_are_left_alone() -> None:
    assert list(links_in("[a](https://example.com) [b](b.md)\n```text\n[c](c.md)\n```\n")) == ["b.md"]
