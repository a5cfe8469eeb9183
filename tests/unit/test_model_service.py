"""Model services: whose key is used, and how answers come."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion

from agentrun import (
    AuthenticationError,
    BackendType,
    Config,
    ConfigError,
    ModelClient,
    ModelCompletionAPI,
    ModelProxyCreateInput,
    ModelService,
    ModelServiceListInput,
    UnsupportedError,
)
from tests.unit.recording import Do, Platform, Sent, by_path, enveloped, in_both_modes

CREDENTIAL = "GET /2025-09-10/agents/credentials/c"
CHAT = "POST /v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]


def service(config: Config, **settings: Any) -> ModelService:
    found = {"baseUrl": "http://provider.test/v1/", "modelNames": ["m-1", "m-2"], **settings}
    return ModelService.of({"modelServiceName": "ms", "credentialName": "c", "providerSettings": found}, config)


def answer() -> httpx.Response:
    message = {"role": "assistant", "content": "hello"}
    return httpx.Response(200, json={"id": "c", "choices": [{"index": 0, "message": message}]})


def pieces() -> httpx.Response:
    text = "".join(
        f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': each}}]})}\n\n" for each in ("a", "b")
    )
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=f"{text}data: [DONE]\n\n")


def provider(chat: httpx.Response | None = None, secret: str | None = "sk-kept") -> Platform:
    """A provider, and the platform that keeps its key."""
    return Platform(
        by_path(
            {
                CREDENTIAL: lambda: enveloped({"credentialName": "c", "credentialSecret": secret}),
                CHAT: lambda: chat or answer(),
            }
        )
    )


@in_both_modes
def test_the_key_of_the_settings_comes_first(do: Do) -> None:
    platform = provider()
    found = do(service(platform.config(), apiKey="sk-own"), "completion", HI)
    assert isinstance(found, ChatCompletion)
    assert found.choices[0].message.content == "hello"
    assert platform.calls == [CHAT]
    assert platform.requests[0].headers["authorization"] == "Bearer sk-own"
    assert "agentrun-authorization" not in platform.requests[0].headers
    assert platform.requests[0].body == {"model": "m-1", "messages": HI}


@in_both_modes
def test_the_key_of_the_credential_is_asked_for_once(do: Do) -> None:
    platform = provider()
    held = service(platform.config())
    do(held, "completion", HI, "m-2", temperature=0)
    do(held, "completion", messages=HI)
    assert platform.calls == [CREDENTIAL, CHAT, CHAT]
    assert platform.requests[2].headers["authorization"] == "Bearer sk-kept"
    assert platform.requests[1].body == {"model": "m-2", "messages": HI, "temperature": 0}


def test_a_key_that_is_refused_is_asked_for_again() -> None:
    platform = provider(httpx.Response(401, json={"error": {"message": "bad key", "code": "invalid_api_key"}}))
    held = service(platform.config())
    for _ in range(2):
        with pytest.raises(AuthenticationError, match=r"bad key.*invalid_api_key"):
            held.completion(HI)
    assert platform.calls == [CREDENTIAL, CHAT] * 2


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match="has no key"):
        service(provider(secret=None).config()).completion(HI)
    with pytest.raises(ConfigError, match="has no URL"):
        service(provider().config(), baseUrl=None).completion(HI)


def test_pieces_come_one_by_one() -> None:
    stream = service(provider(pieces()).config(), apiKey="k").completions(HI, stream=True)
    with stream:
        assert [chunk.choices[0].delta.content for chunk in stream] == ["a", "b"]


@pytest.mark.asyncio
async def test_pieces_come_one_by_one_on_a_loop() -> None:
    stream = await service(provider(pieces()).config(), apiKey="k").acompletion(HI, stream=True)
    assert [chunk.choices[0].delta.content async for chunk in stream] == ["a", "b"]


def test_what_belongs_to_the_call_is_not_in_the_body() -> None:
    platform = provider()
    watched: list[httpx.Request] = []
    platform.watch = watched.append
    api = ModelCompletionAPI(api_key="k", base_url="http://provider.test/v1", model="m", config=platform.config())
    api.completion(HI, timeout=7, extra_headers={"x-a": "1"}, extra_body={"top_k": 1})
    assert platform.requests[0].body == {"model": "m", "messages": HI, "top_k": 1}
    assert platform.requests[0].headers["x-a"] == "1"
    assert watched[0].extensions["timeout"]["read"] == 7


@in_both_modes
def test_the_openai_client_takes_what_it_needs(do: Do) -> None:
    with OpenAI(**do(service(provider().config()), "openai_kwargs")) as client:
        assert (client.api_key, str(client.base_url)) == ("sk-kept", "http://provider.test/v1/")


def test_keys_are_not_shown() -> None:
    held = service(provider().config(), apiKey="sk-own")
    assert "sk-own" not in repr(held) + repr(held.model_info())
    assert (held.model_info().api_key, held.model_info().model) == ("sk-own", "m-1")


@in_both_modes
def test_the_client_knows_services_and_names_what_is_missing(do: Do) -> None:
    platform = Platform(lambda _: enveloped({"items": [{"modelServiceName": "ms"}], "modelServiceName": "ms"}))
    client = ModelClient(platform.config())
    assert do(client, "get", "ms").model_service_name == "ms"
    assert [each.model_service_name for each in do(client, "list", ModelServiceListInput(page_size=5))] == ["ms"]
    with pytest.raises(UnsupportedError, match="model plane"):
        do(client, "get", "mp", BackendType.PROXY)
    with pytest.raises(UnsupportedError, match="model plane"):
        do(client, "create", ModelProxyCreateInput(model_proxy_name="mp"))
    assert len(platform.requests) == 2


def test_an_update_returns_the_object_itself() -> None:
    def renamed(sent: Sent) -> httpx.Response:
        return enveloped({"modelServiceName": "ms", "description": sent.body["description"]})

    held = service(Platform(renamed).config())
    assert held.update(description="d") is held
    assert held.description == "d"
