"""What type checkers make of calls: these functions are checked with the rest, and never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import assert_type

from agentrun import AgentRuntime, CodeInterpreterSandbox, Config, Credential, ModelService, Sandbox, TemplateType
from agentrun._core.paging import AsyncLazyList, LazyList
from agentrun._core.streams import Stream
from agentrun.credential import CredentialListOutput

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

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
