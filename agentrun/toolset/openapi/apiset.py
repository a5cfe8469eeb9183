"""Tools with what carries them out, whatever that is: an OpenAPI document or an MCP server."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from agentrun._core.blocking import run
from agentrun._core.credentials import Secret
from agentrun._core.names import nearest
from agentrun._core.values import is_list, is_tuple
from agentrun.config import Config
from agentrun.errors import InvalidInputError
from agentrun.toolset.openapi.function_tool import function_tool
from agentrun.toolset.openapi.openapi import OpenAPI
from agentrun.toolset.openapi.security import Value
from agentrun.toolset.schema import ToolDefinition, ToolInfo, definition_of_mcp_tool

if TYPE_CHECKING:
    from typing_extensions import Self

_METHODS = ("invoke_tool_async", "call_tool_async")


class ApiSet:
    """A number of tools and their invoker: an object with `invoke_tool_async` or `call_tool_async`.

    Either takes a name and arguments; a Config is given to it too when it takes one.

    `base_url`, `headers` and `query_params` are kept for whoever asks; it is the invoker that uses them.
    """

    def __init__(
        self,
        tools: Iterable[ToolInfo | ToolDefinition],
        invoker: Any,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        query_params: Mapping[str, Any] | None = None,
        config: Config | None = None,
    ) -> None:
        definitions = (each.to_definition() if isinstance(each, ToolInfo) else each for each in tools)
        self._definitions = {each.name: each for each in definitions}
        self._invoke = _method(invoker)
        self._takes_config = "config" in inspect.signature(self._invoke).parameters
        self._invoker = invoker
        self.base_url = base_url
        self.headers = {key: Secret(value) for key, value in (headers or {}).items()}
        self.query_params = {key: _hidden(value) for key, value in (query_params or {}).items()}
        self.config = config

    def __repr__(self) -> str:
        return f"ApiSet({len(self._definitions)} tools)"

    @classmethod
    def from_openapi_schema(
        cls,
        schema: Any,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        query_params: Mapping[str, Any] | None = None,
        config: Config | None = None,
        timeout: float | None = None,
        *,
        auth: Mapping[str, Value] | None = None,
        server_variables: Mapping[str, str] | None = None,
    ) -> Self:
        """The tools of an OpenAPI document; see `OpenAPI` for the arguments and errors."""
        client = OpenAPI(
            schema, base_url, headers, query_params, config, timeout, auth=auth, server_variables=server_variables
        )
        return cls(client.definitions(), client, base_url, headers, query_params, config)

    @classmethod
    def from_mcp_tools(cls, tools: Any, mcp_client: Any, config: Config | None = None) -> Self:
        """The tools that an MCP server listed, called through a client that has `call_tool_async`."""
        listed: Any = getattr(tools, "tools", tools)
        each_tool = list(listed) if is_list(listed) or is_tuple(listed) else [listed]
        found = [each if isinstance(each, ToolInfo) else definition_of_mcp_tool(each) for each in each_tool]
        return cls(found, mcp_client, config=config)

    def definitions(self) -> list[ToolDefinition]:
        """All tools, in the form that is cheap."""
        return list(self._definitions.values())

    def tools(self) -> list[ToolInfo]:
        """All tools."""
        return [ToolInfo.from_definition(each) for each in self._definitions.values()]

    def get_tool(self, name: str) -> ToolInfo | None:
        """The tool of a name, None when there is none."""
        found = self._definitions.get(name)
        return None if found is None else ToolInfo.from_definition(found)

    async def invoke_async(
        self, name: str, arguments: Mapping[str, Any] | None = None, config: Config | None = None
    ) -> Any:
        """What a call of a tool gives; raises InvalidInputError when there is none of the name, else the invoker's."""
        self._require(name)
        given = dict(arguments or {})
        if not self._takes_config:
            return await self._invoke(name, given)
        return await self._invoke(name, given, config=Config.with_configs(self.config, config))

    def invoke(self, name: str, arguments: Mapping[str, Any] | None = None, config: Config | None = None) -> Any:
        """What a call of a tool gives; raises InvalidInputError when there is none of the name, else the invoker's."""
        return run(self.invoke_async(name, arguments, config))

    def to_function_tool(self, name: str) -> Callable[..., Any]:
        """The tool as a Python function: its arguments are keywords with type hints, its docstring says the rest."""
        return function_tool(self._require(name), self.invoke)

    def _require(self, name: str) -> ToolDefinition:
        found = self._definitions.get(name)
        if found is not None:
            return found
        suggestion = nearest(name, self._definitions)
        some = ", ".join(list(self._definitions)[:10])
        hint = f"Did you mean {suggestion}?" if suggestion else f"There are {len(self._definitions)} tools: {some}"
        raise InvalidInputError(f"there is no tool {name!r}", field="name", hint=hint)


def _hidden(value: Any) -> Any:
    """A value that does not show when it is text."""
    return Secret(value) if isinstance(value, str) else value


def _method(invoker: Any) -> Callable[..., Any]:
    found = next((getattr(invoker, name) for name in _METHODS if hasattr(invoker, name)), None)
    if found is None or not inspect.iscoroutinefunction(found):
        hint = "Give an object such as OpenAPI or MCPToolSet"
        raise InvalidInputError(
            f"{type(invoker).__name__} has neither {' nor '.join(_METHODS)}", field="invoker", hint=hint
        )
    return cast("Callable[..., Any]", found)
