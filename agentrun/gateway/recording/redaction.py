"""Takes secrets out of what is recorded, and leaves placeholders such as `<api-key:1>` that equal secrets share."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from agentrun._core.values import is_list, is_object
from agentrun.gateway.recording.event_text import fragments
from agentrun.gateway.recording.exchange import Piece
from agentrun.gateway.recording.secret_types import ALWAYS, PLACEHOLDERS, Finder, SecretType, type_of

# What is shorter is no secret, and replacing it would tear ordinary words apart.
_SHORTEST_KNOWN = 8
_PLACEHOLDER = re.compile(PLACEHOLDERS.encode())


def nothing_known() -> Iterable[str]:
    """No secrets beside those that are told by their look."""
    return ()


@dataclass(frozen=True)
class _Change:
    """A part of a text, and what is put in its place."""

    begin: int
    end: int
    text: str


class Redactor:
    """Replaces secrets by placeholders, which it numbers as it meets them, each type from 1.

    `more` are types beside those that are always removed. `placeholders` numbers placeholders that are there already
    anew, like the secrets that they stand for.
    """

    def __init__(
        self, more: Collection[SecretType] = (), known: Iterable[str] = (), *, placeholders: bool = False
    ) -> None:
        self._types = ALWAYS | set(more)
        self._known: set[str] = set()
        self._placeholders = placeholders
        self._names: dict[tuple[SecretType, str], str] = {}
        self._counts: dict[SecretType, int] = {}
        self._finder = Finder(self._types, (), placeholders=placeholders)
        self.know(known)

    @property
    def secrets(self) -> dict[str, str]:
        """What was found, by the placeholders that stand for it."""
        return {placeholder: secret for (_, secret), placeholder in self._names.items()}

    def know(self, secrets: Iterable[str]) -> None:
        """Remove these from now on, whatever they look like."""
        found = {form for secret in secrets if len(secret) >= _SHORTEST_KNOWN for form in (secret, _in_json(secret))}
        if not found <= self._known:
            self._known |= found
            self._finder = Finder(self._types, self._known, placeholders=self._placeholders)

    def text(self, text: str) -> str:
        """A text without its secrets."""
        parts: list[str] = []
        at = 0
        for match in self._finder.find(text):
            parts += [text[at : match.start()], self._placeholder(match)]
            at = match.end()
        return "".join([*parts, text[at:]]) if parts else text

    def value(self, value: Any) -> Any:
        """JSON without its secrets, its objects' names included."""
        if isinstance(value, str):
            return self.text(value)
        if is_object(value):
            return {self.text(name): self.value(entry) for name, entry in value.items()}
        if is_list(value):
            return [self.value(entry) for entry in value]
        return value

    def body(self, pieces: Sequence[Piece]) -> tuple[Piece, ...]:
        """A body without its secrets, cut where it was cut; a cut inside of a secret comes behind its placeholder."""
        # One character for each byte, so that positions are the same; the patterns are for ASCII.
        text = b"".join(piece.data for piece in pieces).decode("latin-1")
        changes = self._changes(text)
        if not changes:
            return tuple(pieces)
        cuts = [0, *accumulate(len(piece.data) for piece in pieces)]
        new, moved = _changed(text, changes)
        places = [moved(cut) for cut in cuts]
        parts = [new[begin:end].encode("latin-1") for begin, end in pairwise(places)]
        return tuple(Piece(piece.ms, part) for piece, part in zip(pieces, parts, strict=True) if part)

    def _changes(self, text: str) -> list[_Change]:
        """What to change, in order: also secrets that a stream of events spreads over several of them."""
        spread = [change for spans in fragments(text) for change in self._spread(text, spans)]
        taken = [(change.begin, change.end) for change in spread]
        plain = [_Change(*match.span(), self._placeholder(match)) for match in self._finder.find(text)]
        kept = [change for change in plain if not any(a < change.end and change.begin < b for a, b in taken)]
        return sorted([*spread, *kept], key=lambda change: change.begin)

    def _spread(self, text: str, spans: Sequence[tuple[int, int]]) -> Iterable[_Change]:
        """The placeholder goes where a secret begins; where it goes on, its parts are left out."""
        starts = [0, *accumulate(end - begin for begin, end in spans)]
        for match in self._finder.find("".join(text[begin:end] for begin, end in spans)):
            placeholder = self._placeholder(match)
            for (begin, _), start, stop in zip(spans, starts, starts[1:], strict=False):
                first, last = max(match.start(), start), min(match.end(), stop)
                if first < last:
                    yield _Change(begin + first - start, begin + last - start, placeholder)
                    placeholder = ""

    def _placeholder(self, match: re.Match[str]) -> str:
        kind, secret = type_of(match), _out_of_json(match[0])
        found = self._names.get((kind, secret))
        if found is None:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            found = self._names[kind, secret] = f"<{kind.value}:{self._counts[kind]}>"
        return found


def restored(data: bytes, secrets: Mapping[str, str]) -> bytes:
    """A part of a body with secrets in the place of their placeholders."""

    def secret(found: re.Match[bytes]) -> bytes:
        placeholder = found[0].decode()
        return _in_json(secrets.get(placeholder, placeholder)).encode("utf-8", "surrogatepass")

    return _PLACEHOLDER.sub(secret, data)


def _changed(text: str, changes: Sequence[_Change]) -> tuple[str, Callable[[int], int]]:
    """The text with its changes, and where a place of the old text is in it."""
    parts: list[str] = []
    olds, news = [0], [0]
    at, length = 0, 0
    for change in changes:
        parts += [text[at : change.begin], change.text]
        length += change.begin - at
        olds.append(change.begin)
        news.append(length)
        at, length = change.end, length + len(change.text)
        olds.append(change.end)
        news.append(length)
    parts.append(text[at:])

    def moved(place: int) -> int:
        index = bisect_left(olds, place)
        if index < len(olds) and index % 2 == 0:
            return news[index]
        return news[index - 1] + place - olds[index - 1]

    return "".join(parts), moved


def _in_json(secret: str) -> str:
    return json.dumps(secret, ensure_ascii=False)[1:-1]


def _out_of_json(secret: str) -> str:
    """A secret as it is, however deep in JSON it was found; one that spans lines is written with escapes there."""
    try:
        while "\\" in secret:
            secret = str(json.loads(f'"{secret}"', strict=False))
    except ValueError:
        pass  # A backslash of its own.
    return secret
