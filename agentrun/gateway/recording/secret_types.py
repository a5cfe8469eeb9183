"""What secrets look like, by type; the patterns are for ASCII, and for text inside of JSON as well as for plain."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from enum import Enum


class SecretType(str, Enum):
    """What is taken out of a recording; the word of its placeholder."""

    API_KEY = "api-key"
    ACCESS_KEY_ID = "access-key-id"
    BEARER_TOKEN = "bearer-token"
    JWT = "jwt"
    PRIVATE_KEY = "private-key"
    EMAIL = "email"
    PHONE = "phone"


ALWAYS = frozenset(SecretType) - {SecretType.EMAIL, SecretType.PHONE}
# Where a word begins; the letter of an escape, as in `\nsk-...`, belongs to what comes before.
_BEGIN = r"(?:(?<![\w-])|(?<=\\[bfnrt])|(?<=\\u[\da-fA-F]{4}))"
# For what could begin with the letter of an escape itself.
_BEGIN_OF_ANY = r"(?:(?<![\w\\.%+-])|(?<=\\[bfnrt])|(?<=\\u[\da-fA-F]{4}))"
_PEM = r"(?:[A-Z\d]+ )*PRIVATE KEY-----"

# The order matters where two could begin at one place: a JWT may be a bearer token.
_PATTERNS: Mapping[SecretType, str] = {
    # Up to its end, or as far as it goes in a text that was cut; quotes end the text that it stands in.
    SecretType.PRIVATE_KEY: rf'-----BEGIN {_PEM}[^"]*?(?:-----END {_PEM}|(?=")|\Z)',
    SecretType.JWT: rf"{_BEGIN}eyJ[\w-]{{8,}}\.eyJ[\w-]{{8,}}(?:\.[\w-]*)?",
    SecretType.API_KEY: rf"{_BEGIN}(?:sk-[\w-]{{16,}}|AIza[\w-]{{35}}|(?:gsk|xai|hf)[_-]\w{{20,}}"
    r"|gh[pousr]_\w{36,}|github_pat_\w{22,}|xox[abeprs]-[\w-]{10,})",
    SecretType.ACCESS_KEY_ID: rf"{_BEGIN}(?:(?:AKIA|ASIA)[A-Z\d]{{16}}|LTAI[A-Za-z\d]{{12,26}}|STS\.[A-Za-z\d]{{16,}})"
    r"(?![A-Za-z\d])",
    SecretType.BEARER_TOKEN: r"(?<=[Bb]earer )[\w.~+/-]{16,}=*",
    SecretType.EMAIL: rf"{_BEGIN_OF_ANY}[\w.%+-]+@[A-Za-z\d-]+(?:\.[A-Za-z\d-]+)*\.[A-Za-z]{{2,}}",
    # Not a number of JSON, which would be none with a placeholder in its place.
    SecretType.PHONE: r'(?:(?<![\w.+\[-])|(?<=\\[bfnrt]))(?<!":)(?<!": )'
    r"(?:\+\d{1,3}[ .-]?(?:\(?\d{2,4}\)?[ .-]?){2,4}\d{2,4}|1[3-9]\d{9}|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4})"
    r"(?![\w-]|\.\d)",
}
PLACEHOLDERS = rf"<(?:{'|'.join(kind.value for kind in SecretType)}):\d+>"
KNOWN, PLACEHOLDER = "known", "placeholder"
_GITHUB = ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")
# Without one of these no secret of the type is in a text, which is found out much quicker than by its pattern.
_SIGNS: Mapping[str, tuple[str, ...]] = {
    SecretType.PRIVATE_KEY.name: ("PRIVATE KEY-----",),
    SecretType.JWT.name: ("eyJ",),
    SecretType.API_KEY.name: ("sk-", "AIza", "gsk", "xai", "hf_", "hf-", "_pat_", "xox", *_GITHUB),
    SecretType.ACCESS_KEY_ID.name: ("AKIA", "ASIA", "LTAI", "STS."),
    SecretType.BEARER_TOKEN.name: ("earer ",),
    SecretType.EMAIL.name: ("@",),
    PLACEHOLDER: tuple(f"<{kind.value}:" for kind in SecretType),
}


class Finder:
    """Finds secrets of some types, known ones, and placeholders if wanted; the group of a match says what it is."""

    def __init__(self, types: Collection[SecretType], known: Collection[str], *, placeholders: bool) -> None:
        found = {kind.name: _PATTERNS[kind] for kind in _PATTERNS if kind in types}
        if known:
            # The longest first, because one may be the beginning of another.
            found = {KNOWN: "|".join(map(re.escape, sorted(known, key=len, reverse=True))), **found}
        if placeholders:
            found = {PLACEHOLDER: PLACEHOLDERS, **found}
        self._patterns = found
        self._signs = {**_SIGNS, KNOWN: tuple(known)}
        self._compiled: dict[tuple[str, ...], re.Pattern[str]] = {}

    def find(self, text: str) -> Iterator[re.Match[str]]:
        """Every secret in a text, from its beginning."""
        names = tuple(name for name in self._patterns if self._may_be_in(name, text))
        return self._pattern(names).finditer(text) if names else iter(())

    def _may_be_in(self, name: str, text: str) -> bool:
        signs = self._signs.get(name)
        return signs is None or any(sign in text for sign in signs)

    def _pattern(self, names: tuple[str, ...]) -> re.Pattern[str]:
        found = self._compiled.get(names)
        if found is None:
            groups = "|".join(f"(?P<{name}>{self._patterns[name]})" for name in names)
            found = self._compiled[names] = re.compile(groups, re.ASCII)
        return found


def type_of(match: re.Match[str]) -> SecretType:
    """The type of what was found; secrets that are known by their value are API keys."""
    if match.lastgroup == PLACEHOLDER:
        return SecretType(match[0][1:].partition(":")[0])
    return SecretType.API_KEY if match.lastgroup == KNOWN else SecretType[match.lastgroup or ""]
