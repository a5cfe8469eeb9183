"""Tools and models for Google's Agent Development Kit."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from agentrun.integration._extra import framework
from agentrun.integration._framework import Framework
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import Tools
from agentrun.sandbox.toolset.once import Once

with framework("google_adk", "google"):
    from google.adk.agents.readonly_context import ReadonlyContext
    from google.adk.tools.base_tool import BaseTool
    from google.adk.tools.base_toolset import BaseToolset
    from google.adk.tools.tool_context import ToolContext
    from google.genai import types

from agentrun.integration.google_adk_events import AgentRunConverter

if TYPE_CHECKING:
    from agentrun.integration._model import CommonModel
    from agentrun.integration.google_adk_model import ChatModel

__all__ = [
    "AgentRunConverter",
    "AgentRunTool",
    "AgentRunToolset",
    "knowledgebase_toolset",
    "model",
    "sandbox_toolset",
    "session_of",
    "skill_tools",
    "to_model",
    "to_tool",
    "tool_resource",
    "toolset",
]

# Where the arguments stand that a model wrote and that are no JSON.
NO_JSON = "arguments_that_are_no_json"


class AgentRunTool(BaseTool):
    """One of our tools as ADK's own; `session_of` says what a session is.

    A call gives `{"result": ...}`, with pictures beside it, or `{"error": ...}`: the model reads it, the run goes on.
    """

    def __init__(self, tool: Tool) -> None:
        super().__init__(name=tool.name, description=tool.description)
        self._tool = tool

    def _get_declaration(self) -> types.FunctionDeclaration:
        schema = deepcopy(dict(self._tool.parameters))
        return types.FunctionDeclaration(name=self.name, description=self.description, parameters_json_schema=schema)

    async def run_async(self, *, args: dict[str, Any], tool_context: ToolContext) -> Any:
        """Call the tool."""
        given = args.get(NO_JSON, args)
        return _answer(await self._tool.outcome_async(given, session_of(tool_context)))


class AgentRunToolset(BaseToolset):
    """Tools as a toolset, which the runner closes: `LlmAgent(tools=[AgentRunToolset(sandbox_toolset(...))])`.

    `async with runner` and `runner.close()` close what the tools work with. Given a function that makes the tools, it
    is called in a thread when they are first needed. The options are those of ADK: `tool_filter`, `tool_name_prefix`.
    """

    def __init__(self, tools: Tools[AgentRunTool] | Callable[[], Tools[AgentRunTool]], **options: Any) -> None:
        super().__init__(**options)
        self._given = tools
        self._once = Once(self._made, "the toolset")

    async def get_tools(self, readonly_context: ReadonlyContext | None = None) -> list[BaseTool]:
        """The tools; makes them when that has not been done."""
        made = await self._once.get()
        return [tool for tool in made if self._is_tool_selected(tool, readonly_context)]

    async def close(self) -> None:
        """Close what the tools work with; calling it twice is allowed."""
        if self._once.value is not None:
            await self._once.value.close_async()

    async def _made(self) -> Tools[AgentRunTool]:
        return self._given if isinstance(self._given, Tools) else await asyncio.to_thread(self._given)


def to_tool(tool: Tool) -> AgentRunTool:
    """A tool as ADK's own."""
    return AgentRunTool(tool)


def to_model(model: CommonModel) -> ChatModel:
    """A model as ADK's own; it streams, tells its usage, and signs its requests where there is no key."""
    from agentrun.integration.google_adk_model import ChatModel  # Needed by nothing else, and slow to import.

    return ChatModel(source=model, model=model.name)


def session_of(context: ReadonlyContext) -> str:
    """The session of a call: ADK's session, whose id means nothing without the app and the user it belongs to."""
    session = context.session
    return "/".join(quote(part, safe="") for part in (session.app_name, session.user_id, session.id))


def _answer(outcome: ToolOutcome) -> dict[str, Any]:
    if outcome.is_error:
        return {"error": outcome.text}
    result = outcome.value if outcome.shown is None else outcome.shown
    images = [
        types.Part.from_bytes(data=base64.b64decode(image.data), mime_type=image.media_type) for image in outcome.images
    ]
    return {"result": result, "images": images} if images else {"result": result}


_google_adk = Framework(to_tool, to_model)
model = _google_adk.model
toolset = _google_adk.toolset
tool_resource = _google_adk.tool_resource
sandbox_toolset = _google_adk.sandbox_toolset
knowledgebase_toolset = _google_adk.knowledgebase_toolset
skill_tools = _google_adk.skill_tools
