"""What a model can be asked, whoever answers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from agentrun._core.blocking import run
from agentrun._core.openai import CHAT, EMBEDDINGS, RESPONSES
from agentrun.model.rerank import RERANK

if TYPE_CHECKING:
    from openai.types import CreateEmbeddingResponse
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
    from openai.types.responses import Response, ResponseStreamEvent

    from agentrun._core.openai import Completion, Question, Responded
    from agentrun._core.streams import Stream
    from agentrun.model.rerank import RerankResult

F = TypeVar("F", bound=Callable[..., Any])


def _with_usage(ask: F) -> F:
    """The same verb, whose streams end with a chunk that tells the tokens used."""

    @functools.wraps(ask)
    def asked(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("stream"):
            kwargs["stream_options"] = {**(kwargs.get("stream_options") or {}), "include_usage": True}
        return ask(*args, **kwargs)

    return cast("F", asked)


class ModelAPI:
    """The verbs; a subclass says how a question comes to whoever answers it.

    All take every other parameter of the OpenAI protocol as it is, and beside them `timeout` (seconds of silence),
    `extra_headers`, `extra_query`, `extra_body` and `config`. `custom_llm_provider` is taken for compatibility: every
    provider is called in the same protocol. They raise AuthenticationError when the key is refused, and RateLimitError
    when there were too many calls.
    """

    async def ask(self, question: Question, arguments: dict[str, Any]) -> Any:
        """The answer to a question of the protocol; the verbs below say what there is to ask."""
        raise NotImplementedError

    # Completions

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
        """Continue a conversation: a completion, or a stream of chunks with `stream=True`."""
        found: Completion = await self.ask(
            CHAT, {"messages": list(messages), "model": model, "stream": stream, **kwargs}
        )
        return found

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
        """Continue a conversation: a completion, or a stream of chunks with `stream=True`."""
        return run(self.acompletion(messages, model, custom_llm_provider, stream=stream, **kwargs))

    # The older name of `completion`, whose streams always told the usage; the official client still has it.
    completions = _with_usage(completion)

    # Responses

    @overload
    async def aresponses(
        self,
        input: str | Sequence[Any],
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> Stream[ResponseStreamEvent]: ...

    @overload
    async def aresponses(
        self,
        input: str | Sequence[Any],
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: Literal[False] | None = None,
        **kwargs: Any,
    ) -> Response: ...

    @overload
    async def aresponses(
        self,
        input: str | Sequence[Any],
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: bool | None,
        **kwargs: Any,
    ) -> Responded: ...

    async def aresponses(
        self,
        input: str | Sequence[Any],
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: bool | None = None,
        **kwargs: Any,
    ) -> Responded:
        """Ask by the responses protocol: a response, or a stream of its events with `stream=True`."""
        found: Responded = await self.ask(RESPONSES, {"input": input, "model": model, "stream": stream, **kwargs})
        return found

    @overload
    def responses(
        self,
        input: str | Sequence[Any],
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> Stream[ResponseStreamEvent]: ...

    @overload
    def responses(
        self,
        input: str | Sequence[Any],
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: Literal[False] | None = None,
        **kwargs: Any,
    ) -> Response: ...

    @overload
    def responses(
        self,
        input: str | Sequence[Any],
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: bool | None,
        **kwargs: Any,
    ) -> Responded: ...

    def responses(
        self,
        input: str | Sequence[Any],
        model: str | None = None,
        custom_llm_provider: str | None = None,
        *,
        stream: bool | None = None,
        **kwargs: Any,
    ) -> Responded:
        """Ask by the responses protocol: a response, or a stream of its events with `stream=True`."""
        return run(self.aresponses(input, model, custom_llm_provider, stream=stream, **kwargs))

    # Vectors and ranks

    async def aembedding(
        self,
        input: str | Sequence[Any] = (),
        model: str | None = None,
        custom_llm_provider: str | None = None,
        **kwargs: Any,
    ) -> CreateEmbeddingResponse:
        """The vectors of one text or several."""
        given = input if isinstance(input, str) else list(input)
        found: CreateEmbeddingResponse = await self.ask(EMBEDDINGS, {"input": given, "model": model, **kwargs})
        return found

    def embedding(
        self,
        input: str | Sequence[Any] = (),
        model: str | None = None,
        custom_llm_provider: str | None = None,
        **kwargs: Any,
    ) -> CreateEmbeddingResponse:
        """The vectors of one text or several."""
        return run(self.aembedding(input, model, custom_llm_provider, **kwargs))

    async def arerank(
        self,
        query: str,
        documents: Sequence[Any],
        model: str | None = None,
        *,
        top_n: int | None = None,
        **kwargs: Any,
    ) -> RerankResult:
        """How well each document answers a query, the best first; `top_n` keeps so many."""
        given = {"query": query, "documents": list(documents), "model": model, "top_n": top_n, **kwargs}
        found: RerankResult = await self.ask(RERANK, given)
        return found

    def rerank(
        self,
        query: str,
        documents: Sequence[Any],
        model: str | None = None,
        *,
        top_n: int | None = None,
        **kwargs: Any,
    ) -> RerankResult:
        """How well each document answers a query, the best first; `top_n` keeps so many."""
        return run(self.arerank(query, documents, model, top_n=top_n, **kwargs))
