"""Secrets put into one request where its placeholders stand, and taken out of the answer again.

A secret is written as its place wants it: percent-encoded in a URL or a form, escaped in JSON or XML, inside the Base64
of `Basic`. Exactly what was put in, and the plain forms of every secret that the origin may have, become placeholders
again in the answer.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from agentrun.emulator.backends.injection.hosts import Origin
from agentrun.emulator.backends.injection.placeholders import BODY, HEADER, URL, Injection
from agentrun.emulator.backends.injection.replacing import Replacer

_BASIC = re.compile(r"(basic[ \t]+)([A-Za-z0-9+/_-]+={0,2})[ \t]*", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# Shorter ones would be found everywhere in an answer.
SHORTEST_SECRET = 6
# What was put in is looked for in every answer of its connection, so it is bounded in length and number.
LONGEST_BASIC = 8192
MOST_REMEMBERED = 64

Writer = Callable[[str], str]


def _as_it_is(secret: str) -> str:
    return secret


def _percent(secret: str) -> str:
    return quote(secret, safe="")


def _in_json(secret: str) -> str:
    return json.dumps(secret)[1:-1]


def _in_xml(secret: str) -> str:
    return escape(secret, {'"': "&quot;", "'": "&apos;"})


def writer_for(content_type: str) -> Writer:
    """How a secret is written in a body of this type."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return quote_plus
    if kind.endswith(("/json", "+json", "-ndjson", "/jsonl")):
        return _in_json
    return _in_xml if kind.endswith(("/xml", "+xml", "/html")) else _as_it_is


class Substitution:
    """What is put into the requests of one connection to an origin."""

    def __init__(self, injection: Injection, origin: Origin) -> None:
        self._injection = injection
        self._origin = origin
        self._put_in: OrderedDict[bytes, bytes] = OrderedDict()
        self._used: set[str] = set()

    def begin(self) -> None:
        """Another request begins; what is put into it counts anew."""
        self._used.clear()

    def url(self, target: str) -> str:
        """The target of a request, secrets percent-encoded. Raises MisusedError."""
        return self._text(target, URL, _percent)

    def header(self, value: str) -> str:
        """The value of a header, also inside the Base64 of Basic. Raises MisusedError."""
        basic = _BASIC.fullmatch(value)
        inner = _decoded(basic[2]) if basic else None
        if basic is None or inner is None or not self._has_placeholder(inner):
            return self._text(value, HEADER, _as_it_is)
        if len(inner) > LONGEST_BASIC:
            self.refusing(f"a placeholder in more than {LONGEST_BASIC} bytes of Basic is not replaced").whole(inner)
        changed = base64.b64encode(self._replacer(HEADER, _as_it_is).whole(inner)).decode()
        self._remember(changed.encode(), basic[2].encode())
        return f"{basic[1]}{changed}"

    def body(self, content_type: str) -> Replacer:
        """What replaces in a body, piece by piece; it raises MisusedError."""
        return self._replacer(BODY, writer_for(content_type))

    def refusing(self, reason: str) -> Replacer:
        """What lets through everything but placeholders; it raises MisusedError with this reason."""

        def refuse(text: bytes) -> bytes:
            raise self._injection.refusal(self._injection.named(text), self._origin, reason)

        return Replacer(self._injection.texts, refuse)

    def answer(self, *, same_length: bool = False) -> Replacer:
        """What replaces secrets by placeholders in an answer; of the `same_length` where that has been told."""
        back = {**self._plain_forms(), **self._put_in}

        def hide(secret: bytes) -> bytes:
            placeholder = back[secret]
            return placeholder.ljust(len(secret), b"*")[: len(secret)] if same_length else placeholder

        return Replacer(back, hide)

    def _note(self, credential: str) -> None:
        if credential not in self._used:
            self._used.add(credential)
            self._injection.note_use(credential)

    def _remember(self, written: bytes, text: bytes) -> None:
        self._put_in[written] = text
        self._put_in.move_to_end(written)
        if len(self._put_in) > MOST_REMEMBERED:
            self._put_in.popitem(last=False)

    def _plain_forms(self) -> dict[bytes, bytes]:
        writers = (_as_it_is, _percent, quote_plus, _in_json, _in_xml)
        return {
            write(secret).encode(): placeholder.encode()
            for secret, placeholder in self._injection.values_at(self._origin).items()
            for write in writers
            if len(secret) >= SHORTEST_SECRET
        }

    def _has_placeholder(self, data: bytes) -> bool:
        return any(text in data for text in self._injection.texts)

    def _text(self, text: str, place: str, write: Writer) -> str:
        data = text.encode("latin-1")
        return self._replacer(place, write).whole(data).decode("latin-1") if self._has_placeholder(data) else text

    def _replacer(self, place: str, write: Writer) -> Replacer:
        def put_in(text: bytes) -> bytes:
            secret = self._injection.value(text, self._origin, place)
            if place == HEADER and _UNSAFE.search(secret):
                raise self._injection.refusal(
                    self._injection.named(text), self._origin, "its secret has signs that no header may have"
                )
            self._note(self._injection.named(text).credential)
            written = write(secret).encode()
            if len(secret) >= SHORTEST_SECRET:
                self._remember(written, text)
            return written

        return Replacer(self._injection.texts, put_in)


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.translate(str.maketrans("-_", "+/")) + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
