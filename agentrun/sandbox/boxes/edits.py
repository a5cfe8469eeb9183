"""Edits of a text: what is replaced by what, and the difference that they make."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from agentrun.errors import InvalidInputError


def edited(content: str, edits: Iterable[Mapping[str, str]]) -> str:
    """The text after all edits, each of which replaces the first place where its `oldText` stands.

    Raises InvalidInputError when there is no such place; then nothing counts.
    """
    for edit in edits:
        old = edit["oldText"]
        if not old or old not in content:
            reason = "oldText is empty" if not old else f"oldText is not in the file: {old!r:.200}"
            raise InvalidInputError(reason, field="edits", hint="Read the file and copy the text exactly")
        content = content.replace(old, edit["newText"], 1)
    return content


def difference(path: str, before: str, after: str) -> str:
    """A unified diff; empty when nothing changed."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a{path}", f"b{path}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
