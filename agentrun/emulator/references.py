"""Credentials named inside a text: `${credential:NAME}` is the secret itself, `${placeholder:NAME}` stands for it.

A part of the credential may be named behind it: `${credential:db:password}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

REFERENCE = re.compile(r"\$\{(credential|placeholder):([^:{}]+)(?::([^:{}]+))?\}")
VALUE, STAND_IN = "credential", "placeholder"


def names(text: str) -> Iterator[str]:
    """The credentials that a text names."""
    return (found[2] for found in REFERENCE.finditer(text))
