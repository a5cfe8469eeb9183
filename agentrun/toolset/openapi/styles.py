"""How a value becomes text in a path, a query, a header or a cookie: the styles of RFC 6570 that OpenAPI names.

OpenAPI leaves open how objects in objects are written: they are JSON here, except in `deepObject`, whose brackets nest.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias, cast
from urllib.parse import quote

from agentrun._core.values import is_list, is_mapping

Quote: TypeAlias = Callable[[str], str]
Pairs: TypeAlias = "list[tuple[str, str]]"

# What RFC 3986 reserves, without what would end a value: `&`, `#`, and `+`, which most servers read as a space.
_RESERVED = ":/?@!$'()*,;="
_DELIMITERS = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}


def encoded(text: str) -> str:
    """A text percent-encoded, with everything that is not unreserved."""
    return quote(text, safe="")


def lightly_encoded(text: str) -> str:
    """A text percent-encoded for a parameter that allows reserved characters."""
    return quote(text, safe=_RESERVED)


def unchanged(text: str) -> str:
    """A text as it is: headers have no percent-encoding."""
    return text


def plain(value: Any) -> str:
    """One value as text: `true`, `null`, a whole number without a fraction; what is not one value as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (bool, list, dict, type(None))):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return str(value)


def in_path(name: str, value: Any, style: str, explode: bool) -> str:
    """A value in a path, with all that its style puts before it."""
    if style == "label":
        return "." + joined(value, "." if explode else ",", explode, encoded)
    if style == "matrix":
        return _matrix(name, value, explode)
    return joined(value, ",", explode, encoded)


def _matrix(name: str, value: Any, explode: bool) -> str:
    if explode and is_list(value):
        return "".join(f";{encoded(name)}={encoded(plain(item))}" for item in value)
    if explode and isinstance(value, dict):
        return ";" + joined(value, ";", True, encoded)
    return f";{encoded(name)}={joined(value, ',', False, encoded)}"


def joined(value: Any, separator: str, explode: bool, quoted: Quote) -> str:
    """The items of a list or an object in one text; of an object `k=v` when exploded, and `k,v` otherwise."""
    if is_list(value):
        return separator.join(quoted(plain(item)) for item in value)
    if isinstance(value, dict):
        between = "=" if explode else separator
        items = cast("dict[str, Any]", value).items()
        return separator.join(f"{quoted(str(key))}{between}{quoted(plain(item))}" for key, item in items)
    return quoted(plain(value))


def in_query(name: str, value: Any, style: str, explode: bool, quoted: Quote = encoded) -> Pairs:
    """The pairs of a query, encoded; an empty list has none."""
    if style == "deepObject" and isinstance(value, (dict, list)):
        return [(_bracketed(key), quoted(text)) for key, text in deep_pairs(name, value)]
    key = encoded(name)
    if is_list(value):
        items = value
        if explode or not items:
            return [(key, quoted(plain(item))) for item in items]
        return [(key, joined(items, _DELIMITERS.get(style, ","), False, quoted))]
    if isinstance(value, dict) and explode and style == "form":
        return [(encoded(str(k)), quoted(plain(v))) for k, v in cast("dict[str, Any]", value).items()]
    return [(key, joined(value, _DELIMITERS.get(style, ","), False, quoted))]


def _bracketed(key: str) -> str:
    return quote(key, safe="[]")


def deep_pairs(name: str, value: Any) -> Pairs:
    """The pairs of a nested value: `a[b][c]`, `a[]` for single values of a list, `a[0][b]` for others."""
    if is_mapping(value):
        items = value.items()
        return [pair for key, item in items for pair in deep_pairs(f"{name}[{key}]", item)]
    if is_list(value):
        listed = value
        simple = not any(isinstance(item, (dict, list)) for item in listed)
        places = [f"{name}[]" if simple else f"{name}[{number}]" for number in range(len(listed))]
        return [pair for place, item in zip(places, listed, strict=True) for pair in deep_pairs(place, item)]
    return [(name, plain(value))]
