"""LlamaIndex's model for OpenAI's protocol, which sends the schemas of tools as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentrun.integration._extra import framework

with framework("llama_index", "llama_index"):
    from llama_index.llms.openai_like import OpenAILike

if TYPE_CHECKING:
    from llama_index.core.tools import BaseTool


class ChatModel(OpenAILike):  # type: ignore[misc] # It ships no types.
    """A model that is told of every tool what the tool says; the framework's own would forbid further arguments."""

    def _prepare_chat_with_tools(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> dict[str, Any]:
        prepared: dict[str, Any] = super()._prepare_chat_with_tools(tools, *args, **kwargs)
        if not self.strict:
            for sent, tool in zip(prepared.get("tools") or (), tools, strict=True):
                sent["function"]["parameters"] = tool.metadata.get_parameters_dict()
        return prepared
