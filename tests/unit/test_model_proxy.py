"""Model proxies: how they are called and with which key, what they tell, and what only the local platform takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI

from agentrun import (
    AuthenticationError,
    BackendType,
    Config,
    ModelClient,
    ModelControlAPI,
    ModelDataAPI,
    ModelProxy,
    ModelProxyCreateInput,
    ModelProxyListInput,
    ModelProxyUpdateInput,
    ModelService,
    ModelServiceCreateInput,
    ModelServiceListInput,
    ModelServiceUpdateInput,
    ModelType,
    ProxyConfig,
    ProxyConfigEndpoint,
    ProxyConfigPolicies,
    ProxyMode,
    ResourceAlreadyExistError,
    ResourceNotExistError,
    UnsupportedError,
)
from agentrun.model import GatewayPolicies, ModelProvider
from tests.unit.recording import Do, Platform, Sent, blocking, enveloped, in_both_modes, refused

HI: list[Any] = [{"role": "user", "content": "hi"}]
CREDENTIAL = "GET /2025-09-10/agents/credentials/c"
ENDPOINTS = [{"modelServiceName": "a", "modelNames": ["m-1", "m-2"]}, {"modelServiceName": "b", "modelNames": ["m-3"]}]
LOCAL = {"control_endpoint": "http://127.0.0.1:4590", "data_endpoint": "http://localhost:4590"}


def answer() -> httpx.Response:
    message = {"role": "assistant", "content": "hello"}
    return httpx.Response(200, json={"id": "c", "choices": [{"index": 0, "message": message}]})


def platform(public: dict[str, Any] | None = None, chat: Callable[[], httpx.Response] = answer) -> Platform:
    """One that keeps a credential and answers every chat."""

    def answered(sent: Sent) -> httpx.Response:
        if sent.path.endswith("/credentials/c"):
            fields = {"credentialName": "c", "credentialSecret": "sk-kept", "credentialPublicConfig": public or {}}
            return enveloped(fields)
        return enveloped({"endpoint": "http://proxies.test/models/mp-9"}) if sent.method == "GET" else chat()

    return Platform(answered)


def proxy(found: Platform, **fields: Any) -> ModelProxy:
    shown = {
        "modelProxyName": "mp",
        "modelProxyId": "mp-1",
        "endpoint": "http://proxies.test/models/mp-1",
        "proxyMode": "single",
        "proxyConfig": {"endpoints": ENDPOINTS},
        **fields,
    }
    return ModelProxy.of(shown, found.config())


# How they are called


@in_both_modes
def test_a_proxy_without_a_credential_is_called_by_its_name_and_signed(do: Do) -> None:
    found = platform()
    assert do(proxy(found), "completion", HI).choices[0].message.content == "hello"
    (sent,) = found.requests
    assert f"{sent.method} {sent.path}" == "POST /models/mp/v1/chat/completions"
    assert sent.headers["host"] == "data.test"
    assert sent.headers["agentrun-authorization"].startswith("AGENTRUN4-HMAC-SHA256")
    assert "authorization" not in sent.headers


@pytest.mark.parametrize(
    ("public", "header", "value"),
    [
        ({}, "x-api-key", "sk-kept"),
        ({"headerKey": "X-Team-Key", "prefix": "Key "}, "x-team-key", "Key sk-kept"),
        ({"headerKey": "Authorization", "prefix": "Bearer "}, "authorization", "Bearer sk-kept"),
    ],
)
@in_both_modes
def test_a_proxy_with_a_credential_is_called_with_its_key(
    do: Do, public: dict[str, Any], header: str, value: str
) -> None:
    found = platform(public)
    held = proxy(found, credentialName="c")
    for _ in range(2):
        do(held, "completion", HI)
    assert found.calls == [CREDENTIAL, *["POST /models/mp-1/v1/chat/completions"] * 2]
    for sent in found.requests[1:]:
        assert sent.headers["host"] == "proxies.test"
        assert (sent.headers[header], sent.headers["agentrun-access-token"]) == (value, "sk-kept")
        assert sent.headers["authorization"] == "Bearer sk-kept"
        assert "agentrun-authorization" not in sent.headers


def test_the_model_follows_from_the_mode() -> None:
    found = platform()
    single, multi = proxy(found), proxy(found, proxyMode="multi")
    for held in (single, multi):
        held.completion(HI)
        held.completion(HI, "m-3")
    proxy(found, proxyConfig={"endpoints": [{"modelServiceName": "a"}]}).completion(HI)
    assert [sent.body["model"] for sent in found.requests] == ["m-1", "m-3", "mp", "m-3", "mp"]


def test_a_wrong_key_is_an_authentication_error_and_is_asked_for_again() -> None:
    found = platform(chat=lambda: refused(401, "API key mismatch"))
    held = proxy(found, credentialName="c")
    for _ in range(2):
        with pytest.raises(AuthenticationError, match="API key mismatch"):
            held.completion(HI)
    assert found.calls == [CREDENTIAL, "POST /models/mp-1/v1/chat/completions"] * 2


@in_both_modes
def test_where_a_proxy_is(do: Do) -> None:
    found = platform({"headerKey": "K"})
    info = do(proxy(found, credentialName="c"), "model_info")
    assert (info.model, info.api_key, info.base_url, info.provider) == (
        "m-1",
        "sk-kept",
        "http://proxies.test/models/mp-1/v1",
        "openai",
    )
    assert info.headers == {"K": "sk-kept", "Agentrun-Access-Token": "sk-kept"}
    assert "sk-kept" not in repr(info)
    signed = do(proxy(found), "model_info")
    assert (signed.api_key, signed.base_url, signed.headers) == (None, "http://data.test/models/mp/v1", {})


# The openai client


def ask(client: OpenAI) -> str | None:
    with client:
        return client.chat.completions.create(model="m", messages=HI).choices[0].message.content


def test_the_openai_client_reaches_a_proxy_with_a_credential() -> None:
    found = platform({"headerKey": "X-Team-Key"})
    arguments = proxy(found, credentialName="c").openai_kwargs()
    web: Any = httpx.Client(transport=found)  # Older versions of the package take it by its type, newer by its kind.
    assert ask(OpenAI(http_client=web, **arguments)) == "hello"
    sent = found.requests[-1]
    assert f"{sent.method} {sent.path}" == "POST /models/mp-1/v1/chat/completions"
    assert (sent.headers["x-team-key"], sent.headers["agentrun-access-token"]) == ("sk-kept", "sk-kept")


def check_signed(found: Platform) -> None:
    """Each call is signed at its own time, and what the client takes for a key is not sent."""
    assert found.calls == ["POST /models/mp/v1/chat/completions"] * 2
    for sent in found.requests:
        assert sent.headers["agentrun-authorization"].startswith("AGENTRUN4-HMAC-SHA256")
        assert sent.headers["x-acs-date"]
        assert "authorization" not in sent.headers


def test_the_openai_client_reaches_a_proxy_without_one() -> None:
    found = platform()
    held = proxy(found)
    for _ in range(2):  # Closing the first client leaves our connections alone.
        assert ask(OpenAI(**held.openai_kwargs())) == "hello"
    check_signed(found)
    held.completion(HI)


@pytest.mark.asyncio
async def test_the_asynchronous_openai_client_reaches_a_proxy_without_one() -> None:
    found = platform()
    for _ in range(2):
        async with AsyncOpenAI(**await proxy(found).openai_kwargs_async()) as client:
            answered = await client.chat.completions.create(model="m", messages=HI)
            assert answered.choices[0].message.content == "hello"
    check_signed(found)


def test_the_openai_client_waits_as_long_as_the_config_says() -> None:
    found = platform()
    watched: list[httpx.Request] = []
    found.watch = watched.append
    config = found.config().replace(read_timeout=7, connect_timeout=3)
    ask(OpenAI(**proxy(found).openai_kwargs(config)))
    assert watched[0].extensions["timeout"] == {"connect": 3, "read": 7, "write": 7, "pool": 7}


# The data API


@in_both_modes
def test_a_proxy_by_its_name_alone(do: Do) -> None:
    found = platform()
    api = ModelDataAPI("mp", config=found.config())
    do(api, "completions", HI)
    api.update_model_name("other", "m-9", "c")
    for _ in range(2):
        do(api, "responses", "hi")
    assert found.calls == [
        "POST /models/mp/v1/chat/completions",
        "GET /2025-09-10/agents/model-proxies/other",
        CREDENTIAL,
        *["POST /models/mp-9/v1/responses"] * 2,
    ]
    assert [sent.body["model"] for sent in found.requests if sent.method == "POST"] == ["mp", "m-9", "m-9"]
    assert found.requests[3].headers["x-api-key"] == "sk-kept"


STATS = {
    "proxy": "mp",
    "requests": 3,
    "errors": 1,
    "refused": 1,
    "cacheHits": 1,
    "inFlight": 1,
    "queued": 2,
    "tokens": {"prompt": 5, "completion": 6, "cached": 1},
    "cost": 0.25,
    "currency": "USD",
    "endpoints": [
        {
            "name": "a",
            "healthy": False,
            "inFlight": 1,
            "requests": 3,
            "errors": 1,
            "tokens": {"prompt": 5, "completion": 6, "cached": 1},
            "cost": 0.25,
            "latency": {"p50": 0.1, "p95": 0.2, "p99": 0.3},
            "firstToken": {"p50": None, "p95": 0.02, "p99": 0.03},
        }
    ],
    "budgets": [{"scope": "proxy", "period": "month", "limit": 10, "used": 0.25, "unit": "USD"}],
}


@in_both_modes
def test_what_a_proxy_has_done(do: Do) -> None:
    found = Platform(lambda _: httpx.Response(200, json=STATS))
    stats = do(proxy(found), "stats")
    assert found.calls == ["GET /models/mp/stats"]
    assert found.requests[0].headers["agentrun-authorization"]
    assert (stats.cache_hits, stats.in_flight, stats.tokens.cached, stats.cost) == (1, 1, 1, 0.25)
    (endpoint,) = stats.endpoints
    assert (endpoint.name, endpoint.healthy, endpoint.latency.p99, endpoint.first_token.p95) == ("a", False, 0.3, 0.02)
    (budget,) = stats.budgets
    assert (budget.scope, budget.period, budget.limit, budget.used, budget.unit) == ("proxy", "month", 10, 0.25, "USD")


@in_both_modes
def test_the_cloud_knows_no_stats(do: Do) -> None:
    with pytest.raises(UnsupportedError, match=r"model_proxy\.stats is an extension of the local platform"):
        do(proxy(Platform(lambda _: refused(404, "no such path"))), "stats")
    marked = httpx.Response(
        404, headers={"x-agentrun-emulator": "1"}, json={"message": "model proxy mp does not exist"}
    )
    with pytest.raises(ResourceNotExistError, match="ModelProxy 'mp' does not exist"):
        do(proxy(Platform(lambda _: marked)), "stats")


# What only the local platform takes

LOCAL_ONLY: dict[str, ProxyConfig] = {
    r"policies\.gateway": ProxyConfig(policies=ProxyConfigPolicies(gateway=GatewayPolicies())),
    r"endpoint\.concurrency_limit": ProxyConfig(endpoints=[ProxyConfigEndpoint(concurrency_limit=1)]),
    r"endpoint\.model_mapping": ProxyConfig(endpoints=[ProxyConfigEndpoint(model_mapping={"a": "b"})]),
}


@pytest.mark.parametrize("name", LOCAL_ONLY)
@in_both_modes
def test_extensions_are_refused_before_anything_is_sent(do: Do, name: str) -> None:
    found = Platform(lambda _: enveloped({"modelProxyName": "mp"}))
    wanted = LOCAL_ONLY[name]
    control = ModelControlAPI(found.config())
    ways: list[Callable[[], Any]] = [
        lambda: do(ModelProxy, "create", model_proxy_name="mp", proxy_config=wanted, config=found.config()),
        lambda: do(ModelProxy, "update_by_name", "mp", proxy_config=wanted, config=found.config()),
        lambda: do(proxy(found), "update", proxy_config=wanted),
        lambda: do(ModelClient(found.config()), "create", ModelProxyCreateInput(proxy_config=wanted)),
        lambda: do(control, "update_model_proxy", "mp", ModelProxyUpdateInput(proxy_config=wanted)),
    ]
    for way in ways:
        with pytest.raises(UnsupportedError, match=rf"{name} is an extension of the local platform"):
            way()
    assert found.requests == []
    do(ModelProxy, "create", model_proxy_name="mp", proxy_config=wanted, config=found.config().replace(**LOCAL))
    assert found.requests[0].body["proxyConfig"] == wanted.to_wire()


# Creating, finding, listing


def test_what_a_creation_fills_in() -> None:
    found = Platform(lambda _: enveloped({}))
    ModelProxy.create(model_proxy_name="mp", proxy_config=ProxyConfig(endpoints=[]), config=found.config())
    assert found.requests[0].body == {
        "modelProxyName": "mp",
        "proxyMode": "single",
        "cpu": 2,
        "memory": 4096,
        "proxyConfig": {"endpoints": []},
    }


@pytest.mark.parametrize(
    ("models", "mode"),
    [
        ([["a"]], "single"),
        ([["a", "b"]], "single"),
        ([["a"], ["a"]], "single"),
        ([["a"], ["b"]], "multi"),
        ([["a"], None], "multi"),
    ],
)
def test_the_mode_follows_from_the_models(models: list[list[str] | None], mode: str) -> None:
    config = ProxyConfig(endpoints=[ProxyConfigEndpoint(base_url="http://x", model_names=names) for names in models])
    assert ModelProxyCreateInput(proxy_config=config).to_wire()["proxyMode"] == mode
    for given in ProxyMode:
        assert ModelProxyCreateInput(proxy_config=config, proxy_mode=given).to_wire()["proxyMode"] == given


def test_the_error_names_what_was_asked_for() -> None:
    config = Platform(lambda _: refused(404, "it does not exist")).config()
    with pytest.raises(ResourceNotExistError, match="ModelProxy 'mp' does not exist"):
        ModelProxy.get_by_name("mp", config)
    # The service answers 500 for this one.
    config = Platform(lambda _: refused(500, "it already exists")).config()
    with pytest.raises(ResourceAlreadyExistError, match="ModelProxy 'mp' already exists"):
        ModelProxy.create(model_proxy_name="mp", config=config)


@in_both_modes
def test_lists_are_read_page_by_page(do: Do) -> None:
    def page(sent: Sent) -> httpx.Response:
        first = sent.query["pageNumber"] == "1"
        return enveloped({"items": [{"modelProxyName": f"mp-{n}"} for n in range(50)] if first else []})

    found = Platform(page)
    assert len(do(ModelProxy, "list_all", proxy_mode="multi", config=found.config())) == 50
    assert [sent.query for sent in found.requests] == [
        {"pageNumber": number, "pageSize": "50", "proxyMode": "multi"} for number in ("1", "2")
    ]


def kept(*paths: str) -> Platform:
    """A platform that has only these resources, all of them called `x`."""

    def answered(sent: Sent) -> httpx.Response:
        if not sent.path.startswith(tuple(f"/2025-09-10/agents/{path}" for path in paths)):
            return refused(404, f"{sent.path} does not exist")
        return enveloped({"modelProxyName": "x", "modelServiceName": "x", "items": [{"modelServiceName": "x"}]})

    return Platform(answered)


@pytest.mark.parametrize(("verb", "first"), [("get", ModelService), ("delete", ModelProxy)])
@in_both_modes
def test_without_a_type_both_are_looked_for(do: Do, verb: str, first: type[Any]) -> None:
    both, services, proxies, none = (
        ModelClient(kept(path).config()) for path in ("model-", "model-services", "model-proxies", "nothing")
    )
    assert type(do(both, verb, "x")) is first
    assert type(do(services, verb, "x")) is ModelService
    assert type(do(proxies, verb, "x")) is ModelProxy
    assert type(do(both, verb, "x", BackendType.SERVICE)) is ModelService
    assert type(do(both, verb, "x", BackendType.PROXY)) is ModelProxy
    with pytest.raises(ResourceNotExistError, match="ModelProxy 'x'"):
        do(services, verb, "x", BackendType.PROXY)
    with pytest.raises(ResourceNotExistError, match="ModelService 'x'"):
        do(proxies, verb, "x", BackendType.SERVICE)
    with pytest.raises(ResourceNotExistError, match="'x' does not exist"):
        do(none, verb, "x")


@in_both_modes
def test_the_input_says_which_is_meant(do: Do) -> None:
    client = ModelClient(kept("model-").config())
    assert type(do(client, "create", ModelProxyCreateInput(model_proxy_name="x"))) is ModelProxy
    assert type(do(client, "create", ModelServiceCreateInput(model_service_name="x"))) is ModelService
    assert type(do(client, "update", "x", ModelProxyUpdateInput(description="d"))) is ModelProxy
    assert type(do(client, "update", "x", ModelServiceUpdateInput(description="d"))) is ModelService
    assert [type(each) for each in do(client, "list", ModelProxyListInput())] == [ModelProxy]
    assert [type(each) for each in do(client, "list", ModelServiceListInput())] == [ModelService]


@in_both_modes
def test_providers(do: Do) -> None:
    item = {"providerName": "vllm", "baseUrl": "http://localhost:8000/v1", "modelType": "llm", "models": ["m"]}
    found = Platform(lambda _: enveloped({"items": [item, {**item, "modelType": "rerank"}]}))
    providers = do(ModelClient(found.config()), "list_providers", provider="vllm", model_type=ModelType.LLM)
    assert [type(each) for each in providers] == [ModelProvider] * 2
    assert (providers[0].provider_name, providers[0].base_url, providers[0].models) == (
        "vllm",
        "http://localhost:8000/v1",
        ["m"],
    )
    assert found.calls == ["GET /2025-09-10/agents/model-providers"]
    assert found.requests[0].query == {"pageNumber": "1", "pageSize": "50", "provider": "vllm", "modelType": "llm"}


def test_both_modes_share_one_config() -> None:
    found = platform()
    held = proxy(found)
    blocking(held, "completion", HI)
    asyncio.run(held.acompletion(HI, config=Config(read_timeout=1)))
    assert len(found.requests) == 2
