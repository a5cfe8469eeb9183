"""Completions from a provider, at its own URL and with its own key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from agentrun._core.blocking import run
from agentrun._core.openai import ChatAPI
from agentrun.config import Config

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    from agentrun._core.openai import Completion
    from agentrun._core.streams import Stream


class Completions:
    """The verbs of whatever answers chat completions; a subclass says how one of them is made."""

    async def complete_async(self, arguments: dict[str, Any]) -> Completion:
        """The answer to a request of the protocol: a completion, or a stream of chunks."""
        raise NotImplementedError

    def complete(self, arguments: dict[str, Any]) -> Completion:
        """The answer to a request of the protocol: a completion, or a stream of chunks."""
        return run(self.complete_async(arguments))

    @overload
    async def acompletion(
        self,
        messages: Iterable[Any] = (),
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> Stream[ChatCompletionChunk]: ...

    @overload
    async def acompletion(
        self,
        messages: Iterable[Any] = (),
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: Literal[False] | None = None,
        **kwargs: Any,
    ) -> ChatCompletion: ...

    @overload
    async def acompletion(
        self,
        messages: Iterable[Any] = (),
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: bool | None,
        **kwargs: Any,
    ) -> Completion: ...

    async def acompletion(
        self,
        messages: Iterable[Any] = (),
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: bool | None = None,
        **kwargs: Any,
    ) -> Completion:
        """Ask the model: a completion, or a stream of chunks with `stream=True`.

        Every other parameter of the OpenAI chat protocol passes as it is; `timeout` is seconds of silence.
        `custom_llm_provider` is taken for compatibility: every provider is called in the same protocol.
        Raises AuthenticationError when the provider refuses the key.
        """
        arguments = {"messages": list(messages), "model": model, "stream": stream, **kwargs}
        return await self.complete_async({name: value for name, value in arguments.items() if value is not None})

    @overload
    def completion(
        self,
        messages: Iterable[Any] = (),
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> Stream[ChatCompletionChunk]: ...

    @overload
    def completion(
        self,
        messages: Iterable[Any] = (),
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: Literal[False] | None = None,
        **kwargs: Any,
    ) -> ChatCompletion: ...

    @overload
    def completion(
        self,
        messages: Iterable[Any] = (),
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: bool | None,
        **kwargs: Any,
    ) -> Completion: ...

    def completion(
        self,
        messages: Iterable[Any] = (),
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: bool | None = None,
        **kwargs: Any,
    ) -> Completion:
        """Ask the model: a completion, or a stream of chunks with `stream=True`.

        Every other parameter of the OpenAI chat protocol passes as it is; `timeout` is seconds of silence.
        `custom_llm_provider` is taken for compatibility: every provider is called in the same protocol.
        Raises AuthenticationError when the provider refuses the key.
        """
        arguments = {"messages": list(messages), "model": model, "stream": stream, **kwargs}
        return run(self.complete_async({name: value for name, value in arguments.items() if value is not None}))

    # The older name of `completion`; the official client still has it.
    completions = completion


class ModelCompletionAPI(Completions, ChatAPI):
    """A model at a URL, reached with its provider's key instead of a signature."""

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        model: str,
        headers: Mapping[str, str] | None = None,
        provider: str = "openai",
        config: Config | None = None,
    ) -> None:
        super().__init__(config=config)
        self.model = model
        self.provider = provider
        self._base_url = base_url.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}", **(headers or {})}

    def url(self, path: str = "", query: Mapping[str, Any] | None = None, config: Config | None = None) -> str:
        """The complete URL of a path at the provider."""
        return f"{self._base_url}{path}"

    def headers(self, method: str, url: str, config: Config | None = None) -> dict[str, str]:
        """The provider's key, and the headers given."""
        return self._headers

    async def complete_async(self, arguments: dict[str, Any]) -> Completion:
        """The answer to a request of the protocol; the model is this one unless the request names another."""
        return await self._chat("/chat/completions", {"model": self.model, **arguments})

    def complete(self, arguments: dict[str, Any]) -> Completion:
        """The answer to a request of the protocol; the model is this one unless the request names another."""
        return run(self.complete_async(arguments))
