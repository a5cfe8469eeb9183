"""The platform's models for AutoGen, over its own client of OpenAI's chat API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from agentrun.integration._extra import framework

with framework("autogen", "autogen_core", "autogen_ext", "openai", "tiktoken"):
    from autogen_core.models import CreateResult, ModelFamily, ModelInfo
    from autogen_ext.models.openai import OpenAIChatCompletionClient

if TYPE_CHECKING:
    from agentrun.integration._model import CommonModel

# AutoGen refuses what it does not expect of a model; here the service says what its model cannot do.
ANY_MODEL = ModelInfo(
    vision=True,
    function_calling=True,
    json_output=True,
    structured_output=True,
    multiple_system_messages=True,
    family=ModelFamily.UNKNOWN,
)


class ChatModel(OpenAIChatCompletionClient):
    """AutoGen's OpenAI client with connections of the SDK, which also tells its usage in a stream."""

    def __init__(self, source: CommonModel) -> None:
        super().__init__(model=source.name, model_info=ANY_MODEL, **source.shared_kwargs(asynchronous=True))

    def create_stream(
        self, messages: Any, *, include_usage: bool | None = None, **options: Any
    ) -> AsyncGenerator[str | CreateResult, None]:
        """Ask the model: pieces of its answer, and last the whole."""
        asked = options.get("extra_create_args") or {}
        wanted = True if include_usage is None and "stream_options" not in asked else include_usage
        return super().create_stream(messages, include_usage=wanted, **options)

    async def close(self) -> None:
        """Nothing: the connections are the SDK's, and other models use them too."""
