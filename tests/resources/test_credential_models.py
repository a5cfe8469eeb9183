"""Credentials of model services and proxies at work: shown, asked for, changed, disabled, counted."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from agentrun.config import Config
from agentrun.credential import Credential, CredentialBasicAuth, CredentialConfig
from agentrun.errors import HTTPError
from agentrun.model import ModelProxy, ModelService, ProviderSettings, ProxyConfig, ProxyConfigEndpoint
from tests.token_server import SigningKey
from tests.unit.servers import Server, answer, serving

COMPLETION: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
}
HELLO: list[Any] = [{"role": "user", "content": "hi"}]


def service(config: Config, provider: Server, credential: str) -> ModelService:
    settings = ProviderSettings(base_url=f"{provider.url}/v1", model_names=["m"])
    return ModelService.create(
        config=config,
        model_service_name="model",
        model_type="llm",
        provider="openai",
        provider_settings=settings,
        credential_name=credential,
    )


def proxy(config: Config, provider: Server, credential: str) -> ModelProxy:
    endpoint = ProxyConfigEndpoint(base_url=f"{provider.url}/v1", model_names=["m"])
    return ModelProxy.create(
        config=config,
        model_proxy_name="proxy",
        proxy_config=ProxyConfig(endpoints=[endpoint]),
        credential_name=credential,
    )


def ask(found: ModelProxy, **headers: str) -> httpx.Response:
    body = {"model": "m", "messages": HELLO}
    return httpx.post(f"{found.endpoint}/v1/chat/completions", json=body, headers=headers, trust_env=False, timeout=30)


def made(config: Config, given: CredentialConfig) -> Credential:
    return Credential.create(config=config, credential_name="one", credential_config=given)


def users(credential: Credential) -> list[tuple[str | None, str | None, int]]:
    return [(user.resource_type, user.resource_name, user.calls) for user in credential.usage().users]


def test_a_model_service_shows_what_the_credential_is_now(config: Config) -> None:
    with serving(answer(COMPLETION)) as provider:
        credential = made(config, CredentialConfig.outbound_llm_api_key("first", "openai"))
        model = service(config, provider, "one")
        model.completion(HELLO)
        credential.update(credential_config=CredentialConfig.outbound_llm_api_key("second", "openai"))
        model.completion(HELLO)
        credential.update(enabled=False)
        with pytest.raises(HTTPError, match="model service model: credential 'one' cannot be used: it is disabled"):
            model.completion(HELLO)
        credential.update(enabled=True)
        model.completion(HELLO)
        shown = [request.headers["authorization"] for request in provider.requests]
        assert shown == ["Bearer first", "Bearer second", "Bearer second"]
        assert users(credential) == [("model_service", "model", 3)]


def test_of_a_proxy_s_endpoints_only_who_was_asked_has_used_its_credential(config: Config) -> None:
    with serving(answer(COMPLETION)) as provider:
        credential = made(config, CredentialConfig.outbound_llm_api_key("first", "openai"))
        service(config, provider, "one")
        endpoints = [
            ProxyConfigEndpoint(base_url=f"{provider.url}/v1", model_names=["plain"]),
            ProxyConfigEndpoint(model_service_name="model", model_names=["m"]),
        ]
        found = ModelProxy.create(
            config=config,
            model_proxy_name="proxy",
            proxy_mode="multi",
            proxy_config=ProxyConfig(endpoints=endpoints),
        )
        found.completion(HELLO, model="plain")
        assert users(credential) == []
        found.completion(HELLO, model="m")
        assert users(credential) == [("model_service", "model", 1)]


KINDS = {
    "a key in a header of its own": (CredentialConfig.outbound_tool_api_key("k", "api-key"), {"api-key": "k"}),
    "a user": (CredentialConfig.outbound_tool_basic("ann", "a"), {"authorization": "Basic YW5uOmE="}),
    "a token": (CredentialConfig.outbound_tool_jwt("a.b.c"), {"authorization": "Bearer a.b.c"}),
    "headers": (CredentialConfig.outbound_tool_custom_header({"X-A": "1", "X-B": "2"}), {"x-a": "1", "x-b": "2"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_service_shows_every_kind_that_headers_can_show(config: Config, kind: str) -> None:
    given, headers = KINDS[kind]
    with serving(answer(COMPLETION)) as provider:
        made(config, given)
        service(config, provider, "one").completion(HELLO)
        received = provider.requests[0].headers
        assert {name: received.get(name) for name in {*headers, "authorization"}} == {"authorization": None, **headers}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (CredentialConfig.outbound_tool_api_key("hidden", query_key="key"), "depends on the request"),
        (CredentialConfig.outbound_tool_ak_sk("aliyun", "AK", "hidden", "1"), "depends on the request"),
        (CredentialConfig.outbound_tool_ak_sk_custom({"a": "hidden"}), "no signature is known"),
        (CredentialConfig.outbound_oauth2_client_credentials("http://x/", "c", "hidden"), "fetched first"),
        (CredentialConfig.outbound_llm_api_key("hid\r\nden", "openai"), "no header can carry"),
    ],
)
def test_what_a_model_service_cannot_show_is_told(config: Config, given: CredentialConfig, reason: str) -> None:
    with serving(answer(COMPLETION)) as provider:
        made(config, given)
        with pytest.raises(HTTPError, match=reason) as caught:
            service(config, provider, "one").completion(HELLO)
        assert "hidden" not in str(caught.value)
        assert provider.requests == []


def test_a_proxy_s_key_changes_without_a_gap(config: Config) -> None:
    with serving(answer(COMPLETION)) as provider:
        credential = made(config, CredentialConfig.inbound_api_key("first"))
        found = proxy(config, provider, "one")
        assert ask(found, authorization="Bearer first").status_code == 200
        new = CredentialConfig.inbound_api_key("second")
        credential.update(credential_config=new, previous_valid_seconds=600)
        assert [ask(found, authorization=f"Bearer {key}").status_code for key in ("first", "second")] == [200, 200]
        credential.update(credential_config=new)
        assert [ask(found, authorization=f"Bearer {key}").status_code for key in ("first", "second")] == [401, 200]
        credential.update(enabled=False)
        assert ask(found, authorization="Bearer second").status_code == 403
        assert users(credential) == [("model_proxy", "proxy", 4)]


def test_a_proxy_asks_for_users_and_tokens(config: Config) -> None:
    with serving(answer(COMPLETION)) as provider:
        credential = made(config, CredentialConfig.inbound_basic([CredentialBasicAuth(username="ann", password="a")]))
        found = proxy(config, provider, "one")
        assert ask(found, authorization=f"Basic {base64.b64encode(b'ann:a').decode()}").status_code == 200
        refused = ask(found, authorization="Bearer a")
        assert (refused.status_code, refused.headers["www-authenticate"][:5]) == (401, "Basic")
        credential.delete()
        key = SigningKey.ec()
        made(config, CredentialConfig.inbound_static_jwt(json.dumps({"keys": [key.public]})))
        assert ask(found, authorization=f"Bearer {key.token()}").status_code == 200
        assert ask(found, authorization=f"Bearer {SigningKey.ec().token()}").status_code == 401
        assert "authorization" not in provider.requests[0].headers or "ann" not in str(provider.requests[0].headers)
