"""What a tool is to whoever calls it: a name, a description, and the JSON schema of its arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from agentrun._core.model import Model
from agentrun._core.values import is_mapping
from agentrun.errors import InvalidInputError

if TYPE_CHECKING:
    from typing_extensions import Self

_NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}}


@dataclass(frozen=True)
class ToolDefinition:
    """A tool as the engines know it; `parameters` is a JSON schema of an object, which is shared and never changed."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


class ToolSchema(Model):
    """A JSON schema with its usual keywords as attributes; every other keyword is kept as it is."""

    model_config = ConfigDict(extra="allow")

    type: str | list[str] | None = None
    description: str | None = None
    title: str | None = None
    properties: dict[str, ToolSchema | bool] | None = None
    required: list[str] | None = None
    additional_properties: bool | ToolSchema | None = None
    items: ToolSchema | bool | list[ToolSchema | bool] | None = None
    min_items: int | None = None
    max_items: int | None = None
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    format: str | None = None
    enum: list[Any] | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    exclusive_minimum: int | float | bool | None = None
    exclusive_maximum: int | float | bool | None = None
    any_of: list[ToolSchema | bool] | None = None
    one_of: list[ToolSchema | bool] | None = None
    all_of: list[ToolSchema | bool] | None = None
    default: Any = None

    @classmethod
    def from_any_openapi_schema(cls, schema: Any) -> Self:
        """The schema out of a mapping, its JSON text, or an object of another library that can be turned into one.

        Raises InvalidInputError when it is no JSON schema.
        """
        if isinstance(schema, cls):
            return schema.model_copy(deep=True)
        try:
            return cls.model_validate(_mapping(schema), by_alias=True, by_name=False)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            path = ".".join(str(part) for part in problem["loc"])
            raise InvalidInputError(f"this is no JSON schema: {path}: {problem['msg']}", field=path) from None

    def to_json_schema(self) -> dict[str, Any]:
        """The JSON schema, the same that this was made from."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class ToolInfo(Model):
    """A tool as it is listed."""

    name: str | None = None
    description: str | None = None
    parameters: ToolSchema | None = None

    @classmethod
    def from_definition(cls, definition: ToolDefinition) -> Self:
        """The listed form of a tool that an engine knows."""
        schema = ToolSchema.from_any_openapi_schema(definition.parameters)
        return cls(name=definition.name, description=definition.description, parameters=schema)

    @classmethod
    def from_mcp_tool(cls, tool: Any) -> Self:
        """The tool out of what an MCP server lists: the `mcp` package's object, or its fields; without a schema it
        takes no arguments.

        Raises InvalidInputError when it has no name.
        """
        return cls.from_definition(definition_of_mcp_tool(tool))

    def to_definition(self) -> ToolDefinition:
        """The form that engines work with."""
        schema = _NOTHING if self.parameters is None else self.parameters.to_json_schema()
        return ToolDefinition(self.name or "", self.description or "", schema)


def definition_of_mcp_tool(tool: Any) -> ToolDefinition:
    """The definition out of what an MCP server lists; raises InvalidInputError when it has no name."""
    name = _part(tool, "name")
    if not isinstance(name, str) or not name:
        raise InvalidInputError(f"{type(tool).__name__} is no tool of an MCP server: it has no name", field="name")
    schema = _part(tool, "inputSchema") or _part(tool, "input_schema")
    return ToolDefinition(name, str(_part(tool, "description") or ""), _mapping(schema) if schema else _NOTHING)


def _part(tool: Any, name: str) -> Any:
    return tool.get(name) if is_mapping(tool) else getattr(tool, name, None)


def _mapping(schema: Any) -> Mapping[str, Any]:
    """A schema in whatever form as a mapping; models of other libraries are known by the method that dumps them."""
    found = schema
    if isinstance(schema, BaseModel):
        found = schema.model_dump(by_alias=True, exclude_unset=True)
    elif isinstance(schema, str):
        found = _from_text(schema)
    elif hasattr(schema, "to_map"):  # A model of the cloud's own clients.
        found = schema.to_map()
    if not is_mapping(found):
        raise InvalidInputError(
            f"{type(schema).__name__} is no JSON schema", hint="Give a mapping such as {'type': 'object'}"
        )
    return found


def _from_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"the JSON schema is no JSON: {error}") from None
