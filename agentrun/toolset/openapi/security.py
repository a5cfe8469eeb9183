"""Credentials of a call: which security schemes an operation asks for, and where the value of each goes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from agentrun._core.credentials import Secret
from agentrun._core.names import nearest
from agentrun._core.values import is_list, is_mapping
from agentrun.errors import InvalidInputError
from agentrun.toolset.openapi.document import Document, Node, follow

# A token or key; a user name and password for `basic`; or what gives one of them whenever it is needed.
Value: TypeAlias = "str | tuple[str, str] | Callable[[], str | tuple[str, str]]"


class Target(Protocol):
    """What a credential is put into."""

    headers: dict[str, str]
    secret_query: list[tuple[str, str]]
    cookies: list[str]


@dataclass(frozen=True)
class Scheme:
    """One security scheme of the document: `place` is header, query, cookie, basic or bearer; `key` its name there."""

    name: str
    place: str
    key: str = ""

    def apply(self, value: str | tuple[str, str], target: Target) -> None:
        """Put a value where the scheme says; raises InvalidInputError when it cannot stand there."""
        if self.place == "basic":
            target.headers["authorization"] = Secret(f"Basic {self._basic(value)}")
            return
        text = self._text(value)
        if self.place == "query":
            target.secret_query.append((self.key, text))
        elif self.place == "cookie":
            target.cookies.append(f"{self.key}={text}")
        elif self.place == "bearer":
            target.headers["authorization"] = Secret(f"Bearer {text}")
        else:
            target.headers[self.key.lower()] = Secret(text)

    def _basic(self, value: str | tuple[str, str]) -> str:
        pair = value if isinstance(value, str) else ":".join(value)
        if ":" not in pair:
            raise self._unfit("needs a user name and a password", "Give a tuple of both")
        return base64.b64encode(pair.encode()).decode()

    def _text(self, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise self._unfit("needs a text that is not empty", None)
        if self.place != "query" and not (value.isascii() and value.isprintable()):
            raise self._unfit("has a value that a header cannot have", "Look for a line end at its end")
        return value

    def _unfit(self, text: str, hint: str | None) -> InvalidInputError:
        return InvalidInputError(f"the security scheme {self.name} {text}", field=f"auth.{self.name}", hint=hint)


@dataclass(frozen=True)
class Security:
    """The schemes of a document and the values that the caller has for them, which never show."""

    schemes: Mapping[str, Scheme]
    values: Mapping[str, Value] = field(repr=False)
    general: Sequence[Sequence[str]] | None

    @classmethod
    def of(cls, document: Document, auth: Mapping[str, Value] | None) -> Security:
        """The security of a document; raises InvalidInputError when a value is for a scheme that it does not have."""
        schemes = dict(_schemes(document))
        for name in auth or {}:
            if name not in schemes:
                raise _unknown(name, schemes)
        return cls(schemes, dict(auth or {}), requirements(document.top))

    def apply(self, required: Sequence[Sequence[str]] | None, target: Target) -> None:
        """Put the credentials of an operation into its request: the first way in for which all values are there.

        Where none is complete the request goes without, and the service says what it wants. In a document that asks
        for nothing anywhere, every value that was given is used.
        """
        for name in self._chosen(self.general if required is None else required):
            value = self.values[name]
            self.schemes[name].apply(value() if callable(value) else value, target)

    def _chosen(self, ways: Sequence[Sequence[str]] | None) -> Sequence[str]:
        if not self.values:
            return ()
        if ways is None:
            return list(self.values)
        complete = [way for way in ways if all(name in self.values for name in way)]
        return max(complete, key=bool, default=())  # A way in without credentials is the last choice.


def requirements(node: Node) -> list[list[str]] | None:
    """The ways in that a document or an operation asks for, each by its schemes; None when it does not say."""
    listed = node.object().get("security")
    if not is_list(listed):
        return None
    ways = (way for way in listed if is_mapping(way))
    return [list(way) for way in ways]


def _unknown(name: str, schemes: Mapping[str, Scheme]) -> InvalidInputError:
    suggestion = nearest(name, schemes)
    known = f"Known are: {', '.join(schemes)}" if schemes else "The document has none: give headers or query_params"
    hint = f"Did you mean {suggestion}?" if suggestion else known
    return InvalidInputError(f"there is no security scheme {name!r}", field=f"auth.{name}", hint=hint)


def _schemes(document: Document) -> Iterator[tuple[str, Scheme]]:
    holder = document.top.part("components").part("securitySchemes")
    for name in holder.object():
        raw = follow(holder.part(name), f"components.securitySchemes.{name}").object()
        yield name, Scheme(name, *_place(raw, name))


def _place(raw: Mapping[str, Any], name: str) -> tuple[str, str]:
    kind = raw.get("type")
    if kind == "apiKey":
        place, key = str(raw.get("in")), str(raw.get("name") or "")
        if place not in ("header", "query", "cookie") or not key:
            text = f"the security scheme {name} needs 'name', and 'in' as one of header, query, cookie"
            raise InvalidInputError(text, field=f"components.securitySchemes.{name}")
        return place, key
    if kind == "http" and str(raw.get("scheme")).lower() == "basic":
        return "basic", ""
    if kind == "http" and str(raw.get("scheme")).lower() != "bearer":
        return "header", "authorization"  # Any other scheme of HTTP: the value is all that follows the header's name.
    return "bearer", ""
