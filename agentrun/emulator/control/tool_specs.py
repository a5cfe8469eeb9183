"""What the text in a tool's `protocolSpec`, or in a tool set's `spec.schema.detail`, says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from agentrun._core.values import is_list, is_object, section
from agentrun._core.yaml_text import read_yaml
from agentrun.emulator.vault import MASK
from agentrun.emulator.wire.envelope import ServiceError, invalid

STREAMABLE_HTTP, SSE = "streamable-http", "sse"
_TRANSPORTS = {"streamablehttp": STREAMABLE_HTTP, "http": STREAMABLE_HTTP, "sse": SSE}
_TRANSPORT_FIELDS = ("transportType", "transport", "type")
_SECRET_FIELDS = ("env", "headers")


@dataclass(frozen=True)
class McpServer:
    """An MCP server: where it is, or how it is started."""

    name: str
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    transport: str | None = None
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


def read_mcp_server(text: str | None, where: str) -> McpServer:
    """The one server that `{"mcpServers": {name: {...}}}` describes. Raises ServiceError (400)."""
    wanted = f'{where} must be JSON like {{"mcpServers": {{"name": {{"url": ...}} or {{"command": ...}}}}}}'
    if not text:
        raise invalid(f"{wanted}; it is missing")
    try:
        servers = json.loads(text)["mcpServers"]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise invalid(f"{wanted}: {error!r}") from error
    if not is_object(servers) or len(servers) != 1:
        raise invalid(f"{wanted}, with exactly one server")
    name, entry = next(iter(servers.items()))
    if not is_object(entry):
        raise invalid(f"{wanted}; {name} is no object")
    place = f"{where}.mcpServers.{name}"
    return McpServer(
        name,
        _url(entry, place),
        _texts(entry, "headers", place),
        _transport(entry, place),
        _command(entry, place),
        _texts(entry, "env", place),
    )


def _url(entry: Mapping[str, Any], place: str) -> str | None:
    url = entry.get("url")
    if url is None:
        return None
    if not isinstance(url, str):
        raise invalid(f"{place}.url must be a string")
    check_url(url, f"{place}.url")
    return url


def check_url(url: str, where: str) -> None:
    """Refuse (400) what is no absolute URL of HTTP."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or any(sign.isspace() for sign in url):
        raise invalid(f"{where} must be an absolute URL that begins with http:// or https://, not {url[:200]!r}")


def _transport(entry: Mapping[str, Any], place: str) -> str | None:
    for name in _TRANSPORT_FIELDS:
        if (given := entry.get(name)) is None:
            continue
        found = _TRANSPORTS.get(str(given).lower().replace("-", "").replace("_", ""))
        if found is None and str(given).lower() != "stdio":
            raise invalid(f"{place}.{name} must be {SSE} or {STREAMABLE_HTTP}, not {given!r}")
        return found
    return None


def _command(entry: Mapping[str, Any], place: str) -> tuple[str, ...]:
    command: Any = entry.get("command")
    arguments: Any = entry.get("args") or []
    if command is None:
        return ()
    if not isinstance(command, str) or not command:
        raise invalid(f"{place}.command must be the name of a program")
    if not is_list(arguments) or not all(isinstance(each, str) for each in arguments):
        raise invalid(f"{place}.args must be a list of strings")
    return command, *arguments


def _texts(entry: Mapping[str, Any], name: str, place: str) -> dict[str, str]:
    found: Any = entry.get(name) or {}
    if not is_object(found) or not all(isinstance(value, str) for value in found.values()):
        raise invalid(f"{place}.{name} must be an object whose values are strings")
    for key, value in found.items():
        if name == "headers" and (not _is_plain(key) or not _is_plain(value)):
            raise invalid(f"{place}.headers: {key!r} cannot be sent as a header")
    return found


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


# OpenAPI


def read_openapi(text: str | None, where: str) -> dict[str, Any]:
    """An OpenAPI document in JSON or YAML. Raises ServiceError (400)."""
    if not text:
        raise invalid(f"{where} is required: an OpenAPI document in JSON or YAML")
    document = _parsed(text, where)
    if not is_object(document) or not str(document.get("openapi", "")).startswith("3."):
        raise invalid(f"{where} must be an OpenAPI 3 document: it has no openapi: 3.x")
    if not is_object(document.get("paths")):
        raise invalid(f"{where} must be an OpenAPI document with paths")
    return document


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:
            return read_yaml(text)
        except ValueError as error:
            raise invalid(f"{where} is neither JSON nor YAML: {error}") from error


def server_url(document: Mapping[str, Any], where: str) -> str:
    """The URL of a document's first server, variables filled in by their defaults. Raises ServiceError (400)."""
    servers: Any = document.get("servers")
    first = servers[0] if is_list(servers) and servers else None
    if not is_object(first) or not isinstance(first.get("url"), str):
        raise invalid(f"{where}.servers is required: the first one's url is where calls go")
    url: str = first["url"]
    for name, variable in section(first, "variables").items():
        default = variable.get("default") if is_object(variable) else None
        url = url.replace(f"{{{name}}}", str(default or ""))
    check_url(url, f"{where}.servers[0].url")
    return url.rstrip("/")


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each operation of a document: its method, path and description."""
    for path, item in section(document, "paths").items():
        for method in ("get", "put", "post", "delete", "options", "head", "patch", "trace"):
            operation = item.get(method) if is_object(item) else None
            if is_object(operation):
                yield method.upper(), path, operation


def security_scheme(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scheme by which a document's calls prove who calls: the first it requires, else the first there is."""
    schemes = section(section(document, "components"), "securitySchemes")
    required: Any = document.get("security")
    wanted = [name for each in required for name in each if is_object(each)] if is_list(required) else []
    found = next((schemes[name] for name in (*wanted, *schemes) if name in schemes), None)
    return found if is_object(found) else {}


# For those who look at a text without knowing what it is


def addresses(text: str) -> list[str] | None:
    """Every URL that a text tells the emulator to connect to; None when it cannot be read."""
    try:
        document = _parsed(text, "")
    except ServiceError:
        return None
    return list(_urls(document))


def _urls(value: Any) -> Iterator[str]:
    if is_object(value):
        servers, named = value.get("servers"), value.get("mcpServers")
        each = [*(servers if is_list(servers) else ()), *(named.values() if is_object(named) else ())]
        yield from (str(server["url"]) for server in each if is_object(server) and "url" in server)


def masked(text: str) -> str:
    """A text with the secrets of its MCP servers masked; other texts have none."""
    try:
        document = json.loads(text)
    except ValueError:
        return text
    servers = document.get("mcpServers") if is_object(document) else None
    entries = [entry for entry in servers.values() if is_object(entry)] if is_object(servers) else []
    secret = [(entry, name) for entry in entries for name in _SECRET_FIELDS if is_object(entry.get(name))]
    for entry, name in secret:
        entry[name] = dict.fromkeys(cast("dict[str, Any]", entry[name]), MASK)
    return json.dumps(document, ensure_ascii=False) if secret else text
