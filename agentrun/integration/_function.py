"""Python functions as tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from agentrun.integration._body import Body
from agentrun.integration._signature import name_of
from agentrun.integration._tool import Tool, normalize_tool_name

if TYPE_CHECKING:
    from pydantic import BaseModel


@overload
def tool(name: Callable[..., Any], description: str | None = None) -> Tool: ...
@overload
def tool(name: str | None = None, description: str | None = None) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    name: str | Callable[..., Any] | None = None, description: str | None = None
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function, `@tool` or `@tool(name=..., description=...)`.

    The function's name, docstring and hints say the rest. It may be plain or asynchronous, a generator, or a method of
    a CommonToolSet. Raises InvalidInputError for a function that takes what no model can be told of.
    """
    if callable(name):
        return from_function(name, description=description)

    def decorate(function: Callable[..., Any]) -> Tool:
        return from_function(function, name, description)

    return decorate


def from_function(function: Callable[..., Any], name: str | None = None, description: str | None = None) -> Tool:
    """A function as a tool; raises InvalidInputError when it takes what no model can be told of."""
    return Tool(normalize_tool_name(name or name_of(function)), description or "", func=function)


def of_both_modes(
    function: Callable[..., Awaitable[Any]], name: str | None = None, description: str | None = None
) -> Tool:
    """A tool of a coroutine function of our own kind, which in blocking mode does its waiting in place."""
    made = from_function(function, name, description)
    assert isinstance(made.perform, Body)
    return replace(made, perform=replace(made.perform, both_modes=True))


def from_pydantic(name: str, description: str, args_schema: type[BaseModel], func: Callable[..., Any]) -> Tool:
    """A tool whose arguments are the fields of a pydantic model; the function gets them as keywords."""
    return Tool(name, description, args_schema=args_schema, func=func)
