"""An OpenAPI document: its version, its parts, and where its references lead."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast
from urllib.parse import urldefrag, urljoin, urlsplit

from referencing import Anchor, Registry, Resource, Specification
from referencing.exceptions import Unresolvable

from agentrun._core.blocking import run
from agentrun._core.values import as_mapping, is_list, is_mapping
from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.toolset.openapi import reading
from agentrun.toolset.openapi.reading import Source

if TYPE_CHECKING:
    from typing_extensions import Self

Object: TypeAlias = "Mapping[str, Any]"

MOST_DOCUMENTS = 200
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_VERSION = re.compile(r"3\.[01](\.\d+)?(-.*)?")
_DEEPEST = 100


class Node(NamedTuple):
    """A part of a document, and how references in it are meant."""

    value: Any
    resolver: Any

    def object(self) -> Object:
        """The part as a mapping, empty when it is none."""
        return as_mapping(self.value)

    def part(self, name: str) -> Node:
        """What the part has under a name, None when there is nothing."""
        return Node(self.object().get(name), self.resolver)

    def within(self) -> Node:
        """This part, seen from inside: a schema with an `$id` is what references in it are relative to."""
        if "$id" not in self.object():
            return self
        return Node(self.value, self.resolver.in_subresource(SPECIFICATION.create_resource(self.value)))


class Document:
    """A document that was read; make one with `read` to use it for several clients, or to read it on an event loop."""

    def __init__(self, sources: list[Source]) -> None:
        self.uri = sources[0].uri
        self.root = _checked(sources[0].value)
        self.is_3_0 = str(self.root["openapi"]).startswith("3.0")
        resources = [(source.uri, SPECIFICATION.create_resource(source.value)) for source in sources]
        registry = EMPTY.with_resources(resources)
        if not self.is_3_0 and any(_names_schemas(source.value) for source in sources):
            registry = registry.crawl()
        self.top = Node(self.root, registry.resolver(self.uri))

    @classmethod
    async def read_async(cls, source: Any, config: Config | None = None) -> Self:
        """The document out of a mapping, a text, a path or a URL.

        A reference to another document is followed from a file to files below its folder, and from a URL to URLs of
        the same origin. Raises InvalidInputError, with the place, when it is no OpenAPI document of version 3.0 or 3.1.
        """
        settings = Config.with_configs(config)
        first = await reading.read(source, settings)
        _ = _checked(first.value)
        return cls(await _with_others(first, settings))

    @classmethod
    def read(cls, source: Any, config: Config | None = None) -> Self:
        """The document out of a mapping, a text, a path or a URL.

        A reference to another document is followed from a file to files below its folder, and from a URL to URLs of
        the same origin. Raises InvalidInputError, with the place, when it is no OpenAPI document of version 3.0 or 3.1.
        """
        return run(cls.read_async(source, config))

    @property
    def title(self) -> str:
        """The name that the document gives to what it describes."""
        return str(self.top.part("info").object().get("title") or "")

    def paths(self) -> Iterator[tuple[str, Node]]:
        """The paths and what is offered there."""
        for path, item in self.top.part("paths").object().items():
            if path.startswith("/"):
                yield path, follow(Node(item, self.top.resolver), f"paths.{path}")

    def __repr__(self) -> str:
        return f"Document({self.title!r}, uri={self.uri!r})"


def follow(node: Node, place: str) -> Node:
    """The part itself, or what it refers to; raises InvalidInputError when that leads nowhere."""
    for _ in range(_DEEPEST):
        reference = node.object().get("$ref")
        if not isinstance(reference, str):
            return node
        node = lookup(node, reference, place)
    raise InvalidInputError(f"{place}: $ref leads in a circle", field=place)


def lookup(node: Node, reference: str, place: str) -> Node:
    """What a reference in a part leads to; raises InvalidInputError when it leads nowhere."""
    try:
        found = node.resolver.lookup(reference)
    except (Unresolvable, ValueError, TypeError):
        hint = _outside(reference)
        raise InvalidInputError(f"{place}: $ref {reference!r} leads nowhere", field=place, hint=hint) from None
    return Node(found.contents, found.resolver)


def _outside(reference: str) -> str | None:
    if reference.startswith("#"):
        return None
    return (
        "Other documents are found only from a file, below its folder, or from a URL, on the same host: "
        "read the document from there, or put everything into one"
    )


# Checking


def _checked(value: Any) -> Object:
    if not is_mapping(value):
        raise _no_document(f"it is {_kind(value)}")
    root = value
    if "swagger" in root:
        hint = "Convert it to OpenAPI 3, for example with swagger2openapi"
        raise InvalidInputError(f"swagger: version {root['swagger']} is not supported", field="swagger", hint=hint)
    if "openapi" not in root:
        raise _no_document("it has no field 'openapi'")
    if not _VERSION.fullmatch(str(root["openapi"])):
        text = f"openapi: version {root['openapi']!r:.40} is not supported"
        raise InvalidInputError(text, field="openapi", hint="Give a document of version 3.0 or 3.1")
    _check_shape(root)
    return root


def _check_shape(root: Object) -> None:
    for name in ("paths", "components", "info"):
        _require_mapping(root.get(name, {}), name)
    for path, item in as_mapping(root.get("paths")).items():
        _require_mapping(item, f"paths.{path}")
        for method in METHODS:
            if method in item:
                _require_mapping(item[method], f"paths.{path}.{method}")


def _require_mapping(value: Any, place: str) -> None:
    if not is_mapping(value):
        raise InvalidInputError(f"{place} must be an object, not {_kind(value)}", field=place)


def _no_document(why: str) -> InvalidInputError:
    hint = "Give a document of version 3.0 or 3.1 as mapping, text, path (ending in .json, .yaml or .yml) or URL"
    return InvalidInputError(f"this is no OpenAPI document: {why}", field="schema", hint=hint)


def _kind(value: Any) -> str:
    return {"NoneType": "empty", "str": "a text", "list": "a list"}.get(type(value).__name__, type(value).__name__)


# Several documents


async def _with_others(first: Source, config: Config) -> list[Source]:
    """The document and those that it refers to, as far as they may be read."""
    found = {first.uri: first}
    waiting = [first]
    while waiting:
        for uri in _others(waiting.pop()) - found.keys():
            if _may_read(uri, first.uri):
                if len(found) >= MOST_DOCUMENTS:
                    raise InvalidInputError(f"the document refers to more than {MOST_DOCUMENTS} others", field="schema")
                found[uri] = source = await _read_other(uri, config)
                waiting.append(source)
    return list(found.values())


async def _read_other(uri: str, config: Config) -> Source:
    if uri.startswith("file:"):
        return replace(reading.read_file(reading.path_of(uri)), uri=uri)
    return await reading.read_url(uri, config)


def _may_read(uri: str, first: str) -> bool:
    """Whether a document may lead to another: it must not reach files or hosts that its reader did not mean."""
    if first.startswith("file:") and uri.startswith("file:"):
        return reading.path_of(uri).resolve().is_relative_to(reading.path_of(first).parent.resolve())
    origin, wanted = urlsplit(first), urlsplit(uri)
    return bool(first) and (origin.scheme, origin.netloc) == (wanted.scheme, wanted.netloc) != ("file", "")


def _others(source: Source) -> set[str]:
    if not source.leads_out:
        return set()
    references = {str(node["$ref"]) for node in _mappings(source.value) if isinstance(node.get("$ref"), str)}
    return {urldefrag(urljoin(source.uri, each)).url for each in references if not each.startswith("#")}


def _names_schemas(value: Any) -> bool:
    return any(isinstance(node.get("$id") or node.get("$anchor"), str) for node in _mappings(value))


def _mappings(value: Any) -> Iterator[Object]:
    """Every mapping in a value, also in examples, where there is nothing to find."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if is_mapping(part):
            yield part
            waiting.extend(part.values())
        elif is_list(part):
            waiting.extend(part)


# What `referencing` has to know of OpenAPI: only schemas of 3.1 have names, and they may be anywhere.


def _id_of(value: Any) -> str | None:
    found: Any = value.get("$id") if is_mapping(value) else None
    return found if isinstance(found, str) else None


def _subresources_of(value: Any) -> Iterator[Any]:
    return (part for part in _mappings(value) if part is not value and _id_of(part))


def _anchors_in(specification: Specification[Any], value: Any) -> Iterator[Anchor[Any]]:
    for part in _mappings(value):
        for word in ("$anchor", "$dynamicAnchor"):
            if isinstance(part.get(word), str):
                yield cast("Any", Anchor)(name=part[word], resource=specification.create_resource(part))


def _maybe_in_subresource(segments: Any, resolver: Any, subresource: Resource[Any]) -> Any:
    return resolver.in_subresource(subresource) if subresource.id() else resolver


EMPTY: Registry[Any] = cast("Any", Registry)()
SPECIFICATION: Specification[Any] = cast("Any", Specification)(  # For mypy its class takes no arguments.
    name="OpenAPI",
    id_of=_id_of,
    subresources_of=_subresources_of,
    anchors_in=_anchors_in,
    maybe_in_subresource=_maybe_in_subresource,
)
