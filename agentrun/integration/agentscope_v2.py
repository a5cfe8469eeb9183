"""Tools and models for AgentScope 2."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agentrun.integration._extra import framework
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._reported import Report, reported
from agentrun.integration._tool import Tool

with framework("agentscope", "agentscope"):
    from agentscope.message import Base64Source, DataBlock, TextBlock, ToolResultState
    from agentscope.permission import PermissionBehavior, PermissionContext, PermissionDecision
    from agentscope.tool import ToolBase, ToolChunk

from agentrun.integration.agentscope_v2_events import AgentRunConverter

if TYPE_CHECKING:
    from agentscope.model import OpenAIChatModel
    from agentscope.state import AgentState

    from agentrun.integration._model import CommonModel

__all__ = ["AgentRunConverter", "AgentRunTool", "to_model", "to_tool"]


_ERROR = ToolResultState("error")


class AgentRunTool(ToolBase):
    """A tool as AgentScope's own; the session of the agent's state is the session.

    It is the permission mode and the rules of the agent that allow a call. A result is the metadata `result` of the
    chunk as a whole; an error is a chunk in the state `error`.
    """

    is_concurrency_safe = True
    is_read_only = False
    is_state_injected = True

    def __init__(self, tool: Tool, **options: Any) -> None:
        super().__init__(**options)
        self._tool = tool
        self.name = tool.name
        self.description = tool.description
        self.input_schema = _object_schema(tool)

    async def check_permissions(self, tool_input: dict[str, Any], context: PermissionContext) -> PermissionDecision:
        """Leave it to the agent's rules and mode, and where they say nothing to the user."""
        suggested = await self.generate_suggestions(tool_input)
        return PermissionDecision(
            PermissionBehavior.PASSTHROUGH, f"May {self.name} be called?", suggested_rules=suggested
        )

    async def call(
        self, /, *, _agent_state: AgentState | None = None, **arguments: Any
    ) -> AsyncGenerator[ToolChunk, None]:
        """How far the call is, and last what it came to."""
        return self._chunks(arguments, _agent_state.session_id if _agent_state is not None else None)

    async def _chunks(self, arguments: dict[str, Any], session_id: str | None) -> AsyncGenerator[ToolChunk, None]:
        async for step in reported(self._tool, arguments, session_id):
            yield _progress(step) if isinstance(step, Report) else _chunk(step)


def to_tool(tool: Tool) -> AgentRunTool:
    """A tool as AgentScope's own, for `Toolkit(tools=[...])`."""
    return AgentRunTool(tool)


def to_model(model: CommonModel) -> OpenAIChatModel:
    """A model as AgentScope's own, over the chat API; it streams, and tells its usage."""
    with framework("agentscope", "openai"):
        from agentscope.credential import OpenAICredential  # Slow to import, and needed by nothing else.
        from agentscope.model import OpenAIChatModel

    given = model.shared_kwargs(asynchronous=True)
    credential = OpenAICredential(api_key=given.pop("api_key"), base_url=given.pop("base_url"))
    return OpenAIChatModel(credential, model.name, client_kwargs=given)


def _object_schema(tool: Tool) -> dict[str, Any]:
    """The tool's schema; AgentScope takes none without properties."""
    return {"type": "object", "properties": {}, **deepcopy(dict(tool.parameters))}


def _progress(report: Report) -> ToolChunk:
    # The one name under which AgentScope tells progress, of whichever tool.
    told = {"progress": report.done, "total": report.total, "message": report.message}
    return ToolChunk(content=[], is_last=False, metadata={"mcp_progress": told})


def _chunk(outcome: ToolOutcome) -> ToolChunk:
    text = TextBlock(text=outcome.text)
    if outcome.error is not None:
        metadata = {"error": type(outcome.error).__name__}
        return ToolChunk(content=[text], state=_ERROR, metadata=metadata)
    images = [DataBlock(source=Base64Source(data=image.data, media_type=image.media_type)) for image in outcome.images]
    return ToolChunk(content=[text, *images], metadata={"result": outcome.value})
