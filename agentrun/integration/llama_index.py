"""Tools and models for LlamaIndex."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agentrun.integration._extra import framework
from agentrun.integration._framework import Framework
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._tool import Tool

with framework("llama_index", "llama_index"):
    from llama_index.core.base.llms.types import ImageBlock, TextBlock
    from llama_index.core.tools import FunctionTool, ToolMetadata, ToolOutput
    from llama_index.core.workflow import Context

from agentrun.integration.llama_index_events import AgentRunConverter, ToolProgressEvent

if TYPE_CHECKING:
    from llama_index.llms.openai_like import OpenAILike

    from agentrun._core.progress import Progress
    from agentrun.integration._model import CommonModel

__all__ = [
    "AgentRunConverter",
    "AgentRunTool",
    "ToolProgressEvent",
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

CONTEXT = "agentrun_context"  # The argument by which the framework hands its context over; no tool has one so named.
CONTEXT_WINDOW = 128_000  # What the framework assumes otherwise is so little that it forgets the conversation.


class WholeSchema(ToolMetadata):
    """What a model is told of a tool: its schema as it is, where the framework's own keeps some keywords only."""

    def __init__(self, tool: Tool) -> None:
        super().__init__(description=tool.description, name=tool.name, fn_schema=None)
        self._schema = tool.parameters

    def get_parameters_dict(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return deepcopy({"properties": {}, **self._schema})

    @property
    def fn_schema_str(self) -> str:
        """The JSON Schema of the arguments, as text."""
        return json.dumps(self.get_parameters_dict(), ensure_ascii=False)


class AgentRunTool(FunctionTool):
    """A tool as LlamaIndex's own; it works within agents and without, and tells its progress in the agent's stream."""

    def __init__(self, tool: Tool) -> None:
        super().__init__(fn=tool.call, async_fn=tool.call_async, metadata=WholeSchema(tool))
        self.requires_context, self.ctx_param_name = True, CONTEXT
        self._tool = tool

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Call the tool; an error is an output that says so."""
        kwargs.pop(CONTEXT, None)
        arguments = self._arguments(args, kwargs)
        return _output(self._tool.name, arguments, self._tool.outcome(arguments))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Call the tool; an error is an output that says so."""
        context = kwargs.pop(CONTEXT, None)
        arguments = self._arguments(args, kwargs)
        session_id = None if context is None else await session_of(context)
        return _output(
            self._tool.name, arguments, await self._tool.outcome_async(arguments, session_id, _progress(context))
        )

    def _arguments(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by their names; those without one are the first of the schema."""
        return {**dict(zip(self._tool.parameters.get("properties") or {}, args, strict=False)), **kwargs}


def to_tool(tool: Tool) -> AgentRunTool:
    """A tool as LlamaIndex's own; a workflow's context is a session, which its memory may name.

    An error is an output with `is_error`, which the model is told; the agent goes on.
    """
    return AgentRunTool(tool)


async def session_of(context: Context[Any]) -> str:
    """The session of an agent: the `session_id` of its memory, or else an id that its context keeps."""
    memory = await context.store.get("memory", default=None)
    named = getattr(memory, "session_id", None)
    if named:
        return str(named)
    async with context.store.edit_state() as state:
        kept = state.get(CONTEXT)
        if kept is None:
            kept = state[CONTEXT] = uuid.uuid4().hex
    return str(kept)


def to_model(model: CommonModel) -> OpenAILike:
    """A model as LlamaIndex's own, over the chat API; schemas are sent as they are, and usage is told."""
    with framework("llama_index", "llama_index"):
        # Slow to import, and needed by nothing else.
        from agentrun.integration.llama_index_model import ChatModel

    given = model.shared_kwargs()
    return ChatModel(
        model=model.name,
        api_base=given.pop("base_url"),
        async_http_client=model.shared_kwargs(asynchronous=True)["http_client"],
        timeout=given["http_client"].timeout.read,
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=CONTEXT_WINDOW,
        additional_kwargs={"stream_options": {"include_usage": True}},
        **given,
    )


def _progress(context: Context[Any] | None) -> Progress | None:
    if context is None:
        return None

    def tell(done: float, total: float | None, message: str | None) -> None:
        context.write_event_to_stream(ToolProgressEvent(done=done, total=total, message=message))

    return tell


def _output(name: str, arguments: Mapping[str, Any], outcome: ToolOutcome) -> ToolOutput:
    images = [ImageBlock(image=image.data.encode(), image_mimetype=image.media_type) for image in outcome.images]
    return ToolOutput(
        blocks=[TextBlock(text=outcome.text), *images],
        tool_name=name,
        raw_input=dict(arguments),
        raw_output=outcome.value,
        is_error=outcome.is_error,
        exception=outcome.error,
    )


_llama_index = Framework(to_tool, to_model)
model = _llama_index.model
toolset = _llama_index.toolset
tool_resource = _llama_index.tool_resource
sandbox_toolset = _llama_index.sandbox_toolset
knowledgebase_toolset = _llama_index.knowledgebase_toolset
skill_tools = _llama_index.skill_tools
