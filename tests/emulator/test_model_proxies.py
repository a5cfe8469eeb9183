"""Model proxies and providers: what the control plane keeps of them, and what it refuses before a gateway sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest

from agentrun.emulator import Emulator, ManualClock
from agentrun.model import Provider
from tests.emulator import bodies
from tests.emulator.signed import (
    CREDENTIALS,
    MODEL_PROVIDERS,
    MODEL_PROXIES,
    MODEL_SERVICES,
    Account,
    account_of,
    client_of,
)

PROXY = f"{MODEL_PROXIES}/proxy"
SERVICE = f"{MODEL_SERVICES}/model"
BY_SERVICE = {"modelServiceName": "model", "modelNames": ["m"]}
SELF_HOSTED = {"vllm", "sglang", "ollama", "lmdeploy"}


def config(endpoint: dict[str, Any] | None = None, /, **policies: Any) -> dict[str, Any]:
    return {"endpoints": [endpoint or BY_SERVICE], "policies": policies}


def proxy(endpoint: dict[str, Any] | None = None, /, **policies: Any) -> dict[str, Any]:
    return bodies.model_proxy(proxyConfig=config(endpoint, **policies))


@pytest.fixture
def service(account: Account) -> Account:
    """An account that has one model service."""
    account.done("POST", MODEL_SERVICES, bodies.model_service())
    return account


def test_where_a_proxy_is_called_follows_from_its_id(emulator: Emulator, service: Account) -> None:
    made = service.done("POST", MODEL_PROXIES, proxy())
    assert made["status"] == "CREATING"
    assert made["modelProxyId"].startswith("mp-")
    assert made["endpoint"] == f"{emulator.url}/models/{made['modelProxyId']}"
    assert made["functionName"]
    shown = service.done("GET", PROXY)
    assert shown["status"] == "READY"
    assert service.done("GET", MODEL_PROXIES)["items"] == [shown]


def test_realistic_proxies_take_their_time(timed: Account, clock: ManualClock) -> None:
    timed.at(clock.now()).done("POST", MODEL_PROXIES, bodies.model_proxy())
    for seconds, status in ((3.9, "CREATING"), (0.2, "READY")):
        clock.advance(seconds)
        assert timed.at(clock.now()).done("GET", PROXY)["status"] == status


def test_extensions_are_kept_as_they_were_given(service: Account) -> None:
    gateway = {"timeouts": {"firstTokenSeconds": 2}, "prices": {"*": {"input": 1.5}}, "stickySessions": True}
    endpoint = {**BY_SERVICE, "concurrencyLimit": 3, "modelMapping": {"m": "real-m"}}
    made = service.done("POST", MODEL_PROXIES, proxy(endpoint, gateway=gateway))
    assert made["proxyConfig"] == config(endpoint, gateway=gateway)


WRONG: list[tuple[dict[str, Any], str]] = [
    (proxy(gatewy={}), "policies.gatewy is not a field of ProxyConfigPolicies: did you mean gateway?"),
    (proxy(gateway={"ratelimits": [{}]}), "no field 'policies.gateway.ratelimits'. Did you mean rateLimits?"),
    (proxy(gateway={"rate_limits": [{}]}), "no field 'policies.gateway.rate_limits'. Did you mean rateLimits?"),
    (proxy(gateway={"prices": {"m": {"inptu": 1}}}), "no field 'policies.gateway.prices.m.inptu'. Did you mean input?"),
    (proxy(gateway={"budgets": [{"period": "day"}]}), "budgets.0: give either tokens or cost"),
    (proxy(gateway={"retry": {"budgetRatio": "much"}}), "retry.budgetRatio: Input should be a valid number"),
    (proxy(gateway=[1]), "policies.gateway: Input should be an object"),
    (proxy({**BY_SERVICE, "concurrencyLimit": 0}), "concurrencyLimit: Input should be greater than or equal to 1"),
    (proxy({**BY_SERVICE, "concurrencyLimit": "3"}), "endpoints[0].concurrencyLimit must be an integer, not str"),
    (proxy({**BY_SERVICE, "modelMapping": {"m": 1}}), "endpoints[0].modelMapping.m must be a string, not int"),
    (proxy({**BY_SERVICE, "weight": -1}), "endpoints.0.weight: Input should be greater than or equal to 0"),
    (proxy({**BY_SERVICE, "baseUrl": "http://x"}), "endpoints[0] needs either a modelServiceName or a baseUrl"),
    (
        proxy(gateway={"cache": {"semantic": {"modelServiceName": "none"}}}),
        "proxyConfig.policies.gateway.cache.semantic.modelServiceName: there is no model service none",
    ),
    (
        proxy(gateway={"contentChecks": [{"name": "c", "modelServiceName": "none"}]}),
        "gateway.contentChecks[0].modelServiceName: there is no model service none",
    ),
    (proxy(fallbacks=[{}]), "fallbacks[0] needs a modelName, a modelServiceName or both"),
    (
        proxy(fallbacks=[{"modelServiceName": "model", "modelName": "n"}]),
        "fallbacks[0]: model service model has no model n; it has m",
    ),
]


@pytest.mark.parametrize(("body", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_a_proxy_cannot_be_is_named(service: Account, body: dict[str, Any], message: str) -> None:
    assert message in service.refused(400, "POST", MODEL_PROXIES, body)
    assert service.done("GET", MODEL_PROXIES)["total"] == 0
    service.done("POST", MODEL_PROXIES, proxy())
    assert message in service.refused(400, "PUT", PROXY, {"proxyConfig": body["proxyConfig"]})


def test_the_models_of_a_service_count_where_an_endpoint_names_none(service: Account) -> None:
    service.done("POST", MODEL_PROXIES, proxy({"modelServiceName": "model"}, fallbacks=[{"modelName": "m"}]))
    assert "the proxy has no model n" in service.refused(
        400, "PUT", PROXY, {"proxyConfig": {"policies": {"fallbacks": [{"modelName": "n"}]}}}
    )


@pytest.mark.parametrize("name", ["blockOnContentModeration", "blockOnMaliciousUrl", "blockOnModelHallucination"])
def test_a_promise_that_needs_a_model_is_refused_without_one(service: Account, name: str) -> None:
    guarded = {"aiGuardrailConfig": {name: True}}
    message = service.refused(501, "POST", MODEL_PROXIES, proxy(**guarded))
    assert f"{name} is not possible without a model that moderates" in message
    by_pattern = {"contentChecks": [{"name": "c", "patterns": ["x"]}]}
    service.refused(501, "POST", MODEL_PROXIES, proxy(**guarded, gateway=by_pattern))
    by_model = {"contentChecks": [{"name": "c", "modelServiceName": "model"}]}
    service.done("POST", MODEL_PROXIES, proxy(**guarded, gateway=by_model))
    # Changing only one part of the configuration must not bring the refused whole about.
    service.done("GET", PROXY)
    service.refused(501, "PUT", PROXY, {"proxyConfig": {"policies": guarded}})


def test_what_patterns_find_needs_no_model(service: Account) -> None:
    guards = {"blockOnSensitiveData": True, "blockOnPromptAttack": True, "blockOnMaliciousUrl": False}
    service.done("POST", MODEL_PROXIES, proxy(aiGuardrailConfig=guards))


def test_an_update_keeps_the_part_of_the_configuration_that_it_does_not_name(service: Account) -> None:
    service.done("POST", MODEL_PROXIES, proxy(cache=True))
    service.done("GET", PROXY)
    service.done("PUT", PROXY, {"proxyConfig": {"policies": {"numRetries": 1}}})
    assert service.done("GET", PROXY)["proxyConfig"] == config(numRetries=1)


USES = {
    "an endpoint": proxy(),
    "a fallback": proxy({"baseUrl": "http://x"}, fallbacks=[{"modelServiceName": "model"}]),
    "a cache": proxy({"baseUrl": "http://x"}, gateway={"cache": {"semantic": {"modelServiceName": "model"}}}),
    "a check": proxy({"baseUrl": "http://x"}, gateway={"contentChecks": [{"name": "c", "modelServiceName": "model"}]}),
}


@pytest.mark.parametrize("use", USES)
def test_a_service_in_use_stays(service: Account, use: str) -> None:
    service.done("POST", MODEL_SERVICES, bodies.model_service("other"))
    service.done("POST", MODEL_PROXIES, USES[use])
    assert service.refused(409, "DELETE", SERVICE) == "model proxy proxy uses model service model; change it first"
    service.done("DELETE", f"{MODEL_SERVICES}/other")
    service.done("DELETE", PROXY)
    service.done("DELETE", SERVICE)


def test_a_service_that_others_have_under_the_same_name_does_not_matter(
    emulator: Emulator, client: httpx.Client, service: Account
) -> None:
    other = account_of(emulator, client)
    other.done("POST", MODEL_SERVICES, bodies.model_service())
    other.done("POST", MODEL_PROXIES, proxy())
    service.done("DELETE", SERVICE)


def test_a_credential_knows_the_proxies_that_name_it(account: Account) -> None:
    account.done("POST", CREDENTIALS, bodies.credential())
    made = account.done("POST", MODEL_PROXIES, bodies.model_proxy(credentialName="key"))
    assert account.done("GET", f"{CREDENTIALS}/key")["relatedResources"] == [
        {"resourceId": made["modelProxyId"], "resourceName": "proxy", "resourceType": "model_proxy"}
    ]


def test_loose_lets_unknown_names_through_and_nothing_that_cannot_work() -> None:
    with Emulator(strict=False) as emulator, client_of(emulator) as client:
        account = account_of(emulator, client)
        odd = bodies.model_proxy()
        odd["proxyConfig"]["policies"] = {"gateway": {"odd": 1}}
        assert account.done("POST", MODEL_PROXIES, odd)["proxyConfig"]["policies"]["gateway"] == {"odd": 1}
        assert "stickySessions" in account.refused(
            400, "PUT", PROXY, {"proxyConfig": {"policies": {"gateway": {"stickySessions": "perhaps"}}}}
        )


# Providers


def every_provider(account: Account, **query: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = account.done("GET", MODEL_PROVIDERS, pageSize="100", **query)["items"]
    return items


def test_every_provider_of_the_sdk_is_listed_and_those_one_runs_oneself(account: Account) -> None:
    assert {item["providerName"] for item in every_provider(account)} == {each.value for each in Provider} | SELF_HOSTED


def test_a_provider_without_a_url_of_this_protocol_has_none(account: Account) -> None:
    assert {item["providerName"] for item in every_provider(account) if "baseUrl" not in item} == {
        "custom",
        "vertex_ai",
    }


def test_providers_are_filtered_and_come_in_pages(account: Account) -> None:
    pages = [account.done("GET", MODEL_PROVIDERS, pageNumber=str(number), pageSize="7") for number in range(1, 9)]
    assert [item for page in pages for item in page["items"]] == every_provider(account)
    assert {page["total"] for page in pages} == {len(every_provider(account))}
    rerank = every_provider(account, modelType="rerank")
    assert rerank
    assert {item["modelType"] for item in rerank} == {"rerank"}
    assert [item["modelType"] for item in every_provider(account, modelName="text-embedding-v4")] == ["text-embedding"]


# What it costs who has no proxies

WITHOUT_PROXIES = """
import asyncio, json, sys
from agentrun.emulator import build_app, Settings

async def main():
    app = build_app(Settings(verify_signatures=False))
    await app.platform.close()

asyncio.run(main())
print(json.dumps([name for name in ("pydantic", "httpx", "openai", "mcp", "yaml") if name in sys.modules]))
"""


def test_pydantic_loads_with_the_first_proxy_only() -> None:
    finished = subprocess.run([sys.executable, "-c", WITHOUT_PROXIES], capture_output=True, text=True, check=True)
    assert json.loads(finished.stdout) == []
