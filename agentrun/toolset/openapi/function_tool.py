"""A tool as a Python function, for frameworks that read functions."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Any

from agentrun._core.values import as_list, as_mapping
from agentrun.toolset.schema import ToolDefinition

_TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list[Any],
    "object": dict[str, Any],
}


def function_tool(definition: ToolDefinition, invoke: Callable[[str, dict[str, Any]], Any]) -> Callable[..., Any]:
    """A function that calls a tool; arguments that are no Python names are given by `**{"name": value}`."""

    def call(**arguments: Any) -> Any:
        given = {name: value for name, value in arguments.items() if value is not None or name in required}
        return invoke(definition.name, given)

    schema = definition.parameters
    properties = as_mapping(schema.get("properties"))
    required = {str(name) for name in as_list(schema.get("required"))}
    call.__name__ = call.__qualname__ = definition.name.replace("-", "_")
    call.__doc__ = _docstring(definition.description, properties)
    call.__signature__ = _signature(properties, required)  # type: ignore[attr-defined]  # Frameworks read it.
    call.__annotations__ = {name: _hint(each, name in required) for name, each in properties.items()}
    return call


def _signature(properties: Mapping[str, Any], required: set[str]) -> Signature:
    usable = [name for name in properties if name.isidentifier() and not keyword.iskeyword(name)]
    named = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if name in required else None,
            annotation=_hint(properties[name], name in required),
        )
        for name in usable
    ]
    others = [Parameter("arguments", Parameter.VAR_KEYWORD)] if len(usable) < len(properties) else []
    return Signature([*named, *others])


def _hint(schema: Any, required: bool) -> Any:
    kind = as_mapping(schema).get("type")
    found = _TYPES.get(kind, Any) if isinstance(kind, str) else Any
    return found if required else found | None


def _docstring(description: str, properties: Mapping[str, Any]) -> str:
    lines = [f"    {name}: {_said(each)}" for name, each in properties.items() if _said(each)]
    return "\n".join([description, *(["", "Args:", *lines] if lines else [])])


def _said(schema: Any) -> str:
    text = as_mapping(schema).get("description")
    return " ".join(text.split()) if isinstance(text, str) else ""
