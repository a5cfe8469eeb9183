"""The platform's models for ADK, over OpenAI's chat API."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from pydantic import Field, PrivateAttr, SkipValidation

from agentrun.integration._extra import framework
from agentrun.integration._model import CommonModel

with framework("google_adk", "google", "openai"):
    from google.adk.models import BaseLlm
    from google.adk.models._capabilities import LlmCapabilities
    from google.adk.models.llm_request import LlmRequest
    from google.adk.models.llm_response import LlmResponse
    from google.genai import types
    from openai import AsyncOpenAI

from agentrun.integration.google_adk import NO_JSON
from agentrun.integration.google_adk_messages import asked

_REASONS = {
    "length": types.FinishReason.MAX_TOKENS,
    "content_filter": types.FinishReason.SAFETY,
}


class ChatModel(BaseLlm):
    """A model that ADK asks over OpenAI's chat API, with connections of the SDK; it streams where the run does."""

    source: SkipValidation[CommonModel] = Field(exclude=True, repr=False)
    _client: AsyncOpenAI | None = PrivateAttr(default=None)

    @property
    def capabilities(self) -> LlmCapabilities:
        """Nothing that not every model behind the platform has: ADK finds other ways."""
        return LlmCapabilities()

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Ask the model; with `stream` its pieces come first, and the whole answer last."""
        self._maybe_append_user_content(llm_request)
        if self._client is None:
            self._client = AsyncOpenAI(**self.source.shared_kwargs(asynchronous=True))
        wanted = {"model": llm_request.model or self.model, **asked(llm_request)}
        if not stream:
            whole = await self._client.chat.completions.create(**wanted)
            yield _whole(whole)
            return
        pieces = await self._client.chat.completions.create(
            **wanted, stream=True, stream_options={"include_usage": True}
        )
        async with pieces:
            async for response in _streamed(pieces):
                yield response


class _Answer:
    """An answer as its pieces make it."""

    def __init__(self) -> None:
        self._thought = self._text = ""
        self._calls: dict[int, dict[str, str]] = {}
        self.reason: str | None = None
        self.usage: Any = None
        self.version: str | None = None

    def add(self, delta: Any) -> list[types.Part]:
        """What a piece shows at once: a text, a thought."""
        thought, text = getattr(delta, "reasoning_content", None) or "", delta.content or ""
        self._thought += thought
        self._text += text
        for call in delta.tool_calls or ():
            known = self._calls.setdefault(call.index or 0, {"id": "", "name": "", "arguments": ""})
            known["id"] = known["id"] or call.id or ""
            known["name"] += (call.function and call.function.name) or ""
            known["arguments"] += (call.function and call.function.arguments) or ""
        return _said(thought, text)

    def response(self) -> LlmResponse:
        """The whole answer."""
        calls = [_call(call["id"], call["name"], call["arguments"]) for _, call in sorted(self._calls.items())]
        return LlmResponse(
            content=types.Content(role="model", parts=[*_said(self._thought, self._text), *calls]),
            partial=False,
            finish_reason=_REASONS.get(self.reason or "", types.FinishReason.STOP),
            usage_metadata=_usage(self.usage),
            model_version=self.version,
        )


async def _streamed(pieces: AsyncIterator[Any]) -> AsyncIterator[LlmResponse]:
    answer = _Answer()
    async for piece in pieces:
        answer.usage, answer.version = piece.usage or answer.usage, piece.model
        for choice in piece.choices[:1]:
            answer.reason = choice.finish_reason or answer.reason
            shown = answer.add(choice.delta)
            if shown:
                yield LlmResponse(content=types.Content(role="model", parts=shown), partial=True)
    yield answer.response()


def _whole(completion: Any) -> LlmResponse:
    answer = _Answer()
    answer.usage, answer.version = completion.usage, completion.model
    message, answer.reason = completion.choices[0].message, completion.choices[0].finish_reason
    thought = getattr(message, "reasoning_content", None) or ""
    calls = [_call(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    response = answer.response()
    response.content = types.Content(role="model", parts=[*_said(thought, message.content or ""), *calls])
    return response


def _said(thought: str, text: str) -> list[types.Part]:
    thoughts = [types.Part(text=thought, thought=True)] if thought else []
    return [*thoughts, types.Part(text=text)] if text else thoughts


def _call(call_id: str, name: str, arguments: str) -> types.Part:
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        given = None
    args = given if isinstance(given, dict) else {NO_JSON: arguments}
    return types.Part(function_call=types.FunctionCall(id=call_id or None, name=name, args=args))


def _usage(usage: Any) -> types.GenerateContentResponseUsageMetadata | None:
    if usage is None:
        return None
    return types.GenerateContentResponseUsageMetadata(
        prompt_token_count=usage.prompt_tokens,
        candidates_token_count=usage.completion_tokens,
        total_token_count=usage.total_tokens,
        cached_content_token_count=getattr(usage.prompt_tokens_details, "cached_tokens", None),
        thoughts_token_count=getattr(usage.completion_tokens_details, "reasoning_tokens", None),
    )
