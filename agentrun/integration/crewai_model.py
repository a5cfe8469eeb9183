"""The platform's models for CrewAI, over its own client of OpenAI's chat API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field, SkipValidation

from agentrun.integration._extra import framework
from agentrun.integration._model import CommonModel

with framework("crewai", "crewai", "openai"):
    from crewai.llms.providers.openai.completion import OpenAICompletion
    from crewai.utilities.string_utils import sanitize_tool_name
    from openai import AsyncOpenAI, OpenAI

from agentrun.integration.crewai import AgentRunTool

# The key is the clients' own: fields of a CrewAI model are shown wherever the model is.
_KEPT = "kept-by-agentrun"


class Whole(dict[str, Any]):
    """What a model is told of a tool, which is not to be changed on its way."""


class ChatModel(OpenAICompletion):
    """CrewAI's OpenAI model with connections of the SDK, which sends the schemas of our tools as they are."""

    source: SkipValidation[CommonModel] = Field(exclude=True, repr=False)

    def __init__(self, source: CommonModel, model: str, **options: Any) -> None:
        found = source.shared_kwargs()
        given = {"stream": True, "custom_openai": True, "base_url": str(found["base_url"]), "api_key": _KEPT}
        super().__init__(model=model, **{**given, **options, "source": source})

    def call(self, messages: Any, tools: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Ask the model."""
        return super().call(messages, _whole(tools, kwargs), *args, **kwargs)

    async def acall(self, messages: Any, tools: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Ask the model."""
        return await super().acall(messages, _whole(tools, kwargs), *args, **kwargs)

    def _build_sync_client(self) -> OpenAI:
        return OpenAI(**self.source.shared_kwargs(), max_retries=self.max_retries)

    def _build_async_client(self) -> AsyncOpenAI:
        return AsyncOpenAI(**self.source.shared_kwargs(asynchronous=True), max_retries=self.max_retries)

    def _convert_tools_for_interference(self, tools: Sequence[Any]) -> list[dict[str, Any]]:
        return [
            dict(tool) if isinstance(tool, Whole) else super(ChatModel, self)._convert_tools_for_interference([tool])[0]
            for tool in tools
        ]


def _whole(tools: Sequence[Any] | None, asked: dict[str, Any]) -> list[Any] | None:
    """The tools, of which ours are told whole: CrewAI makes every argument required, for OpenAI's strict mode."""
    if not tools:
        return None
    known = {sanitize_tool_name(tool.name): tool for tool in _tools_of(asked)}
    return [_told(tool, known) for tool in tools]


def _told(tool: Any, known: dict[str, AgentRunTool]) -> Any:
    function = tool.get("function") or {}
    ours = known.get(function.get("name", ""))
    if ours is None:
        return tool
    told = {"name": function["name"], "description": ours.description, "parameters": ours.parameters}
    return Whole(type="function", function=told)


def _tools_of(asked: dict[str, Any]) -> list[AgentRunTool]:
    holders = (asked.get("from_agent"), asked.get("from_task"))
    found = [tool for holder in holders for tool in getattr(holder, "tools", None) or ()]
    return [tool for tool in found if isinstance(tool, AgentRunTool)]
