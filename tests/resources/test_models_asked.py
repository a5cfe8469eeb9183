"""What services and proxies answer, in both modes: the scripted model behind the gateway of the emulator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from agentrun.config import Config
from agentrun.credential import Credential, CredentialConfig
from agentrun.emulator import Emulator
from agentrun.errors import AuthenticationError, ResourceNotExistError
from agentrun.model import (
    ModelDataAPI,
    ModelProxy,
    ModelService,
    ProviderSettings,
    ProxyConfig,
    ProxyConfigEndpoint,
    ProxyMode,
)
from tests.resources.modes import Mode

TEXT = "one two three"
HI: list[Any] = [{"role": "user", "content": TEXT}]


class Asking(Mode):
    """A mode whose asynchronous names are those of the official client."""

    def __call__(self, target: Any, method: str, *arguments: Any, **fields: Any) -> Any:
        if self.name == "sync" or not hasattr(target, f"a{method}"):
            return super().__call__(target, method, *arguments, **fields)
        return asyncio.run(getattr(target, f"a{method}")(*arguments, **fields))


@pytest.fixture
def ask(call: Mode) -> Asking:
    """Asks a model in each of the two modes."""
    return Asking(call.name)


@pytest.fixture
def service(config: Config, emulator: Emulator) -> ModelService:
    """A model service whose key is that of a credential."""
    key = CredentialConfig.outbound_llm_api_key("sk-provider", "openai")
    Credential.create(credential_name="provider", credential_config=key, config=config)
    settings = ProviderSettings(base_url=f"{emulator.url}/scripted/v1", model_names=["m-1"])
    return ModelService.create(
        model_service_name="service",
        model_type="llm",
        provider="openai",
        credential_name="provider",
        provider_settings=settings,
        config=config,
    )


def proxied(config: Config, name: str = "proxy", **fields: Any) -> ModelProxy:
    endpoint = ProxyConfigEndpoint(model_service_name="service", model_names=["m-1"])
    made = ModelProxy.create(
        model_proxy_name=name, proxy_config=ProxyConfig(endpoints=[endpoint]), config=config, **fields
    )
    return made.wait_until_ready(interval_seconds=0.01)


def guarded(config: Config) -> ModelProxy:
    """A proxy whose callers show a key."""
    caller = CredentialConfig.inbound_api_key("sk-caller", "X-Caller")
    Credential.create(credential_name="caller", credential_config=caller, config=config)
    return proxied(config, "guarded", credential_name="caller", proxy_mode=ProxyMode.MULTI)


MODELS: dict[str, Callable[[ModelService, Config], Any]] = {
    "service": lambda service, _: service,
    "proxy": lambda _, config: proxied(config),
    "guarded proxy": lambda _, config: guarded(config),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, service: ModelService, config: Config) -> Any:
    """A service, a proxy that is called by signature, and one that is called with a key."""
    return MODELS[request.param](service, config)


def test_every_verb_is_answered(ask: Asking, model: Any) -> None:
    named = {"model": "m-1"}
    assert ask(model, "completion", HI, **named).choices[0].message.content == TEXT
    assert ask(model, "responses", TEXT, **named).output_text == TEXT
    assert [vector.index for vector in ask(model, "embedding", ["a", "b"], **named).data] == [0, 1]
    ranked = ask(model, "rerank", "cats", ["dogs", "cats"], "m-1", top_n=1).results
    assert [each.index for each in ranked] == [1]
    assert ranked[0].relevance_score > 0


def test_streams_come_in_pieces(model: Any) -> None:
    with model.completions(HI, model="m-1", stream=True) as chunks:
        found = list(chunks)
    pieces = [chunk.choices[0].delta.content or "" for chunk in found if chunk.choices]
    assert "".join(pieces) == TEXT
    assert len([piece for piece in pieces if piece]) == 3
    assert found[-1].usage.completion_tokens > 0
    with model.responses(TEXT, model="m-1", stream=True) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == TEXT


def test_the_key_of_a_service_stays_with_the_platform(
    ask: Asking, service: ModelService, config: Config, emulator: Emulator
) -> None:
    seen = len(emulator.journal.entries(account=config.account_id, operation="GetCredential"))
    assert ask(service, "completion", HI).choices[0].message.content == TEXT
    assert len(emulator.journal.entries(account=config.account_id, operation="GetCredential")) == seen
    assert ask(service, "model_info").api_key == "sk-provider"


def test_the_openai_client_reaches_all_of_them(model: Any) -> None:
    with OpenAI(max_retries=0, **model.openai_kwargs()) as client:
        answered = client.chat.completions.create(model="m-1", messages=HI)
    assert answered.choices[0].message.content == TEXT


@pytest.mark.asyncio
async def test_the_asynchronous_openai_client_reaches_all_of_them(model: Any) -> None:
    async with AsyncOpenAI(max_retries=0, **await model.openai_kwargs_async()) as client:
        stream = await client.chat.completions.create(model="m-1", messages=HI, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(pieces) == TEXT


def test_a_proxy_by_its_name(ask: Asking, service: ModelService, config: Config) -> None:
    for held, credential in ((proxied(config), None), (guarded(config), "caller")):
        api = ModelDataAPI(held.label, "m-1", credential, config=config)
        assert ask(api, "completions", HI).choices[0].message.content == TEXT


def test_a_key_that_has_changed(ask: Asking, service: ModelService, config: Config) -> None:
    held = guarded(config)
    ask(held, "completion", HI, "m-1")
    other = CredentialConfig.inbound_api_key("sk-other", "X-Caller")
    Credential.update_by_name("caller", credential_config=other, config=config)
    with pytest.raises(AuthenticationError, match="API key mismatch"):
        ask(held, "completion", HI, "m-1")
    ask(held, "completion", HI, "m-1")


def test_stats(ask: Asking, service: ModelService, config: Config) -> None:
    held = proxied(config)
    ask(held, "completion", HI)
    stats = ask(held, "stats")
    assert (stats.proxy, stats.requests, stats.errors) == ("proxy", 1, 0)
    assert stats.tokens.prompt > 0
    (endpoint,) = stats.endpoints
    assert (endpoint.name, endpoint.healthy, endpoint.requests) == ("service", True, 1)
    assert 0 < endpoint.first_token.p50 <= endpoint.latency.p99
    with pytest.raises(ResourceNotExistError, match="ModelProxy 'none' does not exist"):
        ask(ModelDataAPI("none", config=config), "stats")
