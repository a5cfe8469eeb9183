"""A model at a URL, called with its provider's key or signed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentrun._core.openai import OpenAIAPI
from agentrun.config import Config
from agentrun.model.model_api import ModelAPI
from agentrun.model.tracing import ModelCall

if TYPE_CHECKING:
    from agentrun._core.openai import Question


class ModelCompletionAPI(OpenAIAPI, ModelAPI):
    """A model at a URL; requests carry its provider's key, or with None for a key the platform's signature.

    `model` is asked unless a question names another.
    """

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str,
        model: str | None,
        headers: Mapping[str, str] | None = None,
        provider: str = "openai",
        config: Config | None = None,
    ) -> None:
        super().__init__(config=config)
        self.model = model
        self.provider = provider
        self._base_url = base_url.rstrip("/")
        self._signed = api_key is None
        self._headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        self._headers |= {name.lower(): value for name, value in (headers or {}).items()}

    def _base(self, config: Config | None) -> str:
        return self._base_url

    def headers(self, method: str, url: str, config: Config | None = None) -> dict[str, str]:
        """The provider's key or the signature, and the headers given."""
        return {**super().headers(method, url, config), **self._headers} if self._signed else self._headers

    async def ask(self, question: Question, arguments: dict[str, Any]) -> Any:
        """The answer to a question of the protocol."""
        asked = {**arguments, "model": arguments.get("model") or self.model}
        call = ModelCall(question, asked, self.provider, self._base_url)
        return await call.run(lambda headers: self._exchange(question, {**asked, "extra_headers": headers}))
