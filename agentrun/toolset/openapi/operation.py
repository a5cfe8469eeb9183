"""An operation as a tool: its flat arguments, and the request that they become."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentrun._core.values import is_list, is_mapping
from agentrun.toolset.arguments import checked_arguments
from agentrun.toolset.dialect import Schema
from agentrun.toolset.openapi import media, naming
from agentrun.toolset.openapi.body import Body, is_file_part_schema, read_body
from agentrun.toolset.openapi.document import Node, follow
from agentrun.toolset.openapi.files import is_file
from agentrun.toolset.openapi.parameters import Parameter, read_parameters
from agentrun.toolset.openapi.schemas import Schemas
from agentrun.toolset.openapi.security import requirements
from agentrun.toolset.schema import ToolDefinition

LONGEST_DESCRIPTION = 1024  # What model providers take.
_PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")
_GROUPS = {
    "path": "path",
    "query": "query",
    "header": "header",
    "headers": "header",
    "cookie": "cookie",
    "body": "body",
}


@dataclass(frozen=True)
class Argument:
    """One argument: where it goes, the name that it has there, and its parameter when it is one."""

    name: str
    location: str
    wire: str
    schema: Any
    parameter: Parameter | None = None
    takes_files: bool = False


@dataclass
class Draft:
    """A request that is being made; `secret_query` holds what the result must not show."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict[str, str])
    query: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    secret_query: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    cookies: list[str] = field(default_factory=list[str])
    content: bytes | None = None


class Operation:
    """One operation of a document."""

    def __init__(self, name: str, method: str, path: str, item: Node, node: Node, schemas: Schemas) -> None:
        self.name = name
        self.method = method.upper()
        self.path = path
        self.holders = [node, item]
        self.security = requirements(node)
        place = f"paths.{path}.{method}"
        uses: set[str] = set()
        parameters = read_parameters(item, node, schemas, uses, place)
        self.body = read_body(node, schemas, uses, place)
        self.arguments = _arguments([*parameters, *_undeclared(path, parameters)], self.body)
        self.accept = media.accepted(_answered(node, place))
        self.definition = ToolDefinition(name, _description(node), self._schema(schemas, uses))
        self._by_wire = {(each.location, each.wire): each.name for each in self.arguments.values()}
        self._files = [each.name for each in self.arguments.values() if each.takes_files]

    # The schema

    def _schema(self, schemas: Schemas, uses: set[str]) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {name: each.schema for name, each in self.arguments.items()},
            "required": self._required(),
            "additionalProperties": self._others(),
        }
        if not schema["required"]:
            del schema["required"]
        together = self._together()
        if together:
            schema["dependentRequired"] = together
        definitions = schemas.definitions(uses)
        if definitions:
            schema["$defs"] = definitions
        return schema

    def _others(self) -> Any:
        properties = self.body.properties if self.body else None
        return properties.others if properties else False

    def _required(self) -> list[str]:
        return [name for name, each in self.arguments.items() if self._is_required(each)]

    def _is_required(self, argument: Argument) -> bool:
        if argument.parameter is not None:
            return argument.parameter.required
        if self.body is None or not self.body.required:
            return False
        return self.body.properties is None or argument.wire in self.body.properties.required

    def _together(self) -> dict[str, list[str]]:
        """What has to be given with each part of a body that may be left away as a whole."""
        if self.body is None or self.body.required or self.body.properties is None:
            return {}
        parts = {each.wire: each.name for each in self.arguments.values() if each.location == "body"}
        needed = [parts[wire] for wire in self.body.properties.required]
        with_each = {name: [other for other in needed if other != name] for name in parts.values()}
        return {name: others for name, others in with_each.items() if others}

    # The request

    def checked(self, arguments: Mapping[str, Any] | None) -> dict[str, Any]:
        """The arguments by their own names; raises InvalidInputError when they do not fit."""
        given = self._renamed(arguments or {})
        files = {name: given[name] for name in self._files if name in given and _holds_file(given[name])}
        if not files:
            return checked_arguments(self.name, self.definition.parameters, given)
        # The schema is that of the text which stands for a file.
        texts = {name: [""] * len(value) if is_list(value) else "" for name, value in files.items()}
        return {**checked_arguments(self.name, self.definition.parameters, {**given, **texts}), **files}

    def _renamed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by their own names, when they have those of the wire or are grouped by location."""
        if arguments.keys() <= self.arguments.keys():
            return dict(arguments)
        found: dict[str, Any] = {}
        for name, value in arguments.items():
            if name in _GROUPS and name not in self.arguments and is_mapping(value):
                group = _GROUPS[name]
                for wire, part in value.items():
                    found[self._by_wire.get((group, wire), wire)] = part
            else:
                found[self._own_name(name)] = value
        return found

    def _own_name(self, name: str) -> str:
        if name in self.arguments:
            return name
        return next((each.name for each in self.arguments.values() if each.wire == name), name)

    def draft(self, base: str, arguments: Mapping[str, Any]) -> Draft:
        """The request of checked arguments, without what the caller's settings add."""
        draft = Draft(self.method, "", {"accept": self.accept})
        path: dict[str, str] = {}
        body: dict[str, Any] = {}
        for name, value in arguments.items():
            argument = self.arguments.get(name)
            if argument is None or argument.parameter is None:
                body[argument.wire if argument else name] = value
            elif value is not None or argument.location == "path":
                _place(argument.parameter, value, path, draft)
        draft.url = base + _PLACEHOLDER.sub(lambda found: path[found[1]], self.path)
        self._write_body(draft, body)
        return draft

    def _write_body(self, draft: Draft, parts: dict[str, Any]) -> None:
        if self.body is None or not (parts or (self.body.required and self.body.properties)):
            return
        value = parts if self.body.properties else parts["body"]
        draft.content, draft.headers["content-type"] = self.body.content(value)


