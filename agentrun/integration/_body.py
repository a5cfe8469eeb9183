"""The body of a tool that is a function: arguments are checked and converted, then the function is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any, cast

from pydantic import BaseModel

from agentrun._sandbox_tools.schema import checked
from agentrun.errors import InvalidInputError
from agentrun.integration._calling import called
from agentrun.integration._parameter import Schema, schema_of_model
from agentrun.integration._signature import Arguments, Signature, validated


@dataclass(frozen=True)
class Body:
    """A function as a tool's body; `read` makes its arguments out of what a model wrote.

    One of `both_modes` is a coroutine function that does its waiting in place in blocking mode, as our own code does.
    """

    name: str
    function: Callable[..., Any]
    schema: Schema
    read: Callable[[str, Mapping[str, Any]], Arguments]
    is_method: bool = False
    both_modes: bool = False

    async def __call__(self, arguments: dict[str, Any]) -> Any:
        """What the function gives; raises InvalidInputError, and what the function raises."""
        if self.is_method:
            raise InvalidInputError(
                f"{self.name} is a method and was called without its object",
                hint="Take the tool from an instance, or bind it: tool.bind(instance)",
            )
        positional, keywords = self.read(self.name, arguments)
        if self.both_modes:
            return await self.function(*positional, **keywords)
        return await called(self.function, *positional, **keywords)

    def bound(self, instance: Any) -> Body:
        """The same body of this object; a function that is no method stays as it is."""
        if not self.is_method:
            return self
        return replace(self, function=MethodType(self.function, instance), is_method=False)


def by_signature(name: str, function: Callable[..., Any]) -> tuple[Body, str]:
    """A function whose signature says what it takes, and what its docstring says."""
    signature = Signature(function)
    return Body(name, function, signature.schema, signature.arguments, signature.is_method), signature.description


def by_model(name: str, function: Callable[..., Any], model: type[BaseModel]) -> Body:
    """A function that is called with the fields of a pydantic model as keywords."""

    def read(owner: str, given: Mapping[str, Any]) -> Arguments:
        valid = validated(model, owner, given)
        return Arguments([], {field: getattr(valid, field) for field in model.model_fields})

    return Body(name, function, schema_of_model(model), read, _takes_itself(function))


def by_schema(name: str, function: Callable[..., Any], schema: Schema) -> Body:
    """A function that is called with arguments that fit a schema; its own hints convert them, where it has any."""
    reading = _reading(function)

    def read(owner: str, given: Mapping[str, Any]) -> Arguments:
        plain = _with_defaults(schema, checked(owner, schema, given))
        return reading(owner, plain) if reading else Arguments([], plain)

    return Body(name, function, schema, read, _takes_itself(function))


def _reading(function: Callable[..., Any]) -> Callable[[str, Mapping[str, Any]], Arguments] | None:
    try:
        return Signature(function).arguments
    except InvalidInputError:  # It takes `**kwargs`, or what JSON cannot say; whoever wrote the schema knows better.
        return None


def _with_defaults(schema: Schema, given: dict[str, Any]) -> dict[str, Any]:
    properties = cast("Mapping[str, Schema]", schema.get("properties") or {})
    defaults = {name: spec["default"] for name, spec in properties.items() if "default" in spec}
    return {**defaults, **given}


def _takes_itself(function: Callable[..., Any]) -> bool:
    return next(iter(inspect.signature(function).parameters), None) == "self" and not inspect.ismethod(function)
