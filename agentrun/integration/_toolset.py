"""Several tools together: named, chosen, handed to a framework, and closed when their user is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from agentrun._core.closing import Closing
from agentrun.integration._conversions import Filter, Modify, SetConversions
from agentrun.integration._hooks import After, Audit, Before, Hooks
from agentrun.integration._resource import resource_tools
from agentrun.integration._session import PerSession
from agentrun.integration._tool import Tool

if TYPE_CHECKING:
    from agentrun.config import Config
    from agentrun.tool import Tool as ToolResource
    from agentrun.toolset import ToolSet

T = TypeVar("T")


class Holder(PerSession):
    """Tools that work with something, which is closed when their user is done, or for a session that is over."""

    _closing: tuple[Closing, ...] = ()

    async def close_async(self) -> None:
        """Close what the tools work with; calling it twice is allowed."""
        await close_each(self._closing)

    async def close_session_async(self, session_id: str | None) -> None:
        """Close what the tools keep for an agent's session, because it is over: its sandbox, for example."""
        for held in self._closing:
            if isinstance(held, PerSession):
                await held.close_session_async(session_id)


class CommonToolSet(SetConversions, Holder):
    """Tools of any origin, for any framework; `closing` are what they work with, which is closed with the set.

    A subclass has the methods that it decorates with `@tool` as tools, bound to the set, in the order of its text.
    """

    def __init__(self, tools_list: Iterable[Tool] | None = None, closing: Sequence[Closing] = ()) -> None:
        self._given = list(tools_list or ())
        self._closing = tuple(closing)

    @property
    def _tools(self) -> list[Tool]:
        # A subclass need not call __init__ to have its own methods as tools.
        classes = reversed(type(self).__mro__)
        names = dict.fromkeys(name for kind in classes for name, value in vars(kind).items() if isinstance(value, Tool))
        own = [value for name in names if isinstance(value := getattr(self, name), Tool)]
        return [*own, *vars(self).get("_given", ())]

    @classmethod
    def from_agentrun_toolset(
        cls, toolset: ToolSet, config: Config | None = None, refresh: bool = False
    ) -> CommonToolSet:
        """The tools of a tool set; what an API or an MCP server calls an error is raised as ToolError."""
        return CommonToolSet(resource_tools(toolset, config, refresh=refresh), [toolset])

    @classmethod
    def from_agentrun_tool(
        cls, tool_resource: ToolResource, config: Config | None = None, refresh: bool = False
    ) -> CommonToolSet:
        """What a tool of the platform offers; what an API or an MCP server calls an error is raised as ToolError."""
        return CommonToolSet(resource_tools(tool_resource, config, refresh=refresh), [tool_resource])

    def tools(
        self,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> list[Tool]:
        """The tools whose names pass the filter, then changed, then with `prefix_` before their names."""
        chosen = [tool for tool in self._tools if filter_tools_by_name is None or filter_tools_by_name(tool.name)]
        if modify_tool_name is not None:
            chosen = [modify_tool_name(tool) for tool in chosen]
        return [tool.renamed(f"{prefix}_{tool.name}" if prefix else tool.name) for tool in chosen]

    def converted(
        self,
        convert: Callable[[Tool], T],
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> Tools[T]:
        """The tools as a framework's own; the list closes what they work with."""
        chosen = self.tools(prefix, modify_tool_name, filter_tools_by_name)
        return Tools(map(convert, chosen), self._closing)

    @property
    def closing(self) -> list[Closing]:
        """What whoever takes over the tools has to close: the set, and what it works with."""
        return [self, *self._closing]

    def with_hooks(
        self,
        before: Before | Sequence[Before] | None = None,
        after: After | Sequence[After] | None = None,
        audit: Audit | Sequence[Audit] | None = None,
    ) -> CommonToolSet:
        """The same tools between these hooks, which Hooks describes; closing it closes what this set works with."""
        return CommonToolSet(map(Hooks(before, after, audit), self.tools()), self.closing)

    def to_openai_function(
        self,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> list[dict[str, Any]]:
        """The tools as the chat API of OpenAI takes them."""
        return [tool.to_openai_function() for tool in self.tools(prefix, modify_tool_name, filter_tools_by_name)]

    def to_anthropic_tool(
        self,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> list[dict[str, Any]]:
        """The tools as the messages API of Anthropic takes them."""
        return [tool.to_anthropic_tool() for tool in self.tools(prefix, modify_tool_name, filter_tools_by_name)]


class Tools(list[T], Holder):
    """A list of a framework's tools, which closes what they work with: by `close` or as a context manager."""

    def __init__(self, tools: Iterable[T] = (), closing: Sequence[Closing] = ()) -> None:
        super().__init__(tools)
        self._closing = tuple(closing)


async def close_each(held: Iterable[Closing]) -> None:
    """Close all of them, also when one cannot be; the first problem is raised at the end."""
    problems: list[Exception] = []
    for each in held:
        try:
            await each.close_async()
        except Exception as problem:
            problems.append(problem)
    if problems:
        raise problems[0]