def _place(parameter: Parameter, value: Any, path: dict[str, str], draft: Draft) -> None:
    if parameter.location == "path":
        path[parameter.name] = parameter.in_path(value)
    elif parameter.location == "query":
        draft.query += parameter.in_query(value)
    elif parameter.location == "header":
        draft.headers[parameter.name.lower()] = parameter.in_header(value)
    else:
        draft.cookies.append(parameter.in_cookie(value))


def _holds_file(value: Any) -> bool:
    if is_list(value):
        return any(map(is_file, value))
    return is_file(value)


def _undeclared(path: str, parameters: list[Parameter]) -> list[Parameter]:
    """Parameters for the placeholders that a document forgot to declare."""
    known = {each.name for each in parameters if each.location == "path"}
    missing = [name for name in dict.fromkeys(_PLACEHOLDER.findall(path)) if name not in known]
    return [Parameter(name, "path", True, "simple", False, False, None, {"type": "string"}) for name in missing]


def _arguments(parameters: list[Parameter], body: Body | None) -> dict[str, Argument]:
    """The arguments by name: path, query, header, cookie, body; where names clash, the first keeps it."""
    found: dict[str, Argument] = {}

    def add(
        location: str, wire: str, schema: Any, parameter: Parameter | None = None, takes_files: bool = False
    ) -> None:
        name = naming.argument_name(wire, location, found)
        found[name] = Argument(name, location, wire, schema, parameter, takes_files)

    for each in sorted(parameters, key=lambda each: each.location != "path"):
        add(each.location, each.name, each.schema, each)
    if body and body.properties:
        for wire, schema in body.properties.schemas.items():
            add("body", wire, schema, takes_files=is_file_part_schema(schema))
    elif body:
        add("body", "body", body.schema, takes_files=body.is_file)
    return found


def _answered(node: Node, place: str) -> list[str]:
    """The media types of the answers that are no errors."""
    responses = node.part("responses")
    wanted = [status for status in responses.object() if str(status).startswith("2")]
    return [
        kind
        for status in wanted or [status for status in responses.object() if status == "default"]
        for kind in follow(responses.part(status), f"{place}.responses.{status}").part("content").object()
    ]


def _description(node: Node) -> str:
    raw = node.object()
    parts = [str(raw[word]).strip() for word in ("summary", "description") if isinstance(raw.get(word), str)]
    text = "\n\n".join(dict.fromkeys(part for part in parts if part))
    if raw.get("deprecated") is True:
        text = f"Deprecated. {text}".strip()
    return text if len(text) <= LONGEST_DESCRIPTION else text[: LONGEST_DESCRIPTION - 1].rstrip() + "…"
