"""Tools and models for PydanticAI."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentrun.errors import InvalidInputError
from agentrun.integration._extra import framework
from agentrun.integration._framework import Framework
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import Tools
from agentrun.sandbox.toolset.once import Once

with framework("pydantic_ai", "pydantic_ai"):
    from pydantic_ai import BinaryContent, CustomEvent, FunctionToolset, ModelRetry, RunContext, ToolFailed, ToolReturn
    from pydantic_ai import Tool as NativeTool

from agentrun.integration.pydantic_ai_events import AgentRunConverter

if TYPE_CHECKING:
    from pydantic_ai.models.openai import OpenAIChatModel
    from typing_extensions import Self

    from agentrun._core.progress import Progress
    from agentrun.integration._model import CommonModel

__all__ = [
    "AgentRunConverter",
    "AgentRunToolset",
    "ToolProgressEvent",
    "knowledgebase_toolset",
    "model",
    "sandbox_toolset",
    "skill_tools",
    "to_model",
    "to_tool",
    "tool_resource",
    "toolset",
]


@dataclass(kw_only=True)
class ToolProgressEvent(CustomEvent, name="agentrun_tool_progress"):
    """How far a call of a tool is, in the stream of a run's events."""

    done: float
    total: float | None = None
    message: str | None = None


def to_tool(tool: Tool) -> NativeTool[Any]:
    """A tool as PydanticAI's own; a conversation is a session.

    Arguments that are wrong are asked for again while there are retries (ModelRetry); any other error is told to the
    model as the result of a call that failed (ToolFailed). The result itself is the return's metadata.
    """

    async def call(context: RunContext[Any], /, **arguments: Any) -> Any:
        async with _progress(context) as progress:
            outcome = await tool.outcome_async(arguments, context.conversation_id, progress)
        if outcome.is_error:
            raise _failure(outcome, context)
        return _answer(outcome)

    schema = deepcopy(dict(tool.parameters))
    made: NativeTool[Any] = NativeTool.from_schema(call, tool.name, tool.description, schema, takes_ctx=True)
    return made


class AgentRunToolset(FunctionToolset[Any]):
    """Tools as a toolset, which closes what they work with: `Agent(toolsets=[AgentRunToolset(sandbox_toolset(...))])`.

    They are closed at the end of `async with agent`; outside of that, when no run of the agent is under way any more.
    Given a function that makes the tools, it is called in a thread when they are first needed.
    """

    def __init__(self, tools: Tools[NativeTool[Any]] | Callable[[], Tools[NativeTool[Any]]], **options: Any) -> None:
        super().__init__(**options)
        self._given = tools
        self._once = Once(self._made, "the toolset")
        self._entered = 0

    async def __aenter__(self) -> Self:
        self._entered += 1
        return self

    async def __aexit__(self, *args: Any) -> bool | None:
        self._entered -= 1
        if not self._entered and self._once.value is not None:
            await self._once.value.close_async()
        return None

    async def get_tools(self, ctx: RunContext[Any]) -> Any:
        """The tools; makes them when that has not been done."""
        await self._once.get()
        return await super().get_tools(ctx)

    async def _made(self) -> Tools[NativeTool[Any]]:
        made = self._given if isinstance(self._given, Tools) else await asyncio.to_thread(self._given)
        for tool in made:
            self.add_tool(tool)
        return made


def to_model(model: CommonModel) -> OpenAIChatModel:
    """A model as PydanticAI's own, over the chat API; schemas are sent as they are, and usage is told."""
    from agentrun.integration.pydantic_ai_model import chat_model

    return chat_model(model)


def _answer(outcome: ToolOutcome) -> Any:
    images = [BinaryContent(base64.b64decode(image.data), media_type=image.media_type) for image in outcome.images]
    value = [outcome.text, *images] if images else outcome.text
    return ToolReturn(return_value=value, metadata=outcome.value)


def _failure(outcome: ToolOutcome, context: RunContext[Any]) -> Exception:
    again = isinstance(outcome.error, InvalidInputError) and context.retry < context.max_retries
    return ModelRetry(outcome.text) if again else ToolFailed(outcome.text)


@asynccontextmanager
async def _progress(context: RunContext[Any]) -> AsyncIterator[Progress]:
    """Tells a call's progress in the run's stream, from whichever thread it comes."""
    loop = asyncio.get_running_loop()
    told: list[asyncio.Future[Any]] = []

    def tell(done: float, total: float | None, message: str | None) -> None:
        event = ToolProgressEvent(done=done, total=total, message=message)
        told.append(asyncio.wrap_future(asyncio.run_coroutine_threadsafe(context.emit(event), loop), loop=loop))

    yield tell
    await asyncio.gather(*told)


_pydantic_ai = Framework(to_tool, to_model)
model = _pydantic_ai.model
toolset = _pydantic_ai.toolset
tool_resource = _pydantic_ai.tool_resource
sandbox_toolset = _pydantic_ai.sandbox_toolset
knowledgebase_toolset = _pydantic_ai.knowledgebase_toolset
skill_tools = _pydantic_ai.skill_tools
