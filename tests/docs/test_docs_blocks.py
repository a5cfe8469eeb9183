"""Every code block of the documentation runs, page by page, and prints what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import NOT_RUN, PAGES, START, Block, blocks_of, name_of
from tests.docs.running import BlockFailedError, PageRun, look_up

LEFT_ALONE = [block for page in PAGES for block in blocks_of(page) if block.directive == NOT_RUN]
# Blocks that need the cloud or a server elsewhere; if there are more of them, readers are shown what nobody tried.
MOST_LEFT_ALONE = 18


def block(code: str, language: str = "python", directive: str = "", argument: str = "") -> Block:
    return Block(START, 7, language, code, directive, argument)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_the_page_runs(page: Path, folder: Path) -> None:
    run = PageRun(folder)
    for each in blocks_of(page):
        run.run(each)


@pytest.mark.parametrize("left_alone", LEFT_ALONE, ids=lambda block: block.place)
def test_a_block_that_is_not_run_has_a_reason(left_alone: Block) -> None:
    assert left_alone.argument
    pytest.skip(f"{left_alone.place}: {left_alone.argument}")


def test_few_blocks_are_not_run() -> None:
    # Those of frameworks run where the frameworks are: scripts/integrations.py.
    elsewhere = ("integrations/", "the shape of")
    here = [block for block in LEFT_ALONE if not block.argument.startswith(elsewhere)]
    here = [block for block in here if block.page.parent.name != "integrations"]
    assert len(here) <= MOST_LEFT_ALONE


def test_blocks_are_found_with_their_lines_and_comments() -> None:
    text = "# A\n\n```python\nx = 1\n```\n\n1. list\n\n   <!-- file: a/b.py -->\n   ```python\n   y = 2\n   ```\n"
    assert list(blocks_of(START, text)) == [
        Block(START, 4, "python", "x = 1\n"),
        Block(START, 11, "python", "y = 2\n", "file", "a/b.py"),
    ]


def test_a_comment_belongs_to_the_next_block_only() -> None:
    text = "<!-- not run: why -->\n```bash\na\n```\n\nText.\n\n```bash\nb\n```\n"
    assert [found.directive for found in blocks_of(START, text)] == [NOT_RUN, ""]


def test_blocks_of_a_page_share_their_names(tmp_path: Path) -> None:
    run = PageRun(tmp_path)
    run.run(block("x = 1\n"))
    run.run(block("print(x + 1)\n"))
    run.run(block("2\n", "text", "output"))


@pytest.mark.parametrize(
    ("code", "language", "text"),
    [
        ("x = 1\nraise ValueError('no')\n", "python", "docs/index.md:8: ValueError: no"),
        ("x = 1\nx = = 2\n", "python", "docs/index.md:7: invalid syntax"),
        ("agentrun version --nope\n", "bash", "docs/index.md:7: exit status 2"),
        ("agentrun emulator up --nope\n", "bash", "No such option: --nope"),
        ("agentrun emulator down --detach\n", "bash", "No such option: --detach"),
        ("pip install 'agentrun[nope]'\n", "bash", "no extra"),
        ("make nope\n", "bash", "no target nope"),
        ("rm -rf /\n", "bash", "mark it"),
    ],
)
def test_a_failure_names_its_place(code: str, language: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(BlockFailedError) as failed:
        PageRun(tmp_path).run(block(code, language))
    assert text in str(failed.value)


def test_other_output_than_shown_is_a_failure(tmp_path: Path) -> None:
    run = PageRun(tmp_path)
    run.run(block("print('id 17')\n"))
    run.run(block("id ...\n", "text", "output"))
    with pytest.raises(BlockFailedError, match=r"docs/index\.md:7: the page shows"):
        run.run(block("id 18\n", "text", "output"))


@pytest.mark.parametrize(
    "line", ["agentrun emulator up --detach --port 0", "pip install 'agentrun[emulator]'", "make demo"]
)
def test_what_exists_is_found(line: str) -> None:
    look_up(block(line, "bash"), line)
