"""Tools and models for AutoGen's AgentChat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal, cast

from agentrun._core.progress import Progress, watched, watcher
from agentrun.integration._arguments import arguments_of
from agentrun.integration._extra import framework
from agentrun.integration._framework import Framework
from agentrun.integration._session import current_session, session
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import Tools
from agentrun.sandbox.toolset.once import Once

with framework("autogen", "autogen_agentchat", "autogen_core"):
    from autogen_agentchat.messages import BaseAgentEvent
    from autogen_core import CancellationToken, MessageHandlerContext
    from autogen_core.tools import BaseTool, StaticStreamWorkbench, ToolResult, ToolSchema

from agentrun.integration.autogen_events import AgentRunConverter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrun.integration._model import CommonModel
    from agentrun.integration.autogen_model import ChatModel

__all__ = [
    "AgentRunConverter",
    "AgentRunTool",
    "AgentRunWorkbench",
    "ToolFailed",
    "ToolProgressEvent",
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


class ToolFailed(Exception):
    """What a tool that failed tells the model; its cause is the error."""


class ToolProgressEvent(BaseAgentEvent):
    """How far a call of a tool is, in the stream of a run."""

    call_id: str | None = None
    done: float
    total: float | None = None
    content: str = ""
    type: Literal["ToolProgressEvent"] = "ToolProgressEvent"

    def to_text(self) -> str:
        """What is being done."""
        return self.content


class AgentRunTool(BaseTool[Any, Any]):
    """One of our tools as AutoGen's own; `session_id` says what a session is.

    An error is raised as ToolFailed, which AutoGen makes a result with `is_error`: the model reads it, the run goes on.
    """

    def __init__(self, tool: Tool) -> None:
        # What a call gives is text, for which AutoGen's hints have no place.
        super().__init__(arguments_of(tool), cast("Any", str), tool.name, tool.description)
        self._tool = tool

    @property
    def schema(self) -> ToolSchema:
        """What a model is told, with the parameters as they are: AutoGen's own way keeps a part of a schema."""
        parameters: Any = deepcopy(dict(self._tool.parameters))
        return ToolSchema(name=self.name, description=self.description, parameters=parameters, strict=False)

    async def run(self, args: Any, cancellation_token: CancellationToken) -> Any:
        """Call the tool; raises ToolFailed."""
        try:
            outcome = await self._tool.outcome_async(args.model_dump(), session_id(), watcher())
        except asyncio.CancelledError:
            # AutoGen's agents wait forever for a call that was cancelled by the token and has no result.
            if cancellation_token.is_cancelled():
                raise ToolFailed("the call was cancelled") from None
            raise
        if outcome.is_error:
            raise ToolFailed(outcome.text) from outcome.error
        return outcome.text


class AgentRunWorkbench(StaticStreamWorkbench):
    """Tools as a workbench, which closes what they work with: `AssistantAgent(workbench=AgentRunWorkbench(...))`.

    `stop`, and the end of `async with workbench`, close it, and so does `reset`, after which sandboxes are new. Given a
    function that makes the tools, it is called in a thread when they are first needed. With `progress` the stream of a
    run has a ToolProgressEvent for each step of a call, which a team must know by its `custom_message_types`.
    """

    def __init__(
        self, tools: Tools[AgentRunTool] | Callable[[], Tools[AgentRunTool]], *, progress: bool = False
    ) -> None:
        super().__init__([])
        self._given = tools
        self._progress = progress
        self._once = Once(self._made, "the workbench")

    async def list_tools(self) -> list[ToolSchema]:
        """What the tools are; makes them when that has not been done."""
        await self._once.get()
        return await super().list_tools()

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        """Call a tool by its name; an error is a result."""
        await self._once.get()
        return await super().call_tool(name, arguments, cancellation_token, call_id)

    async def call_tool_stream(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Call a tool by its name: its progress, where that is wanted, and last its result."""
        await self._once.get()
        if not self._progress:
            yield await super().call_tool(name, arguments, cancellation_token, call_id)
            return
        told: asyncio.Queue[ToolProgressEvent | None] = asyncio.Queue()
        with watched(_teller(told, name, call_id)):
            result = asyncio.ensure_future(super().call_tool(name, arguments, cancellation_token, call_id))
        result.add_done_callback(lambda _: told.put_nowait(None))
        try:
            while (event := await told.get()) is not None:
                yield event
            yield await result
        finally:
            result.cancel()

    async def stop(self) -> None:
        """Close what the tools work with; calling it twice is allowed."""
        if self._once.value is not None:
            await self._once.value.close_async()

    async def reset(self) -> None:
        """Close what the tools work with, and go on with new sandboxes."""
        await self.stop()

    async def _made(self) -> Tools[AgentRunTool]:
        made = self._given if isinstance(self._given, Tools) else await asyncio.to_thread(self._given)
        self._tools = list(made)
        return made


def to_tool(tool: Tool) -> AgentRunTool:
    """A tool as AutoGen's own."""
    return AgentRunTool(tool)


def to_model(model: CommonModel) -> ChatModel:
    """A model as AutoGen's own; it streams, tells its usage, and signs its requests where there is no key."""
    from agentrun.integration.autogen_model import ChatModel  # Needed by nothing else, and slow to import.

    return ChatModel(model)


def session_id() -> str | None:
    """The session of the call that is under way: that of `with session("...")`, or else the team that runs.

    AutoGen tells tools nothing else; an agent that runs without a team has none.
    """
    try:
        return current_session() or MessageHandlerContext.agent_id().key
    except RuntimeError:
        return None


def _teller(told: asyncio.Queue[ToolProgressEvent | None], name: str, call_id: str | None) -> Progress:
    """Puts a call's progress into a queue, from whichever thread it comes."""
    loop = asyncio.get_running_loop()

    def tell(done: float, total: float | None, message: str | None) -> None:
        event = ToolProgressEvent(source=name, call_id=call_id, done=done, total=total, content=message or "")
        loop.call_soon_threadsafe(told.put_nowait, event)

    return tell


_autogen = Framework(to_tool, to_model)
model = _autogen.model
toolset = _autogen.toolset
tool_resource = _autogen.tool_resource
sandbox_toolset = _autogen.sandbox_toolset
knowledgebase_toolset = _autogen.knowledgebase_toolset
skill_tools = _autogen.skill_tools
