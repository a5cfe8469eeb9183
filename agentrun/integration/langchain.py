"""Tools and models for LangChain; LangGraph takes the same objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentrun.integration._extra import framework
from agentrun.integration._framework import Framework
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration.langgraph_events import AgentRunConverter

with framework("langchain", "langchain_core"):
    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import StructuredTool, ToolException

__all__ = [
    "AgentRunConverter",
    "knowledgebase_toolset",
    "model",
    "sandbox_toolset",
    "skill_tools",
    "to_model",
    "to_tool",
    "tool_resource",
    "toolset",
]

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI

    from agentrun._core.progress import Progress
    from agentrun.integration._model import CommonModel


def to_tool(tool: Tool) -> StructuredTool:
    """A tool as LangChain's own: content for the model, and the result itself as the message's artifact.

    An error becomes a tool message with status `error`. A LangGraph thread is a session.
    """

    # No argument of a tool has the name by which LangChain hands its configuration over.
    def call(*, runnable_config_: RunnableConfig, **arguments: Any) -> tuple[Any, Any]:
        return _answer(tool.outcome(arguments, _thread(runnable_config_), _progress()))

    async def call_async(*, runnable_config_: RunnableConfig, **arguments: Any) -> tuple[Any, Any]:
        return _answer(await tool.outcome_async(arguments, _thread(runnable_config_), _progress()))

    return StructuredTool(
        name=tool.name,
        description=tool.description,
        args_schema=dict(tool.parameters),
        func=call,
        coroutine=call_async,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def to_model(model: CommonModel) -> ChatOpenAI:
    """A model as LangChain's own; it streams, and tells its usage."""
    with framework("langchain", "langchain_openai"):
        from langchain_openai import ChatOpenAI  # Needed by nothing else, and slow to import.

    # Connections are the SDK's: LangChain's own belong to the event loop that was there first.
    given = model.shared_kwargs()
    client = model.shared_kwargs(asynchronous=True)["http_client"]
    return ChatOpenAI(model=model.name, streaming=True, stream_usage=True, **given, http_async_client=client)


def _answer(outcome: ToolOutcome) -> tuple[Any, Any]:
    if outcome.is_error:
        raise ToolException(outcome.text)
    if not outcome.images:
        return outcome.text, outcome.value
    images = [{"type": "image", "base64": image.data, "mime_type": image.media_type} for image in outcome.images]
    return [{"type": "text", "text": outcome.text}, *images], outcome.value


def _thread(config: Mapping[str, Any]) -> str | None:
    thread = (config.get("configurable") or {}).get("thread_id")
    return None if thread is None else str(thread)


def _progress() -> Progress | None:
    """How a tool tells its progress: as LangGraph's custom stream, where there is one."""
    try:
        from langgraph.config import get_stream_writer  # Of a package that LangChain itself can do without.

        write = get_stream_writer()
    except (ImportError, RuntimeError, KeyError):  # Outside of a graph it fails in one of these ways.
        return None
    return lambda done, total, message: write({"progress": done, "total": total, "message": message})


_langchain = Framework(to_tool, to_model)
model = _langchain.model
toolset = _langchain.toolset
tool_resource = _langchain.tool_resource
sandbox_toolset = _langchain.sandbox_toolset
knowledgebase_toolset = _langchain.knowledgebase_toolset
skill_tools = _langchain.skill_tools
