"""What tool sets and tools of the platform offer, as neutral tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from agentrun.errors import ToolError
from agentrun.integration._outcome import Image, ToolOutcome, as_json, as_text
from agentrun.integration._tool import Tool

if TYPE_CHECKING:
    from agentrun.config import Config
    from agentrun.tool import Tool as ToolResource
    from agentrun.toolset import ToolDefinition, ToolSet
    from agentrun.toolset.mcp import McpResult


def resource_tools(resource: ToolSet | ToolResource, config: Config | None, *, refresh: bool = False) -> list[Tool]:
    """The tools of a resource; what an API or an MCP server calls an error is raised as ToolError."""

    def tool(described: ToolDefinition) -> Tool:
        async def perform(arguments: dict[str, Any]) -> Any:
            return without_error(described.name, await resource.call_tool_async(described.name, arguments, config))

        return Tool(described.name, described.description, described.parameters, perform=perform, present=present)

    return [tool(described) for described in resource.definitions(config, refresh=refresh)]


def without_error(name: str, result: Any) -> Any:
    """The result of a tool; raises ToolError when it is an error of an API or of an MCP server."""
    if not result.is_error:
        return result
    if isinstance(result, Mapping):
        answer = cast("Mapping[str, Any]", result)
        raise ToolError(f"status {answer['status_code']}: {as_text(answer['body'])}", tool=name)
    return result.raise_for_error(name)


def present(result: Any) -> ToolOutcome:
    """A result as an outcome: of an API a model is shown the body, of an MCP server the text and the pictures."""
    if isinstance(result, Mapping):
        answer = cast("Mapping[str, Any]", result)
        return ToolOutcome(as_json(answer), shown=as_text(answer["body"]))
    return _of_mcp(result)


def _of_mcp(result: McpResult) -> ToolOutcome:
    images = [
        Image(str(part.get("mimeType")), str(part.get("data"))) for part in result.content if part["type"] == "image"
    ]
    others = [part for part in result.content if part["type"] not in ("text", "image")]
    text = result.text or (as_text(result.structured) if result.structured else "")
    shown = "\n".join([*([text] if text else []), *map(as_text, others)])
    return ToolOutcome(result.structured or as_json(result.to_dict()), images=images, shown=shown)
