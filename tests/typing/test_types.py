"""What type checkers make of calls: these functions are checked with the rest, and never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import assert_type

from agentrun import (
    AgentRuntime,
    BackendType,
    CodeInterpreterSandbox,
    Config,
    Credential,
    ModelClient,
    ModelProvider,
    ModelProxy,
    ModelProxyCreateInput,
    ModelProxyStats,
    ModelService,
    ModelServiceListInput,
    RerankResult,
    Sandbox,
    TemplateType,
)
from agentrun._core.paging import AsyncLazyList, LazyList
from agentrun._core.streams import Stream
from agentrun.credential import CredentialListOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openai.types import CreateEmbeddingResponse
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
    from openai.types.responses import Response, ResponseStreamEvent

    def chat_with_an_agent(runtime: AgentRuntime, *, stream: bool) -> None:
        """The type follows `stream`."""
        assert_type(runtime.invoke_openai(messages=[]), ChatCompletion)
        assert_type(runtime.invoke_openai(messages=[], stream=True), Stream[ChatCompletionChunk])
        assert_type(runtime.invoke_openai(messages=[], stream=stream), ChatCompletion | Stream[ChatCompletionChunk])
        for chunk in runtime.invoke_openai("prod", messages=[], stream=True):
            assert_type(chunk, ChatCompletionChunk)

    async def chat_with_a_model(service: ModelService) -> None:
        """The same for models, awaited."""
        assert_type(await service.acompletion([]), ChatCompletion)
        async for chunk in await service.acompletion([], stream=True):
            assert_type(chunk, ChatCompletionChunk)

    def what_a_model_answers(proxy: ModelProxy, *, stream: bool) -> None:
        """Each question has its type, and the older name of one the same."""
        assert_type(proxy.completions([], stream=True), Stream[ChatCompletionChunk])
        assert_type(proxy.completions([]), ChatCompletion)
        assert_type(proxy.responses("hi"), Response)
        assert_type(proxy.responses("hi", stream=True), Stream[ResponseStreamEvent])
        assert_type(proxy.responses("hi", stream=stream), Response | Stream[ResponseStreamEvent])
        assert_type(proxy.embedding("a"), CreateEmbeddingResponse)
        assert_type(proxy.rerank("q", ["a"]), RerankResult)
        assert_type(proxy.stats(), ModelProxyStats)

    async def models_by_their_client(client: ModelClient, kind: BackendType) -> None:
        """The class follows the input, or the type that is named."""
        assert_type(client.create(ModelProxyCreateInput()), ModelProxy)
        assert_type(client.get("x"), ModelService | ModelProxy)
        assert_type(client.get("x", kind), ModelService | ModelProxy)
        assert_type(client.get("x", BackendType.PROXY), ModelProxy)
        assert_type(await client.delete_async("x", BackendType.SERVICE), ModelService)
        assert_type(client.list(ModelServiceListInput()), Sequence[ModelService])
        assert_type(client.list_providers(), LazyList[ModelProvider])

    def models_chain(service: ModelService, proxy: ModelProxy) -> None:
        """What services and proxies share gives back the one it was called on."""
        assert_type(service.update(description="d").refresh().delete(), ModelService)
        assert_type(ModelProxy.create(model_proxy_name="p").wait_until_ready(), ModelProxy)
        assert_type(ModelProxy.list_all(), LazyList[ModelProxy])

    def verbs_chain(credential: Credential, runtime: AgentRuntime) -> None:
        """Every verb gives the object back."""
        assert_type(credential.update(description="d").refresh().delete(), Credential)
        assert_type(runtime.wait_until_ready().refresh(), AgentRuntime)

    async def lists(config: Config) -> None:
        """A lazy list, and one that is awaited or iterated."""
        assert_type(Credential.list_all(config=config), LazyList[CredentialListOutput])
        assert_type(Credential.list_all_async(config=config), AsyncLazyList[CredentialListOutput])
        assert_type(await Credential.list_all_async(config=config), list[CredentialListOutput])

    def sandboxes() -> None:
        """The class follows the template's type."""
        sandbox = Sandbox.create(TemplateType.CODE_INTERPRETER, "python")
        assert_type(sandbox, CodeInterpreterSandbox)
        assert_type(sandbox.context.execute("1").stdout, str)


def test_these_functions_are_for_type_checkers() -> None:
    assert not TYPE_CHECKING
