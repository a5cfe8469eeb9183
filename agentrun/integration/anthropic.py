"""Tools and models for the `anthropic` package, without a framework: the messages API's own format.

`client.messages.create(..., tools=tools)` is told of them, and `messages += tools.run_calls(message)` runs what the
model answered with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from agentrun.errors import UnsupportedError
from agentrun.integration._calls import Call, CallsFramework, RunsCalls, field_of, returning
from agentrun.integration._extra import framework
from agentrun.integration._outcome import ToolOutcome
from agentrun.integration._tool import Tool

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic

    from agentrun.integration._model import CommonModel


class MessagesModel(NamedTuple):
    """A model's name, and the clients that reach it: `found.client.messages.create(model=found.name, ...)`."""

    name: str
    client: Anthropic
    async_client: AsyncAnthropic


class AnthropicTools(RunsCalls):
    """Tools as the messages API takes them, which run the calls of its messages."""

    @staticmethod
    def to_dict(tool: Tool) -> dict[str, Any]:
        """A tool as the messages API takes it."""
        return tool.to_anthropic_tool()

    @staticmethod
    def calls_in(message: Any) -> list[Call]:
        """The calls in a message, which may be an object of the package or a dict."""
        content = field_of(message, "content")
        blocks = () if isinstance(content, str) or content is None else content
        return [
            Call(field_of(block, "id"), field_of(block, "name"), field_of(block, "input") or {})
            for block in blocks
            if field_of(block, "type") == "tool_use"
        ]

    @staticmethod
    def answers(outcomes: Sequence[tuple[Call, ToolOutcome]]) -> list[dict[str, Any]]:
        """One message of the user's with all results; a call that failed is marked as an error."""
        results = [_result(call, outcome) for call, outcome in outcomes]
        return [{"role": "user", "content": results}] if results else []


def _result(call: Call, outcome: ToolOutcome) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": outcome.text}] if outcome.text else []
    for image in outcome.images:
        source = {"type": "base64", "media_type": image.media_type, "data": image.data}
        content.append({"type": "image", "source": source})
    failed = {"is_error": True} if outcome.is_error else {}
    return {"type": "tool_result", "tool_use_id": call.id, "content": content, **failed}


def to_model(model: CommonModel) -> MessagesModel:
    """A model as clients of the package.

    It must be reached with a key, at a provider that speaks this protocol: the platform itself speaks OpenAI's. Raises
    UnsupportedError where there is none.
    """
    with framework("anthropic", "anthropic"):
        from anthropic import Anthropic, AsyncAnthropic  # Slow to import, and needed by nothing else.

    info = model.get_model_info()
    if not info.api_key or not info.base_url:
        raise UnsupportedError(
            501,
            f"{model.model_obj.label} is reached through the platform, which does not speak Anthropic's protocol",
            hint="Give the model service a key of the provider's, or use agentrun.integration.openai",
        )
    # The package brings `/v1` itself, which the URLs of services end in.
    given: dict[str, Any] = {"api_key": info.api_key, "base_url": info.base_url.rstrip("/").removesuffix("/v1")}
    if info.headers:
        given["default_headers"] = info.headers
    return MessagesModel(model.name, Anthropic(**given), AsyncAnthropic(**given))


_anthropic = CallsFramework(AnthropicTools, to_model)
model = _anthropic.model
toolset = returning(AnthropicTools, _anthropic.toolset)
tool_resource = returning(AnthropicTools, _anthropic.tool_resource)
sandbox_toolset = returning(AnthropicTools, _anthropic.sandbox_toolset)
knowledgebase_toolset = returning(AnthropicTools, _anthropic.knowledgebase_toolset)
skill_tools = returning(AnthropicTools, _anthropic.skill_tools)
