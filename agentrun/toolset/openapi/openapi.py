"""A document's operations as tools, and their calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlencode

from agentrun._core.api import USER_AGENT, query_pairs, timeouts
from agentrun._core.blocking import run
from agentrun._core.credentials import Secret
from agentrun._core.names import nearest
from agentrun._core.session import Request, Signer, Timeouts
from agentrun._core.values import is_mapping
from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.toolset.openapi import naming, servers
from agentrun.toolset.openapi.document import METHODS, Document, Node
from agentrun.toolset.openapi.operation import Draft, Operation
from agentrun.toolset.openapi.result import OpenAPIResult
from agentrun.toolset.openapi.schemas import Schemas
from agentrun.toolset.openapi.security import Security, Value
from agentrun.toolset.schema import ToolDefinition, ToolInfo
from agentrun.toolset.tracing import tool_call


@dataclass(frozen=True)
class _Entry:
    """Where an operation is in the document; it is read when it is first needed."""

    method: str
    path: str
    item: Node
    node: Node


class OpenAPI:
    """The tools of an OpenAPI document of version 3.0 or 3.1.

    `schema` is the document: a mapping, its JSON or YAML text, a path, a URL (which is fetched at once; on an event
    loop give the `Document` that `await Document.read_async(url)` made). `base_url` replaces the document's servers,
    whose variables are `server_variables`. `headers` and `query_params` go with every call; the Config's own headers
    only where `base_url` was given, since a document may name anybody's server. `auth` has a value for each security
    scheme: a text, a tuple of user name and password, or a function without arguments that gives one, which is asked
    at each call. `timeout` is in seconds and bounds a whole call. `sign` gives headers for each request that is about
    to be sent, such as a signature; they win over all others.

    Raises InvalidInputError, with the place, when the document is none.
    """

    def __init__(
        self,
        schema: Any,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        query_params: Mapping[str, Any] | None = None,
        config: Config | None = None,
        timeout: float | None = None,
        *,
        auth: Mapping[str, Value] | None = None,
        server_variables: Mapping[str, str] | None = None,
        sign: Signer | None = None,
    ) -> None:
        self.document = schema if isinstance(schema, Document) else Document.read(schema, config)
        self.base_url = servers.base_url(base_url) if base_url else None
        self.timeout = timeout
        self.config = config
        self._sign = sign
        self._headers = {name.lower(): Secret(value) for name, value in (headers or {}).items()}
        self._query: list[tuple[str, str]] = [(name, Secret(value)) for name, value in query_pairs(query_params)]
        self._security = Security.of(self.document, auth)
        self._variables = dict(server_variables or {})
        self._sign = sign
        self._reading = Lock()
        self._schemas = Schemas(self.document)
        self._entries = dict(_named(self.document))
        self._ids = _ids(self._entries)
        self._operations: dict[str, Operation] = {}
        self._bases: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"OpenAPI({self.document.title!r}, {len(self._entries)} tools)"

    # Tools

    def definitions(self) -> list[ToolDefinition]:
        """All tools in the document's order, in the form that is cheap."""
        return [self.operation(name).definition for name in self._entries]

    def list_tools(self, name: str | None = None) -> list[ToolInfo]:
        """All tools in the document's order, or only the one of a name; empty when there is none of it."""
        if name is None:
            return [ToolInfo.from_definition(definition) for definition in self.definitions()]
        return [ToolInfo.from_definition(self.operation(name).definition)] if self.has_tool(name) else []

    def has_tool(self, name: str) -> bool:
        """Whether there is a tool of a name; the `operationId` in the document is a name of it too."""
        return name in self._entries or name in self._ids

    def operation(self, name: str) -> Operation:
        """The operation behind a tool; raises InvalidInputError when there is none, or what it refers to is missing."""
        own = name if name in self._entries else self._ids.get(name, name)
        return self._operations.get(own) or self._read(own)

    def _read(self, name: str) -> Operation:
        entry = self._entries.get(name)
        if entry is None:
            raise self._unknown(name)
        try:
            with self._reading:  # The definitions that operations share are converted by one thread at a time.
                found = Operation(name, entry.method, entry.path, entry.item, entry.node, self._schemas)
        except RecursionError:
            place = f"paths.{entry.path}.{entry.method}"
            raise InvalidInputError(f"{place} is nested too deeply", field=place, hint="Use $ref") from None
        return self._operations.setdefault(name, found)

    def _unknown(self, name: str) -> InvalidInputError:
        suggestion = nearest(name, self._entries)
        some = ", ".join(list(self._entries)[:10])
        hint = f"Did you mean {suggestion}?" if suggestion else f"There are {len(self._entries)} tools: {some}"
        return InvalidInputError(f"there is no tool {name!r}", field="name", hint=hint)

    @property
    def server_url(self) -> str | None:
        """The base URL, or else that of the document's own first server; None when there is neither."""
        if self.base_url or not servers.are_named(self.document.top):
            return self.base_url
        return servers.server_url(self.document, [self.document.top], self._variables)

    # Calls

    async def invoke_tool_async(
        self, name: str, arguments: Mapping[str, Any] | None = None, config: Config | None = None
    ) -> OpenAPIResult:
        """The answer to a call, whatever its status.

        Arguments are flat, as the tool's schema says. Raises InvalidInputError, whose `field` names what does not fit,
        ConnectError, RequestTimeoutError and TransportError.
        """
        settings = Config.with_configs(self.config, config)
        operation = self.operation(name)
        draft = operation.draft(self._base(operation), operation.checked(arguments))
        self._complete(draft, operation, settings)
        shown, url = _addresses(draft, self._query)
        request = Request(
            draft.method, url, draft.headers, draft.content, self._timeouts(settings), settings.get_max_retries()
        )
        with tool_call(name, "extension") as span:
            reply = await settings.session.send(request, self._sign)
            span.set({"http.request.method": draft.method, "http.response.status_code": reply.status})
            if reply.status >= 400:
                span.fail(str(reply.status))
        return OpenAPIResult.of(reply, draft.method, shown)

    def invoke_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, config: Config | None = None
    ) -> OpenAPIResult:
        """The answer to a call, whatever its status.

        Arguments are flat, as the tool's schema says. Raises InvalidInputError, whose `field` names what does not fit,
        ConnectError, RequestTimeoutError and TransportError.
        """
        return run(self.invoke_tool_async(name, arguments, config))

    def _base(self, operation: Operation) -> str:
        if self.base_url:
            return self.base_url
        found = self._bases.get(operation.name)
        if found is None:
            holders = [*operation.holders, self.document.top]
            found = self._bases[operation.name] = servers.server_url(self.document, holders, self._variables)
        return found

    def _complete(self, draft: Draft, operation: Operation, settings: Config) -> None:
        """Add what the settings say: what the caller gave wins over what the arguments made."""
        draft.headers.setdefault("user-agent", USER_AGENT)
        if self.base_url:
            draft.headers.update((name.lower(), value) for name, value in settings.headers.items())
        self._security.apply(operation.security, draft)
        draft.headers.update(self._headers)
        if draft.cookies:
            given = draft.headers.get("cookie")
            draft.headers["cookie"] = "; ".join([*([given] if given else []), *draft.cookies])

    def _timeouts(self, settings: Config) -> Timeouts:
        times = timeouts(settings)
        if self.timeout is None:
            return times
        return Timeouts(self.timeout, min(times.connect, self.timeout), self.timeout)


