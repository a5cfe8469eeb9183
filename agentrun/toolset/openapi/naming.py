"""Names that every model provider takes: for tools, and for their arguments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container

LONGEST = 64
_NOT_IN_TOOLS = re.compile(r"[^a-zA-Z0-9_-]+")
_NOT_IN_ARGUMENTS = re.compile(r"[^a-zA-Z0-9_.-]+")


def tool_name(text: str) -> str:
    """A text as the name of a tool: letters, digits, `_` and `-`, 64 at most; empty when nothing is left of it."""
    return shortened(_NOT_IN_TOOLS.sub("_", text).strip("_"))


def shortened(name: str) -> str:
    """The name; one of more than 64 characters is its first 32 and its MD5 digest, as in the official client."""
    return name if len(name) <= LONGEST else name[:32] + _digest(name)


def _digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def operation_name(method: str, path: str) -> str:
    """The name of an operation that has no id, such as `get_items_id`."""
    return tool_name(f"{method}{path}")


def distinct_tool_name(name: str, method: str, path: str, taken: Container[str]) -> str:
    """A name that no other operation has.

    What tells two operations of one name apart is their method and path, and not their number: another operation that
    is put between them must not make an agent call the wrong one.
    """
    if name and name not in taken:
        return name
    longer = tool_name(f"{name}_{method}{path}")
    return longer if longer not in taken else f"{longer[:31]}_{_digest(f'{name} {method} {path}')}"


def argument_name(name: str, location: str, taken: Container[str]) -> str:
    """The argument for something in a location; when another location has the name, the location goes before it."""
    plain = shortened(_NOT_IN_ARGUMENTS.sub("_", name).strip("_") or location)
    found, number = plain, 1
    while found in taken:
        found = shortened(f"{location}_{plain}" if number == 1 else f"{location}_{plain}_{number}")
        number += 1
    return found
