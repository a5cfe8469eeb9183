"""Model services: whose key is used, what can be asked, and how answers come."""

from __future__ import annotations

import json
import pickle
from typing import Any

import httpx
import pytest
from openai import BaseModel, OpenAI
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response, ResponseErrorEvent, ResponseTextDeltaEvent

from agentrun import (
    AuthenticationError,
    Config,
    ConfigError,
    InvalidResponseError,
    ModelCompletionAPI,
    ModelService,
    Provider,
    RerankResult,
    ServerError,
)
from agentrun.model.provider_keys import KEYLESS, VARIABLES
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
    stream = service(provider(pieces()).config(), apiKey="k").completion(HI, stream=True)
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


def test_an_update_returns_the_object_itself() -> None:
    def renamed(sent: Sent) -> httpx.Response:
        return enveloped({"modelServiceName": "ms", "description": sent.body["description"]})

    held = service(Platform(renamed).config())
    assert held.update(description="d") is held
    assert held.description == "d"


# Whose key


def anywhere(sent: Sent) -> httpx.Response:
    """A provider at any URL, beside a platform that keeps a key."""
    return provider().answer(sent) if "credentials" in sent.path else answer()


@in_both_modes
def test_where_the_platform_asks_the_model_the_key_stays_with_it(do: Do) -> None:
    platform = Platform(anywhere)
    held = service(platform.config().replace(headers={"x-team": "blue"}))
    held.endpoint = "http://data.test/model-services/ms"
    do(held, "completion", HI)
    (sent,) = platform.requests
    assert f"{sent.method} {sent.path}" == "POST /model-services/ms/v1/chat/completions"
    assert sent.headers["agentrun-authorization"].startswith("AGENTRUN4-HMAC-SHA256")
    assert sent.headers["x-team"] == "blue"
    assert "authorization" not in sent.headers
    # Who asks for the key itself is given it.
    info = do(held, "model_info")
    assert (info.api_key, info.base_url) == ("sk-kept", "http://provider.test/v1/")


@in_both_modes
def test_a_key_of_ones_own_goes_straight_to_the_provider(do: Do) -> None:
    platform = Platform(anywhere)
    held = service(platform.config(), apiKey="sk-own")
    held.endpoint = "http://data.test/model-services/ms"
    do(held, "completion", HI)
    assert platform.calls == [CHAT]


@in_both_modes
def test_a_key_that_a_list_shows_as_stars_is_not_sent(do: Do) -> None:
    whole = {"baseUrl": "http://provider.test/v1", "apiKey": "sk-whole", "modelNames": ["m-1"]}
    shown = {"modelServiceName": "ms", "providerSettings": whole}
    platform = Platform(lambda sent: answer() if sent.path == "/v1/chat/completions" else enveloped(shown))
    held = ModelService.of({**shown, "providerSettings": {**whole, "apiKey": "******"}}, platform.config())
    do(held, "completion", HI)
    assert platform.calls == ["GET /2025-09-10/agents/model-services/ms", CHAT]
    assert platform.requests[1].headers["authorization"] == "Bearer sk-whole"


def without_key(platform: Platform, provider_name: str) -> ModelService:
    settings = {"baseUrl": "http://provider.test/v1", "modelNames": ["m-1"]}
    return ModelService.of(
        {"modelServiceName": "ms", "provider": provider_name, "providerSettings": settings}, platform.config()
    )


@pytest.mark.parametrize("name", VARIABLES)
def test_the_environment_has_the_key_of_the_provider_and_of_no_other(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each, variables in VARIABLES.items():
        for variable in variables:
            monkeypatch.setenv(variable, f"sk-{each}-{variable}")
    platform = provider()
    held = without_key(platform, name)
    held.completion(HI)
    assert platform.requests[0].headers["authorization"] == f"Bearer sk-{name}-{VARIABLES[name][0]}"
    for variable in VARIABLES[name]:
        monkeypatch.delenv(variable)
    if name in KEYLESS:
        assert held.model_info().api_key == "none"
    else:
        with pytest.raises(ConfigError, match=rf"has no key.*{VARIABLES[name][0]}"):
            held.completion(HI)


def test_every_provider_with_a_key_has_a_variable() -> None:
    without = {Provider.VertexAI.value, Provider.Custom.value}
    assert {each.value for each in Provider} - without == set(VARIABLES) - set(KEYLESS)


def test_a_credential_of_one_account_is_not_used_for_another() -> None:
    platform = provider()
    held = service(platform.config())
    held.completion(HI)
    held.completion(HI, config=Config(access_key_id="other", access_key_secret="x"))
    assert platform.calls == [CREDENTIAL, CHAT] * 2


def test_a_copy_does_not_carry_the_secret() -> None:
    held = service(provider().config())
    held.completion(HI)
    assert b"sk-kept" not in pickle.dumps(held)


# What can be asked


def test_the_older_name_of_completion_tells_the_usage_at_the_end_of_streams() -> None:
    platform = provider()
    held = service(platform.config(), apiKey="k")
    held.completions(HI)
    platform.answer = provider(pieces()).answer
    held.completions(HI, stream=True, stream_options={"x": 1}).close()
    held.completion(HI, stream=True).close()
    assert [sent.body.get("stream_options") for sent in platform.requests] == [
        None,
        {"x": 1, "include_usage": True},
        None,
    ]


def answering(path: str, found: Any) -> Platform:
    return Platform(by_path({f"POST {path}": lambda: httpx.Response(200, json=found)}))


@in_both_modes
def test_embeddings(do: Do) -> None:
    vectors = {"object": "list", "model": "m-1", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1]}]}
    platform = answering("/v1/embeddings", vectors)
    held = service(platform.config(), apiKey="k")
    for given in (["a"], "a"):
        found = do(held, "embedding", given, dimensions=2)
        assert isinstance(found, CreateEmbeddingResponse)
        assert found.data[0].embedding == [0.5, 1]
    assert [sent.body for sent in platform.requests] == [
        {"model": "m-1", "input": ["a"], "dimensions": 2},
        {"model": "m-1", "input": "a", "dimensions": 2},
    ]


