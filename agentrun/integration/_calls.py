"""Tools for programs without a framework, which run the calls that a model answered with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from typing_extensions import ParamSpec, Self

from agentrun._core.closing import Closing
from agentrun.errors import InvalidInputError
from agentrun.integration._conversions import Filter, Modify
from agentrun.integration._framework import Framework, ModelT
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._tool import Tool
from agentrun.integration._toolset import CommonToolSet, Tools

if TYPE_CHECKING:
    from agentrun.integration._model import CommonModel

P = ParamSpec("P")
RunnerT = TypeVar("RunnerT", bound="RunsCalls")


class Call(NamedTuple):
    """A call that a model wants; its arguments are an object, or its JSON."""

    id: str
    name: str
    arguments: Mapping[str, Any] | str


class RunsCalls(Tools[dict[str, Any]]):
    """A list of tools as an API takes them; a subclass reads a model's message, and writes the answer to it."""

    def __init__(self, tools: Iterable[Tool], closing: Sequence[Closing] = ()) -> None:
        self._known: dict[str, Tool] = {}
        for tool in tools:
            if tool.name in self._known:
                hint = "Give one of them a prefix where it is made: toolset(..., prefix=...)"
                raise InvalidInputError(f"there are two tools {tool.name!r}", field="tools", hint=hint)
            self._known[tool.name] = tool
        super().__init__(map(self.to_dict, self._known.values()), closing)

    def joined(self, *others: Self) -> Self:
        """These tools and others as one list, which runs the calls of all, and closes all.

        Raises InvalidInputError when two of them have the same name.
        """
        tools = [tool for each in (self, *others) for tool in each._known.values()]
        return type(self)(tools, [self, *others])

    @staticmethod
    def to_dict(tool: Tool) -> dict[str, Any]:
        """A tool as the API takes it."""
        raise NotImplementedError

    @staticmethod
    def calls_in(message: Any) -> list[Call]:
        """The calls that a model's message has."""
        raise NotImplementedError

    @staticmethod
    def answers(outcomes: Sequence[tuple[Call, ToolOutcome]]) -> list[dict[str, Any]]:
        """What the conversation goes on with."""
        raise NotImplementedError

    async def run_calls_async(self, message: Any, session_id: str | None = None) -> list[dict[str, Any]]:
        """Run the calls of a model's message at the same time: the messages that go after it, none without calls.

        An error is an answer that says so, and is not raised. `session_id` names the conversation; each has a sandbox
        of its own.
        """
        calls = self.calls_in(message)
        outcomes = await asyncio.gather(
            *(self._tool(call.name).outcome_async(call.arguments, session_id) for call in calls)
        )
        return self.answers(list(zip(calls, outcomes, strict=True)))

    def run_calls(self, message: Any, session_id: str | None = None) -> list[dict[str, Any]]:
        """Run the calls of a model's message at the same time: the messages that go after it, none without calls.

        An error is an answer that says so, and is not raised. `session_id` names the conversation; each has a sandbox
        of its own.
        """
        calls = self.calls_in(message)
        if not calls:
            return self.answers([])
        # Without an event loop, only threads wait for several calls at once.
        with ThreadPoolExecutor(len(calls), thread_name_prefix="agentrun-tools") as pool:
            running = [
                pool.submit(copy_context().run, self._tool(call.name).outcome, call.arguments, session_id)
                for call in calls
            ]
            return self.answers([(call, each.result()) for call, each in zip(calls, running, strict=True)])

    def _tool(self, name: str) -> Tool:
        return self._known.get(name) or self._missing(name)

    def _missing(self, name: str) -> Tool:
        async def perform(arguments: dict[str, Any]) -> Any:
            known = ", ".join(self._known)
            raise InvalidInputError(f"there is no tool {name!r}", field="name", hint=f"There are {known}")

        return Tool(name, "", perform=perform)


class CallsFramework(Framework[dict[str, Any], ModelT]):
    """An API without a framework, whose tools are a list of `kind`."""

    def __init__(self, kind: type[RunsCalls], to_model: Callable[[CommonModel], ModelT]) -> None:
        super().__init__(kind.to_dict, to_model)
        self._kind = kind

    def tools(
        self,
        found: CommonToolSet,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> RunsCalls:
        """Tools of any origin, as a list that runs the calls of a message."""
        return self._kind(found.tools(prefix, modify_tool_name, filter_tools_by_name), [found])


def returning(kind: type[RunnerT], function: Callable[P, Tools[Any]]) -> Callable[P, RunnerT]:
    """A function of a framework, of which it is known that the list it returns is of this kind."""
    return cast("Callable[P, RunnerT]", function)


def field_of(value: Any, name: str) -> Any:
    """A field of an object of the API's own package, or of the same as a dict."""
    return cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else getattr(value, name, None)
