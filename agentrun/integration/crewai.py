"""Tools and models for CrewAI."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agentrun.integration._arguments import arguments_of
from agentrun.integration._extra import framework
from agentrun.integration._framework import Framework
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._session import PerSession, current_session, session
from agentrun.integration._tool import Tool

with framework("crewai", "crewai"):
    from crewai.execution import get_execution_uuid
    from crewai.flow.flow_context import current_flow_id
    from crewai.tools import BaseTool
    from crewai.tools.tool_failure import ToolFailure

from pydantic import PrivateAttr

from agentrun.integration.crewai_events import AgentRunConverter

if TYPE_CHECKING:
    from agentrun.integration._model import CommonModel
    from agentrun.integration.crewai_model import ChatModel

__all__ = [
    "AgentRunConverter",
    "AgentRunTool",
    "ClosesSession",
    "knowledgebase_toolset",
    "model",
    "sandbox_toolset",
    "session",
    "session_id",
    "skill_tools",
    "to_model",
    "to_tool",
    "tool_resource",
    "toolset",
]


class AgentRunTool(BaseTool):
    """One of our tools as CrewAI's own; `session_id` says what a session is.

    An error is a ToolFailure, with the type of the error in its details: the model reads it, and the crew goes on.
    What a call gives is never taken from the cache of a crew: the next call may find another world.
    """

    _tool: Tool = PrivateAttr()

    def __init__(self, tool: Tool) -> None:
        super().__init__(
            name=tool.name,
            description=tool.description,
            args_schema=arguments_of(tool),
            cache_function=never_from_the_cache,
        )
        self._tool = tool

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of the arguments, whole."""
        return deepcopy(dict(self._tool.parameters))

    def _run(self, /, **arguments: Any) -> Any:
        return _answer(self._tool.outcome(arguments, session_id()))

    async def _arun(self, /, **arguments: Any) -> Any:
        return _answer(await self._tool.outcome_async(arguments, session_id()))


def to_tool(tool: Tool) -> AgentRunTool:
    """A tool as CrewAI's own."""
    return AgentRunTool(tool)


def to_model(model: CommonModel) -> ChatModel:
    """A model as CrewAI's own; it streams, tells its usage, and signs its requests where there is no key."""
    from agentrun.integration.crewai_model import ChatModel  # Needed by nothing else, and slow to import.

    return ChatModel(source=model, model=model.name)


def session_id() -> str | None:
    """The session of the call that is under way: that of `with session("...")`, or else the outermost kickoff."""
    return current_session() or get_execution_uuid()


class ClosesSession:
    """Deletes what tools keep for a crew's kickoff, such as a sandbox: `Crew(after_kickoff_callbacks=[this])`.

    CrewAI calls it when a kickoff has succeeded. After one that failed, `close` of the tools deletes it, or the
    platform when it is long unused. In a flow the session lasts as long as the flow, and this does nothing.
    """

    def __init__(self, *tools: PerSession) -> None:
        self._tools = tools

    def __call__(self, output: Any) -> Any:
        """Close the session; the output of the crew stays as it is."""
        if current_flow_id.get() is None:
            for tools in self._tools:
                tools.close_session(session_id())
        return output


def never_from_the_cache(arguments: Any = None, result: Any = None) -> bool:
    """Whether a result may be given again without another call."""
    return False


def _answer(outcome: ToolOutcome) -> Any:
    if outcome.error is None:
        return outcome.text
    return ToolFailure(message=outcome.text, details={"error": type(outcome.error).__name__})


_crewai = Framework(to_tool, to_model)
model = _crewai.model
toolset = _crewai.toolset
tool_resource = _crewai.tool_resource
sandbox_toolset = _crewai.sandbox_toolset
knowledgebase_toolset = _crewai.knowledgebase_toolset
skill_tools = _crewai.skill_tools
