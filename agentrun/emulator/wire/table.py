"""The operations of the control plane, compiled from the wire contract: routing and checking of requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

from agentrun._core.values import is_object
from agentrun.emulator.wire.envelope import ServiceError, invalid
from agentrun.emulator.wire.schema import Report, SchemaCheck, nearest

# What the emulator accepts beyond the contract: names in a query that begin so, and fields of a schema. Whoever serves
# the operation checks what is inside those of type Any.
_QUERY_EXTENSIONS = {"ListSandboxes": "metadata."}
_FIELD_EXTENSIONS: Mapping[str, Mapping[str, str]] = {
    "ProxyConfigEndpoints": {"concurrencyLimit": "int", "modelMapping": "Dict[str, str]"},
    "ProxyConfigPolicies": {"gateway": "Any"},
    "CredentialPublicConfig": {"allowedHosts": "List[str]"},
}
CONTRACT = "control-2025-09-10.json"
PREFIX = "/2025-09-10/"
# Tool sets have an API of their own; nobody has seen how it creates and changes them, so that part is assumed.
DEVS_CONTRACT = "devs-2023-07-14.json"
DEVS_PREFIX = "/2023-07-14/"


@dataclass(frozen=True)
class Operation:
    """One operation of the contract."""

    action: str
    method: str
    path: str
    query: tuple[str, ...] = ()
    body: str | None = None
    body_fields: tuple[str, ...] = ()
    response: str = ""


@dataclass
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict["str", "_Node"])
    placeholder: tuple[str, _Node] | None = None
    operations: dict[str, Operation] = field(default_factory=dict[str, Operation])


class Table:
    """All operations: which one a request means, and whether its query and body fit."""

    def __init__(self, contract: Mapping[str, Any]) -> None:
        self.schemas: Mapping[str, Any] = contract["schemas"]
        self.operations = tuple(_operation(spec) for spec in contract["operations"])
        self.schema_check = SchemaCheck({name: _extended(name, fields) for name, fields in self.schemas.items()})
        self._root = _Node()
        for operation in self.operations:
            self._add(operation)

    def _add(self, operation: Operation) -> None:
        node = self._root
        for part in operation.path.strip("/").split("/"):
            if part.startswith("{"):
                node.placeholder = node.placeholder or (part, _Node())
                node = node.placeholder[1]
            else:
                node = node.literals.setdefault(part, _Node())
        node.operations[operation.method] = operation

    def route(self, method: str, raw_path: str) -> tuple[Operation, tuple[str, ...]]:
        """The operation of a request and the decoded names in its path.

        `raw_path` is still percent-encoded, since a name may hold a slash. Raises ServiceError (404, 405).
        """
        node = self._root
        names: list[str] = []
        for part in raw_path.strip("/").split("/"):
            following = node.literals.get(part)
            if following is None and node.placeholder is not None:
                following = node.placeholder[1]
                names.append(unquote(part))
            if following is None:
                raise ServiceError(404, "InvalidAction.NotFound", f"the API has no path {raw_path}")
            node = following
        if not node.operations:
            raise ServiceError(404, "InvalidAction.NotFound", f"the API has no path {raw_path}")
        operation = node.operations.get(method)
        if operation is None:
            allowed = ", ".join(sorted(node.operations))
            raise ServiceError(405, "UnsupportedHTTPMethod", f"{raw_path} takes {allowed}, not {method}")
        return operation, tuple(names)

    def check(self, operation: Operation, query: Mapping[str, str], body: Any, report: Report) -> None:
        """Report everything in a request that the contract does not know or does not allow."""
        for name in query:
            if name not in operation.query and not _is_extension(operation, name):
                report(f"query parameter {name} is unknown: {nearest(name, operation.query)}")
        if operation.body is not None:
            for problem in self.schema_check.problems(operation.body, body):
                report(problem)
        elif body:
            self._check_fields(operation, body, report)

    def _check_fields(self, operation: Operation, body: Any, report: Report) -> None:
        """Report what is wrong with a body that has no schema, only names of fields."""
        if not is_object(body):
            report(f"the body must be an object, not {type(body).__name__}")
        elif not operation.body_fields:
            report(f"{operation.action} takes no body")
        else:
            for name in body:
                if name not in operation.body_fields:
                    report(f"{name} is not a field of {operation.action}: {nearest(name, operation.body_fields)}")

    def fields(self, schema: str) -> Mapping[str, Any]:
        """The fields of a schema with their types."""
        found: Mapping[str, Any] = self.schemas[schema]
        return found


def _is_extension(operation: Operation, name: str) -> bool:
    prefix = _QUERY_EXTENSIONS.get(operation.action)
    return prefix is not None and name.startswith(prefix)


def _extended(schema: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    more = _FIELD_EXTENSIONS.get(schema, {})
    return {**fields, **{name: {"type": kind} for name, kind in more.items()}}


def _operation(spec: Mapping[str, Any]) -> Operation:
    return Operation(
        spec["action"],
        spec["method"],
        spec["path"],
        tuple(spec.get("query", ())),
        spec.get("body"),
        tuple(spec.get("bodyFields", ())),
        spec.get("response", ""),
    )


@lru_cache(maxsize=2)
def table(contract: str = CONTRACT) -> Table:
    """A compiled contract that ships with the package."""
    text = files("agentrun.emulator.wire").joinpath(contract).read_text(encoding="utf-8")
    return Table(json.loads(text))


def whole_number(query: Mapping[str, str], name: str, default: int, *, most: int, least: int = 1) -> int:
    """A whole number out of a query; raises ServiceError (400) when it is not one."""
    text = query.get(name, "")
    if not text:
        return default
    # Neither digits of other scripts nor more of them than Python reads.
    plain = text.isascii() and text.isdigit() and len(text) < 20
    if not plain or not least <= int(text) <= most:
        raise invalid(f"query parameter {name} must be a whole number from {least} to {most}, not {text[:40]!r}")
    return int(text)
