"""Tools as those of a framework, by the official names; the framework's own module says what a tool becomes."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from agentrun.integration._tool import Tool

Modify: TypeAlias = "Callable[[Tool], Tool]"
Filter: TypeAlias = "Callable[[str], bool]"


def to_tool_of(framework: str) -> Callable[[Any], Any]:
    """What makes a framework's tool of ours; raises ImportError, which names the extra, when it is not installed."""
    convert: Callable[[Any], Any] = import_module(f"agentrun.integration.{framework}").to_tool
    return convert


def to_model_of(framework: str) -> Callable[[Any], Any]:
    """What makes a framework's model of ours; raises ImportError, which names the extra, when it is not installed."""
    convert: Callable[[Any], Any] = import_module(f"agentrun.integration.{framework}").to_model
    return convert


class ModelConversions:
    """A model in the forms of frameworks; each method raises ImportError when its framework is not installed."""

    def to_langchain(self) -> Any:
        """The model as LangChain's own."""
        return to_model_of("langchain")(self)

    def to_langgraph(self) -> Any:
        """The model as LangGraph's own."""
        return to_model_of("langgraph")(self)

    def to_agentscope(self) -> Any:
        """The model as AgentScope's own."""
        return to_model_of("agentscope")(self)

    def to_crewai(self) -> Any:
        """The model as CrewAI's own."""
        return to_model_of("crewai")(self)

    def to_google_adk(self) -> Any:
        """The model as Google ADK's own."""
        return to_model_of("google_adk")(self)

    def to_pydantic_ai(self) -> Any:
        """The model as PydanticAI's own."""
        return to_model_of("pydantic_ai")(self)


class ToolConversions:
    """One tool in the forms of frameworks; each method raises ImportError when its framework is not installed."""

    def to_langchain(self) -> Any:
        """The tool as LangChain's own."""
        return to_tool_of("langchain")(self)

    def to_langgraph(self) -> Any:
        """The tool as LangGraph's own."""
        return to_tool_of("langgraph")(self)

    def to_agentscope(self) -> Any:
        """The tool as AgentScope's own."""
        return to_tool_of("agentscope")(self)

    def to_crewai(self) -> Any:
        """The tool as CrewAI's own."""
        return to_tool_of("crewai")(self)

    def to_google_adk(self) -> Any:
        """The tool as Google ADK's own."""
        return to_tool_of("google_adk")(self)

    def to_pydanticai(self) -> Any:
        """The tool as PydanticAI's own."""
        return to_tool_of("pydantic_ai")(self)

    langchain = to_langchain
    google_adk = to_google_adk
    pydanticai = to_pydanticai


class SetConversions:
    """Several tools in the forms of frameworks; each method raises ImportError when its framework is not installed."""

    def converted(
        self,
        convert: Callable[[Tool], Any],
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> Any:
        """The tools, each converted."""
        raise NotImplementedError

    def to_langchain(
        self,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> Any:
        """The tools as LangChain's own, in a list that closes what they work with."""
        return self.converted(to_tool_of("langchain"), prefix, modify_tool_name, filter_tools_by_name)

    def to_langgraph(
        self,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> Any:
        """The tools as LangGraph's own, in a list that closes what they work with."""
        return self.converted(to_tool_of("langgraph"), prefix, modify_tool_name, filter_tools_by_name)

    def to_agentscope(
        self,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> Any:
        """The tools as AgentScope's own, in a list that closes what they work with."""
        return self.converted(to_tool_of("agentscope"), prefix, modify_tool_name, filter_tools_by_name)

    def to_crewai(
        self,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> Any:
        """The tools as CrewAI's own, in a list that closes what they work with."""
        return self.converted(to_tool_of("crewai"), prefix, modify_tool_name, filter_tools_by_name)

    def to_google_adk(
        self,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> Any:
        """The tools as Google ADK's own, in a list that closes what they work with."""
        return self.converted(to_tool_of("google_adk"), prefix, modify_tool_name, filter_tools_by_name)

    def to_pydantic_ai(
        self,
        prefix: str | None = None,
        modify_tool_name: Modify | None = None,
        filter_tools_by_name: Filter | None = None,
    ) -> Any:
        """The tools as PydanticAI's own, in a list that closes what they work with."""
        return self.converted(to_tool_of("pydantic_ai"), prefix, modify_tool_name, filter_tools_by_name)
