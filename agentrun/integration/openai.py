"""Tools and models for the `openai` package, without a framework: the chat API's own format.

`client.chat.completions.create(..., tools=tools)` is told of them, and `messages += tools.run_calls(message)` runs what
the model answered with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from agentrun.integration._calls import Call, CallsFramework, RunsCalls, field_of, returning
from agentrun.integration._extra import framework
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._tool import Tool

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

    from agentrun.integration._model import CommonModel


class ChatModel(NamedTuple):
    """A model's name, and the clients that reach it: `found.client.chat.completions.create(model=found.name, ...)`."""

    name: str
    client: OpenAI
    async_client: AsyncOpenAI


class OpenAITools(RunsCalls):
    """Tools as the chat API takes them, which run the calls of its messages."""

    @staticmethod
    def to_dict(tool: Tool) -> dict[str, Any]:
        """A tool as the chat API takes it."""
        return tool.to_openai_function()

    @staticmethod
    def calls_in(message: Any) -> list[Call]:
        """The calls in a message, which may be an object of the package or a dict."""
        found: list[Call] = []
        for call in field_of(message, "tool_calls") or ():
            asked, given = ("function", "arguments") if field_of(call, "type") != "custom" else ("custom", "input")
            function = field_of(call, asked)
            found.append(Call(field_of(call, "id"), field_of(function, "name"), field_of(function, given) or ""))
        return found

    @staticmethod
    def answers(outcomes: Sequence[tuple[Call, ToolOutcome]]) -> list[dict[str, Any]]:
        """A message for each call; pictures, which those may not have, come after them in one of the user's."""
        told = [{"role": "tool", "tool_call_id": call.id, "content": outcome.text} for call, outcome in outcomes]
        parts: list[dict[str, Any]] = []
        for call, outcome in outcomes:
            if outcome.images:
                parts.append({"type": "text", "text": f"What {call.name} ({call.id}) shows:"})
                parts += [{"type": "image_url", "image_url": {"url": image.url}} for image in outcome.images]
        return [*told, {"role": "user", "content": parts}] if parts else told


def to_model(model: CommonModel) -> ChatModel:
    """A model as clients of the package, which sign where there is no key."""
    with framework("openai", "openai"):
        from openai import AsyncOpenAI, OpenAI  # Slow to import, and needed by nothing else.

    asynchronous = AsyncOpenAI(**model.shared_kwargs(asynchronous=True))
    return ChatModel(model.name, OpenAI(**model.shared_kwargs()), asynchronous)


_openai = CallsFramework(OpenAITools, to_model)
model = _openai.model
toolset = returning(OpenAITools, _openai.toolset)
tool_resource = returning(OpenAITools, _openai.tool_resource)
sandbox_toolset = returning(OpenAITools, _openai.sandbox_toolset)
knowledgebase_toolset = returning(OpenAITools, _openai.knowledgebase_toolset)
skill_tools = returning(OpenAITools, _openai.skill_tools)
