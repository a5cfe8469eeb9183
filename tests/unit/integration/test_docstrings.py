"""Docstrings in the three styles, and in none."""

from __future__ import annotations

import pytest

from agentrun.integration._docstring import parsed

GOOGLE = """Find files.

    Looks everywhere.

    Args:
        name (str): The name: a pattern.
        depth (Optional[int]): How deep,
            at most.
        **options: More.

    Raises:
        ValueError: Never.
    """
NUMPY = """Find files.

    Looks everywhere.

    Parameters
    ----------
    name : str
        The name: a pattern.
    depth : int, optional
        How deep,
        at most.
    options
        More.

    Returns
    -------
    list
        depth : nothing
    """
SPHINX = """Find files.

    Looks everywhere.

    :param name: The name: a pattern.
    :param int depth: How deep,
        at most.
    :type name: str
    :param options: More.
    :returns: A list.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX])
def test_every_style_says_the_same(text: str) -> None:
    found = parsed(text)
    assert found.text == "Find files.\n\nLooks everywhere."
    assert found.arguments == {"name": "The name: a pattern.", "depth": "How deep, at most.", "options": "More."}


@pytest.mark.parametrize("text", [None, "", "   "])
def test_nothing_says_nothing(text: str | None) -> None:
    assert parsed(text) == ("", {})


def test_what_is_in_no_style_is_text() -> None:
    assert parsed("Note that args: are fine.\nx: 1").text == "Note that args: are fine.\nx: 1"


def test_a_text_in_the_middle_of_an_argument_is_its_own() -> None:
    found = parsed("A.\n\nArgs:\n    a: One.\n\n        Two: three.\n    b: Four.")
    assert found.arguments == {"a": "One. Two: three.", "b": "Four."}