def _addresses(draft: Draft, given: list[tuple[str, str]]) -> tuple[str, str]:
    """The URL of a request as it may be shown, and as it is sent."""
    query = "&".join(f"{name}={value}" for name, value in draft.query)
    secret = [*given, *draft.secret_query]
    if not secret:
        url = _with_query(draft.url, query)
        return url, url
    hidden = urlencode([(name, "***") for name, _ in secret], safe="*")
    return _with_query(draft.url, query, hidden), Secret(_with_query(draft.url, query, urlencode(secret)))


def _with_query(url: str, *parts: str) -> str:
    query = "&".join(part for part in parts if part)
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _named(document: Document) -> Iterator[tuple[str, _Entry]]:
    """The operations by the names of their tools."""
    taken: set[str] = set()
    for path, item in document.paths():
        for method in METHODS:
            node = item.part(method)
            if is_mapping(node.value):
                wanted = node.object().get("operationId")
                plain = naming.tool_name(wanted) if isinstance(wanted, str) else naming.operation_name(method, path)
                name = naming.distinct_tool_name(plain, method, path, taken)
                taken.add(name)
                yield name, _Entry(method, path, item, node)


def _ids(entries: Mapping[str, _Entry]) -> dict[str, str]:
    """The names of tools by operation ids that are no names themselves."""
    found: dict[str, str] = {}
    for name, entry in entries.items():
        wanted = entry.node.object().get("operationId")
        if isinstance(wanted, str):
            found.setdefault(wanted, name)
    return found
