"""One argument of a tool, written by hand; and JSON Schema as models are shown it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from agentrun.errors import InvalidInputError

Schema: TypeAlias = Mapping[str, Any]

TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")


@dataclass(frozen=True)
class ToolParameter:
    """One argument of a tool: `param_type` is a type of JSON Schema; `items` and `properties` hold schemas."""

    name: str
    param_type: str
    description: str = ""
    required: bool = False
    default: Any = None
    enum: list[Any] | None = None
    items: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    format: str | None = None
    nullable: bool = False

    def __post_init__(self) -> None:
        if self.param_type not in TYPES:
            raise InvalidInputError(
                f"{self.param_type!r} is no type of the argument {self.name}",
                field="param_type",
                hint=f"Known are: {', '.join(TYPES)}",
            )

    def to_json_schema(self) -> dict[str, Any]:
        """The argument as JSON Schema."""
        given = {
            "description": self.description or None,
            "default": self.default,
            "enum": self.enum,
            "items": self.items,
            "properties": self.properties,
            "format": self.format,
        }
        kind = [self.param_type, "null"] if self.nullable else self.param_type
        return {"type": kind, **{name: value for name, value in given.items() if value is not None}}


def schema_of_parameters(parameters: Iterable[ToolParameter]) -> dict[str, Any]:
    """Arguments as the JSON Schema of the object that holds them."""
    listed = list(parameters)
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {parameter.name: parameter.to_json_schema() for parameter in listed},
    }
    required = [parameter.name for parameter in listed if parameter.required]
    return {**schema, "required": required} if required else schema


def schema_of_model(model: type[BaseModel]) -> dict[str, Any]:
    """What a pydantic model takes, as JSON Schema; raises InvalidInputError for what JSON cannot say."""
    try:
        schema = model.model_json_schema(schema_generator=_Untitled)
    except PydanticInvalidForJsonSchema as error:
        raise InvalidInputError(f"{model.__name__} cannot be told to a model: {error.message}") from error
    schema.pop("title", None)
    schema.pop("description", None)  # It is the tool's.
    return {"properties": {}, **schema}


class _Untitled(GenerateJsonSchema):
    """Without titles that only repeat names, and without defaults that only Python has."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Whether a field's name becomes its title."""
        return False

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Tell of a default that is left out; nobody needs to know."""
