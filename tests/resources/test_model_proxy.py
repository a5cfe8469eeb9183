"""Model proxies and providers, every method in both modes, against the emulator over signed HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from agentrun.config import Config
from agentrun.credential import Credential, CredentialConfig
from agentrun.emulator import Emulator
from agentrun.errors import (
    ClientError,
    HTTPError,
    InvalidInputError,
    ResourceAlreadyExistError,
    ResourceNotExistError,
    UnsupportedError,
)
from agentrun.model import (
    BackendType,
    Budget,
    ContentCheck,
    GatewayPolicies,
    ModelClient,
    ModelControlAPI,
    ModelPrice,
    ModelProvider,
    ModelProviderListInput,
    ModelProxy,
    ModelProxyCreateInput,
    ModelProxyListInput,
    ModelProxyUpdateInput,
    ModelService,
    ModelServiceCreateInput,
    ModelType,
    Provider,
    ProviderSettings,
    ProxyConfig,
    ProxyConfigAIGuardrailConfig,
    ProxyConfigEndpoint,
    ProxyConfigFallback,
    ProxyConfigPolicies,
    ProxyMode,
    RateLimit,
)
from agentrun.status import Status
from tests.resources.modes import Mode

ENDPOINT = ProxyConfigEndpoint(base_url="http://127.0.0.1:1/v1", model_names=["m"])
EVERYTHING = ProxyConfig(
    endpoints=[
        ProxyConfigEndpoint(
            model_service_name="service", model_names=["m"], weight=3, concurrency_limit=2, model_mapping={"m": "real"}
        ),
        ENDPOINT,
    ],
    policies=ProxyConfigPolicies(
        cache=True,
        concurrency_limit=9,
        fallbacks=[ProxyConfigFallback(model_service_name="service", model_name="spare")],
        num_retries=2,
        request_timeout=30,
        ai_guardrail_config=ProxyConfigAIGuardrailConfig(check_request=True, block_on_sensitive_data=True),
        gateway=GatewayPolicies(
            sticky_sessions=True,
            rate_limits=[RateLimit(requests=5, window_seconds=1)],
            budgets=[Budget(cost=2.5)],
            prices={"*": ModelPrice(input=1, output=2)},
            content_checks=[ContentCheck(name="no secrets", patterns=["secret"])],
        ),
    ),
)


def service(config: Config) -> ModelService:
    settings = ProviderSettings(base_url="http://127.0.0.1:1/v1", api_key="sk-1", model_names=["m", "spare"])
    return ModelService.create(
        model_service_name="service", model_type="llm", provider="openai", provider_settings=settings, config=config
    )


def created(call: Mode, config: Config, name: str = "one", **fields: Any) -> ModelProxy:
    values = {"model_proxy_name": name, "proxy_config": ProxyConfig(endpoints=[ENDPOINT]), **fields}
    found: ModelProxy = call(ModelProxy, "create", config=config, **values)
    return found


def ready(call: Mode, config: Config, name: str = "one", **fields: Any) -> ModelProxy:
    found: ModelProxy = call(created(call, config, name, **fields), "wait_until_ready", interval_seconds=0.01)
    return found


def test_what_is_given_is_kept(call: Mode, config: Config) -> None:
    service(config)
    made = created(call, config, proxy_config=EVERYTHING, proxy_mode=ProxyMode.MULTI, description="d", model_type="llm")
    assert made.status == Status.CREATING
    found = call(ModelProxy, "get_by_name", "one", config=config)
    assert (found.status, found.proxy_mode, found.description, found.model_type) == ("READY", "multi", "d", "llm")
    assert found.proxy_config.to_wire() == EVERYTHING.to_wire()
    assert (found.cpu, found.memory, found.model_proxy_id) == (2, 4096, made.model_proxy_id)


def test_one_model_is_the_default_and_the_endpoint_follows_from_the_id(
    call: Mode, config: Config, emulator: Emulator
) -> None:
    made = created(call, config)
    assert made.proxy_mode == ProxyMode.SINGLE
    assert made.endpoint == f"{emulator.url}/models/{made.model_proxy_id}"


def test_create_from_an_input(call: Mode, config: Config) -> None:
    wanted = ModelProxyCreateInput(model_proxy_name="one", proxy_config=ProxyConfig(endpoints=[ENDPOINT]))
    assert type(call(ModelClient(config), "create", wanted)) is ModelProxy
    with pytest.raises(ResourceAlreadyExistError, match="ModelProxy 'one' already exists"):
        call(ModelProxy, "create", wanted, config)


def test_verbs_return_the_object(call: Mode, config: Config) -> None:
    held = ready(call, config)
    for method, fields in (("get", {}), ("refresh", {}), ("update", {"description": "x"})):
        assert call(held, method, **fields) is held
    assert held.description == "x"
    assert call(held, "delete_and_wait_until_finished", interval_seconds=0.01) is held
    with pytest.raises(ResourceNotExistError, match="ModelProxy 'one' does not exist"):
        call(held, "get")


def test_an_update_changes_only_what_is_given(call: Mode, config: Config) -> None:
    ready(call, config, description="before")
    policies = ProxyConfig(policies=ProxyConfigPolicies(num_retries=3))
    call(ModelProxy, "update_by_name", "one", ModelProxyUpdateInput(proxy_config=policies), config)
    found = call(ModelProxy, "get_by_name", "one", config)
    assert found.description == "before"
    assert found.proxy_config.to_wire() == {**ProxyConfig(endpoints=[ENDPOINT]).to_wire(), **policies.to_wire()}


MISSING: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("get_by_name", ("none",), {}),
    ("update_by_name", ("none",), {"description": "x"}),
    ("delete_by_name", ("none",), {}),
]


@pytest.mark.parametrize(("method", "arguments", "fields"), MISSING)
def test_what_is_missing(
    call: Mode, config: Config, method: str, arguments: tuple[Any, ...], fields: dict[str, Any]
) -> None:
    with pytest.raises(ResourceNotExistError, match="ModelProxy 'none' does not exist"):
        call(ModelProxy, method, *arguments, config=config, **fields)


def test_lists(call: Mode, config: Config) -> None:
    for number in range(3):
        ready(call, config, f"single-{number}")
    ready(call, config, "multi", proxy_mode="multi")
    assert [each.label for each in ModelProxy.list_all(proxy_mode="multi", config=config)] == ["multi"]
    assert len(ModelProxy.list_all(status=Status.READY, config=config)) == 4
    page = call(ModelClient(config), "list", ModelProxyListInput(page_number=2, page_size=3))
    assert [(type(each), each.label) for each in page] == [(ModelProxy, "multi")]


@pytest.mark.asyncio
async def test_lists_on_a_loop(config: Config) -> None:
    await ModelProxy.create_async(model_proxy_name="one", proxy_config=ProxyConfig(endpoints=[ENDPOINT]), config=config)
    assert [each.label async for each in ModelProxy.list_all_async(config=config)] == ["one"]


def test_a_service_in_use_stays(call: Mode, config: Config) -> None:
    held = service(config)
    user = ready(call, config, proxy_config=ProxyConfig(endpoints=[ProxyConfigEndpoint(model_service_name="service")]))
    with pytest.raises(ClientError, match="model proxy one uses model service service") as caught:
        call(held, "delete")
    assert caught.value.status_code == 409
    call(user, "delete_and_wait_until_finished", interval_seconds=0.01)
    call(held, "delete")


def test_a_misspelt_policy_is_named_before_it_is_sent(config: Config) -> None:
    with pytest.raises(InvalidInputError, match="Did you mean rate_limits"):
        ModelProxy.create(
            model_proxy_name="one", proxy_config={"policies": {"gateway": {"rate_limit": []}}}, config=config
        )


def test_what_nothing_here_can_find_is_refused(call: Mode, config: Config) -> None:
    guard = ProxyConfigAIGuardrailConfig(block_on_model_hallucination=True)
    wanted = ProxyConfig(endpoints=[ENDPOINT], policies=ProxyConfigPolicies(ai_guardrail_config=guard))
    with pytest.raises(UnsupportedError, match="blockOnModelHallucination is not possible without a model"):
        created(call, config, proxy_config=wanted)


def test_the_key_of_a_proxy_is_that_of_its_credential(call: Mode, config: Config) -> None:
    secret = CredentialConfig.inbound_api_key("sk-caller", "X-Caller")
    Credential.create(credential_name="caller", credential_config=secret, config=config)
    held = ready(call, config, credential_name="caller")
    info = call(held, "model_info")
    assert (info.api_key, info.base_url, info.model) == ("sk-caller", f"{held.endpoint}/v1", "m")
    assert info.headers == {"X-Caller": "sk-caller", "Agentrun-Access-Token": "sk-caller"}
    users = Credential.get_by_name("caller", config).related_resources or []
    assert [(user.resource_name, user.resource_type) for user in users] == [("one", "model_proxy")]


def test_what_an_openai_client_sends_is_signed(call: Mode, config: Config, emulator: Emulator) -> None:
    web = call(ready(call, config), "openai_kwargs")["http_client"]
    # Any signed path tells: unsigned it is 401, signed the sandbox is not there.
    url = f"{emulator.url}/sandboxes/none"
    assert httpx.get(url).status_code == 401
    answer = web.get(url) if call.name == "sync" else asyncio.run(web.get(url))
    assert (answer.status_code, "does not exist" in answer.text) == (404, True)


def test_the_client_finds_both(call: Mode, config: Config) -> None:
    client = ModelClient(config)
    settings = ProviderSettings(base_url="http://127.0.0.1:1/v1")
    wanted = ModelServiceCreateInput(
        model_service_name="one", model_type=ModelType.LLM, provider="openai", provider_settings=settings
    )
    call(client, "create", wanted)
    assert type(call(client, "get", "one")) is ModelService
    ready(call, config)
    assert type(call(client, "get", "one")) is ModelService
    assert type(call(client, "get", "one", BackendType.PROXY)) is ModelProxy
    assert type(call(client, "update", "one", ModelProxyUpdateInput(description="d"))) is ModelProxy
    call(client, "get", "one")
    assert type(call(client, "delete", "one")) is ModelProxy
    assert type(call(client, "delete", "one")) is ModelService
    with pytest.raises(ResourceNotExistError):
        call(client, "delete", "one")


def test_the_control_api_answers_in_the_words_of_the_wire(call: Mode, config: Config) -> None:
    control = ModelControlAPI(config)
    wanted = ModelProxyCreateInput(model_proxy_name="one", proxy_config=ProxyConfig(endpoints=[ENDPOINT]))
    assert call(control, "create_model_proxy", wanted)["modelProxyName"] == "one"
    assert call(control, "get_model_proxy", "one")["status"] == "READY"
    assert call(control, "update_model_proxy", "one", ModelProxyUpdateInput(description="d"))["description"] == "d"
    assert call(control, "list_model_proxies", ModelProxyListInput())["total"] == 1
    assert call(control, "delete_model_proxy", "one")["status"] == "DELETING"
    page = call(control, "list_model_providers", ModelProviderListInput(provider="ollama", page_size=1))
    assert (page["total"], len(page["items"])) == (2, 1)


def test_providers(config: Config) -> None:
    providers = list(ModelClient(config).list_providers())
    assert {each.value for each in Provider} < {each.provider_name for each in providers}
    (found,) = ModelClient(config).list_providers(provider="tongyi", model_type=ModelType.EMBEDDING)
    assert isinstance(found, ModelProvider)
    assert found.base_url == "https://dashscope.aliyuncs.com/compatible-mode/v1"
    assert found.models
    (by_model,) = ModelClient(config).list_providers(model_name=found.models[0])
    assert by_model == found


@pytest.mark.asyncio
async def test_providers_on_a_loop(config: Config) -> None:
    names = [each.provider_name async for each in ModelClient(config).list_providers_async(provider="vllm")]
    assert names == ["vllm"] * 3
    with pytest.raises(HTTPError):
        await ModelControlAPI(config).list_model_providers_async(ModelProviderListInput(page_size=101))
