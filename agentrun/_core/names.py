"""Misspelt names, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like this one, None when none does."""
    folded = {candidate.replace("_", "").lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.replace("_", "").lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None
