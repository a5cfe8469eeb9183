"""A model as PydanticAI's own; what talks to OpenAI's protocol is slow to import, and only this needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrun.integration._extra import framework

with framework("pydantic_ai", "pydantic_ai", "openai"):
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai import OpenAIProvider

if TYPE_CHECKING:
    from agentrun.integration._model import CommonModel


def chat_model(model: CommonModel) -> OpenAIChatModel:
    """The model over the chat API; schemas are sent as they are, and usage is told."""
    client = AsyncOpenAI(**model.shared_kwargs(asynchronous=True))
    profile = OpenAIModelProfile(json_schema_transformer=None, openai_supports_strict_tool_definition=False)
    return OpenAIChatModel(model.name, provider=OpenAIProvider(openai_client=client), profile=profile)
