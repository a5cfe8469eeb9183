"""Where an operation is called: the caller's base URL, or else the document's servers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from agentrun._core.values import as_list, as_mapping
from agentrun.errors import InvalidInputError
from agentrun.toolset.openapi.document import Document, Node

_VARIABLE = re.compile(r"\{([^{}]+)\}")


def base_url(given: str) -> str:
    """A base URL of the caller's; raises InvalidInputError when it is none."""
    if not _is_base_url(given):
        text = "the base URL must be like https://host:port/path, without a query"
        raise InvalidInputError(text, field="base_url")
    return given.rstrip("/")


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return fits and not parts.query and not parts.fragment


def server_url(document: Document, holders: list[Node], variables: Mapping[str, str]) -> str:
    """The URL of the first server that the innermost of the holders names."""
    named = next(filter(are_named, holders), None)
    if named is None:
        return _absolute(document, "/")
    return _resolved(document, as_list(named.object()["servers"])[0], variables)


def are_named(holder: Node) -> bool:
    """Whether a document, a path or an operation names servers of its own."""
    return bool(as_list(holder.object().get("servers")))


def _resolved(document: Document, server: Any, variables: Mapping[str, str]) -> str:
    url = as_mapping(server).get("url")
    if not isinstance(url, str):
        raise InvalidInputError("servers[0] needs a 'url'", field="servers")
    specs = as_mapping(as_mapping(server).get("variables"))
    return _absolute(document, _VARIABLE.sub(lambda found: _value(found[1], specs, variables), url))


def _value(name: str, specs: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    allowed = as_mapping(specs.get(name))
    value = variables.get(name, allowed.get("default"))
    place = f"server_variables.{name}"
    if value is None:
        hint = f"Give server_variables={{{name!r}: ...}} or base_url"
        raise InvalidInputError(f"the server's URL needs a value for {name!r}", field=place, hint=hint)
    choices = as_list(allowed.get("enum"))
    if name in variables and choices and value not in choices:
        hint = f"Allowed are: {', '.join(map(str, choices))}"
        raise InvalidInputError(f"{place} is none of the values that are allowed", field=place, hint=hint)
    return str(value)


def _absolute(document: Document, url: str) -> str:
    found = url
    if document.uri.startswith(("http://", "https://")):
        found = urljoin(document.uri, url)
    if not found.startswith(("http://", "https://")):
        hint = "Give base_url='https://...'"
        raise InvalidInputError(f"the document does not say where its server is: {url!r}", field="servers", hint=hint)
    return base_url(found.partition("#")[0].partition("?")[0])
