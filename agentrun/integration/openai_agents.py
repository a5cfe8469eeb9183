"""Tools and models for the OpenAI Agents SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agentrun.integration._extra import framework
from agentrun.integration._framework import Framework
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._session import PerSession
from agentrun.integration._tool import Tool

with framework("openai_agents", "agents", "openai"):
    from agents import (
        Agent,
        FunctionTool,
        ModelSettings,
        OpenAIChatCompletionsModel,
        RunContextWrapper,
        RunHooks,
        SpanError,
        ToolOutputImage,
        ToolOutputText,
        get_current_span,
    )
    from agents.tool import FunctionToolCustomDataContext
    from agents.tool_context import ToolContext
    from openai import AsyncOpenAI

from agentrun.integration.openai_agents_events import AgentRunConverter

if TYPE_CHECKING:
    from agents.items import TResponseStreamEvent

    from agentrun.integration._model import CommonModel


__all__ = [
    "AgentRunConverter",
    "ChatModel",
    "ClosesSession",
    "ToolFailure",
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


class ToolFailure(str):
    """What a tool that failed tells the model; the item of the run is marked with `custom_data["is_error"]`."""


def to_tool(tool: Tool) -> FunctionTool:
    """A tool as the SDK's own, with its schema as it is: strict mode would change what it says.

    An error is told to the model, and to the trace; the run goes on. `session_of` says what a session is.
    """

    async def call(context: ToolContext[Any], arguments: str) -> Any:
        return _answer(await tool.outcome_async(arguments, session_of(context)))

    return FunctionTool(
        name=tool.name,
        description=tool.description,
        params_json_schema=deepcopy(dict(tool.parameters)),
        on_invoke_tool=call,
        strict_json_schema=False,
        custom_data_extractor=_marked,
    )


def session_of(context: RunContextWrapper[Any]) -> str | None:
    """The session of a run: `session_id` of its context, an attribute or a key, or else its `RunConfig.group_id`.

    The memory session of the SDK is not known to tools; given as the context too, it is the session here.
    """
    given: Any = context.context
    found = given.get("session_id") if isinstance(given, Mapping) else getattr(given, "session_id", None)
    settings = getattr(context, "run_config", None)
    found = found or (settings.group_id if settings is not None else None)
    return None if found is None else str(found)


class ClosesSession(RunHooks[Any]):
    """Hooks of a run that delete what tools keep for its session, such as a sandbox, when its agent is done.

    `Runner.run(agent, question, hooks=ClosesSession(tools))`, new for each run: for runs that are whole conversations.
    A run that fails ends without a hook; what it held is deleted by `close` of the tools, or when it is long unused.
    """

    def __init__(self, *tools: PerSession) -> None:
        self._tools = tools
        self._used: set[str | None] = set()

    async def on_tool_start(self, context: Any, agent: Agent[Any], tool: Any) -> None:
        """Remember the session, which only calls of tools can tell."""
        self._used.add(session_of(context))

    async def on_agent_end(self, context: Any, agent: Agent[Any], output: Any) -> None:
        """Close the session."""
        for session_id in self._used:
            for tools in self._tools:
                await tools.close_session_async(session_id)


class ChatModel(OpenAIChatCompletionsModel):
    """The SDK's model for chat completions, which also asks other servers than OpenAI's for their usage in a stream."""

    def stream_response(
        self, system_instructions: Any, input: Any, model_settings: ModelSettings, *args: Any, **kwargs: Any
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Yield the events of an answer."""
        settings = ModelSettings(include_usage=True).resolve(model_settings)
        return super().stream_response(system_instructions, input, settings, *args, **kwargs)


def to_model(model: CommonModel) -> ChatModel:
    """A model as the SDK's own, over the chat API; it streams, and tells its usage."""
    return ChatModel(model.name, AsyncOpenAI(**model.shared_kwargs(asynchronous=True)))


def _answer(outcome: ToolOutcome) -> Any:
    if outcome.is_error:
        _tell_trace(outcome)
        return ToolFailure(outcome.text)
    if not outcome.images:
        return outcome.text
    return [ToolOutputText(text=outcome.text), *(ToolOutputImage(image_url=image.url) for image in outcome.images)]


def _tell_trace(outcome: ToolOutcome) -> None:
    span = get_current_span()
    if span is not None:
        # Traces leave the machine, and what an error says may be the user's data.
        span.set_error(SpanError(message="Error running tool", data={"error": type(outcome.error).__name__}))


def _marked(made: FunctionToolCustomDataContext) -> Mapping[str, Any] | None:
    return {"is_error": True} if isinstance(made.output, ToolFailure) else None


_openai_agents = Framework(to_tool, to_model)
model = _openai_agents.model
toolset = _openai_agents.toolset
tool_resource = _openai_agents.tool_resource
sandbox_toolset = _openai_agents.sandbox_toolset
knowledgebase_toolset = _openai_agents.knowledgebase_toolset
skill_tools = _openai_agents.skill_tools
