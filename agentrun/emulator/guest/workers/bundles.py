"""Values as data by MIME type: what a notebook would show of them, in a form that can travel."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, cast

from agentrun.emulator.guest.workers import tables

MAX_TEXT = 1024 * 1024
MAX_DATA = 4 * 1024 * 1024
# What is taken from one line: its bytes, and how many signs of structure it has. Short lines are never near that.
MAX_LINE = MAX_DATA
MAX_STRUCTURE = 100_000
SHORT = 64 * 1024
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
ESCAPES = {b"[": b"\\u005b", b"{": b"\\u007b", b",": b"\\u002c"}
CUT_MARK = "\n... [cut]"
PLAIN = "text/plain"
REPRESENTATIONS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_latex_": "text/latex",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_json_": "application/json",
}

Bundle = dict[str, Any]


def describe(value: Any) -> Bundle:
    """The forms that the value offers itself; a form that cannot be computed is left out."""
    found: Bundle = {PLAIN: repr(value)}
    if isinstance(value, type):
        return found
    data = _call(value, "_repr_mimebundle_")
    if isinstance(data, dict):
        found.update(cast("Bundle", data))
    for method, kind in REPRESENTATIONS.items():
        form = _call(value, method)
        if form is not None:
            found.setdefault(kind, form)
    return found


def travelling(data: Mapping[str, Any]) -> Bundle:
    """The same with binary data as Base64 text, long plain text cut, and what is too large named only."""
    found, left_out = Bundle(), ""
    for kind, value in data.items():
        if value is None or kind == PLAIN:
            continue
        form, size = _form(value)
        if size <= MAX_DATA:
            found[kind] = form
        else:
            left_out += _too_large(kind, size)
    if PLAIN in data or left_out:
        found[PLAIN] = str(cut(str(data.get(PLAIN) or ""))) + left_out
    return found


def failure(error: BaseException, text: str) -> Bundle:
    """An error with the text that explains it."""
    try:
        value = f"{error.msg} (line {error.lineno})" if isinstance(error, SyntaxError) else str(error)
    except Exception:
        value = "<its text cannot be computed>"
    return {"name": type(error).__name__, "value": cut(value), "text": cut(text)}


def encode(content: Mapping[str, Any]) -> bytes:
    """A message as JSON, shortened as far as whoever reads it requires."""
    line = json.dumps(content).encode()
    if len(line) <= SHORT:
        return line
    while not _fits(line := _dense(content)):
        content = _shortened(content)
    return line


def cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + CUT_MARK


def _fits(line: bytes) -> bool:
    return len(line) <= MAX_LINE and _structure(line) <= MAX_STRUCTURE


def _structure(line: bytes) -> int:
    return sum(map(line.count, ESCAPES))


def _dense(content: Mapping[str, Any]) -> bytes:
    """Few bytes, and no signs of structure but those that are meant so when there are many."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    line = text.encode("utf-8", "surrogatepass")
    return line if _structure(line) <= MAX_STRUCTURE else STRING.sub(_escaped, line)


def _escaped(string: re.Match[bytes]) -> bytes:
    found = string[0]
    for sign, escape in ESCAPES.items():
        found = found.replace(sign, escape)
    return found


def _shortened(content: Mapping[str, Any]) -> Bundle:
    """The same with its largest part smaller: half of the rows or the text, and a note instead of anything else."""
    part = next(kind for kind in ("display", "result", "error") if content.get(kind))
    data: Bundle = dict(content[part])
    size, kind = max((len(_dense({"": form})), kind) for kind, form in data.items())
    form = data[kind]
    if part == "error" or kind == PLAIN:
        data[kind] = form[: len(form) // 2] + CUT_MARK
    elif kind == tables.MIME_TYPE and isinstance(form, dict) and len(rows := cast("Bundle", form).get("data", ())) > 1:
        data[kind] = {**cast("Bundle", form), "data": rows[: len(rows) // 2], "truncated": True}
    else:
        del data[kind]
        data[PLAIN] = str(data.get(PLAIN, "")) + _too_large(kind, size)
    return {**content, part: data}


def _too_large(kind: str, size: int) -> str:
    return f"\n... [{kind} of {size} bytes is too large: the limit is {MAX_DATA}]"


def _form(value: Any) -> tuple[Any, int]:
    """What travels and its size."""
    if isinstance(value, (bytes, bytearray)):
        value = base64.b64encode(value).decode()
    if isinstance(value, str):
        return value, len(value)
    try:
        text = json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError):
        return str(value), 0
    return json.loads(text, parse_constant=_nothing), len(text)


def _nothing(_name: str) -> None:
    """NaN and the infinities are no JSON."""


def _call(value: Any, method: str) -> Any:
    """What the method gives, without its metadata."""
    try:
        offered: Any = getattr(value, method)()
    except Exception:
        return None
    return offered[0] if offered.__class__ is tuple else offered