@in_both_modes
def test_rerank(do: Do) -> None:
    ranked = [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}, {"index": 0, "relevance_score": 0.1}]
    platform = answering("/v1/rerank", {"model": "m-1", "results": ranked, "usage": {"total_tokens": 4}, "meta": {}})
    found = do(service(platform.config(), apiKey="k"), "rerank", "q", ("a", "b"), top_n=2)
    assert isinstance(found, RerankResult)
    assert [(each.index, each.relevance_score) for each in found.results] == [(1, 0.9), (0, 0.1)]
    assert (found.results[0].document, found.results[1].document) == ({"text": "b"}, None)
    assert platform.requests[0].body == {"model": "m-1", "query": "q", "documents": ["a", "b"], "top_n": 2}


def test_an_answer_that_is_no_ranking_is_told() -> None:
    platform = answering("/v1/rerank", {"results": [{"index": 0}]})
    with pytest.raises(InvalidResponseError, match=r"RerankResult: results\.0\.relevance_score"):
        service(platform.config(), apiKey="k").rerank("q", ["a"])


RESPONSE: dict[str, Any] = {
    "id": "r",
    "object": "response",
    "status": "completed",
    "error": None,
    "output": [
        {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "hello", "annotations": []}],
        }
    ],
}


@in_both_modes
def test_responses(do: Do) -> None:
    platform = answering("/v1/responses", RESPONSE)
    found = do(service(platform.config(), apiKey="k"), "responses", "hi", temperature=0)
    assert isinstance(found, Response)
    assert found.output_text == "hello"
    assert platform.requests[0].body == {"model": "m-1", "input": "hi", "temperature": 0}


def test_a_response_that_failed_is_one() -> None:
    failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "no"}}
    found = service(answering("/v1/responses", failed).config(), apiKey="k").responses("hi")
    assert found.status == "failed"
    assert found.error
    assert found.error.message == "no"


EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "sequence_number": 0, "response": RESPONSE},
    {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "hel"},
    {"type": "response.of.tomorrow", "new": {"part": 1}},
    {"type": "error", "code": "x", "message": "m", "param": None, "sequence_number": 2},
    {"type": "response.completed", "sequence_number": 3, "response": RESPONSE},
]


def events() -> httpx.Response:
    text = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in EVENTS)
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=text)


def test_events_of_a_response_are_of_their_types() -> None:
    held = service(Platform(by_path({"POST /v1/responses": events})).config(), apiKey="k")
    with held.responses("hi", stream=True) as stream:
        found: list[Any] = list(stream)
    created, delta, unknown, error, completed = found
    assert created.type == "response.created"
    assert isinstance(delta, ResponseTextDeltaEvent)
    assert delta.delta == "hel"
    assert type(unknown) is BaseModel
    assert unknown.to_dict() == EVENTS[2]
    assert isinstance(error, ResponseErrorEvent)
    assert completed.type == "response.completed"
    assert completed.response.output_text == "hello"


@pytest.mark.asyncio
async def test_events_of_a_response_come_on_a_loop() -> None:
    held = service(Platform(by_path({"POST /v1/responses": events})).config(), apiKey="k")
    kinds = [event.type async for event in await held.aresponses("hi", stream=True)]
    assert kinds == [each["type"] for each in EVENTS]


def test_what_providers_add_to_the_protocol_is_kept() -> None:
    message = {"role": "assistant", "content": "hello", "reasoning_content": "because"}
    whole: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message, "logprobs": None}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost": 0.5},
    }
    found = service(answering("/v1/chat/completions", whole).config(), apiKey="k").completion(HI)
    assert found.to_dict() == whole
    # So is what does not fit.
    whole["choices"][0]["finish_reason"] = "bored"
    odd: Any = service(answering("/v1/chat/completions", whole).config(), apiKey="k").completion(HI)
    assert odd.choices[0].finish_reason == "bored"
    assert odd.to_dict() == whole


def test_an_error_inside_a_good_answer_is_raised() -> None:
    platform = answering("/v1/chat/completions", {"error": {"message": "overloaded", "code": "busy"}})
    with pytest.raises(ServerError, match=r"overloaded.*busy"):
        service(platform.config(), apiKey="k").completion(HI)


def test_a_query_goes_into_the_url() -> None:
    platform = provider()
    service(platform.config(), apiKey="k").completion(HI, extra_query={"api-version": "1"})
    assert platform.requests[0].query == {"api-version": "1"}
    assert platform.requests[0].body == {"model": "m-1", "messages": HI}
