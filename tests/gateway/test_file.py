"""The file of a gateway: what may stand in it, and how its mistakes are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentrun.gateway.call import Caller
from agentrun.gateway.file import GatewayFile, GatewayFileError, load
from agentrun.model.policies import ProxyMode

Write = Callable[[str], Path]
WHOLE = """
services:
  openai:
    base_url: https://${HOST:-api.openai.com}/v1/
    api_key: ${OPENAI_KEY}
    model_names: [large, small]
  local:
    base_url: http://127.0.0.1:8000
proxies:
  chat:
    proxy_mode: multi
    endpoints:
      - {model_service_name: openai, weight: "${WEIGHT:-3}"}
      - {base_url: "http://me@localhost:9/v1", model_names: [tiny], model_mapping: {tiny: tiny-1}}
    policies:
      num_retries: 1
      fallbacks: [{model_service_name: local, model_name: any}]
      gateway:
        timeouts: {first_token_seconds: 1.5}
        prices: {large: {input: 1, output: 2}}
keys:
  ci: ${CI_KEY}
  team: {key: sk-2, tenant: blue}
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "gateway.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_a_whole_file(write: Write) -> None:
    read = load(write(WHOLE), {"OPENAI_KEY": "sk-0", "CI_KEY": "sk-1"})
    [plan] = read.plans()
    first, second = plan.targets
    assert (str(first.host), first.host.tls, first.base_path, first.weight) == ("api.openai.com:443", True, "/v1", 3)
    assert dict(first.headers)[b"authorization"] == b"Bearer sk-0"
    assert (second.name, second.weight, second.mapping) == ("localhost:9", 1, {"tiny": "tiny-1"})
    assert plan.models == ["large", "small", "tiny"]
    assert (plan.fallbacks[0].target.name, plan.fallbacks[0].model) == ("local", "any")
    assert (plan.multi, plan.policies.num_retries, plan.gateway.timeouts.first_token_seconds) == (True, 1, 1.5)
    assert read.callers() == {"sk-1": Caller("ci", "ci"), "sk-2": Caller("team", "blue")}


def test_variables_come_before_defaults(write: Write) -> None:
    environment = {"OPENAI_KEY": "k", "CI_KEY": "c", "HOST": "example.com", "WEIGHT": "7"}
    [plan] = load(write(WHOLE), environment).plans()
    assert (plan.targets[0].host.name, plan.targets[0].weight) == ("example.com", 7)


def test_keys_are_in_no_text(write: Write) -> None:
    read = load(write(WHOLE), {"OPENAI_KEY": "sk-secret", "CI_KEY": "sk-secret"})
    assert "sk-secret" not in f"{read!r} {read.plans()!r}"


def test_what_is_not_given(write: Write) -> None:
    read = load(write("proxies: {chat: {endpoints: [{base_url: 'http://127.0.0.1:1'}]}}"), {})
    [plan] = read.plans()
    assert (plan.name, plan.multi, plan.models, read.callers()) == ("chat", False, ["chat"], {})
    assert read.proxies["chat"].proxy_mode == ProxyMode.SINGLE
    assert plan.gateway.retry.hedge_after_seconds is None
    assert plan.gateway.outlier_ejection.ejection_seconds == 1.0


def chat(endpoint: str, policies: str = "{}") -> str:
    return f"proxies: {{chat: {{endpoints: [{endpoint}], policies: {policies}}}}}"


URL = "{base_url: 'http://127.0.0.1:1'}"
WRONG = {
    "a name that is misspelt": (chat("{base_ulr: x}"), ["proxies.chat.endpoints.0.base_ulr", "Did you mean base_url?"]),
    "a policy that is misspelt": (chat(URL, "{num_retrys: 1}"), ["policies.num_retrys", "Did you mean num_retries?"]),
    "a policy in its depth": (
        chat(URL, "{gateway: {timeouts: {first_token_second: 1}}}"),
        ["policies.gateway.timeouts.first_token_second", "Did you mean first_token_seconds?"],
    ),
    "a section that is misspelt": ("proxys: {}", ["'proxys'", "Did you mean proxies?"]),
    "no proxies": ("services: {}", ["needs 'proxies'"]),
    "a wrong type": (chat(URL, "{num_retries: many}"), ["proxies.chat.policies.num_retries", "integer"]),
    "a negative weight": (
        chat("{base_url: 'http://x', weight: -1}"),
        ["endpoints.0.weight", "greater than or equal to 0"],
    ),
    "a mode that there is not": (
        "proxies: {chat: {proxy_mode: double}}",
        ["proxies.chat.proxy_mode", "'single' or 'multi'"],
    ),
    "no object": ("[1, 2]", ["must hold an object", "list"]),
    "nothing": ("", ["must hold an object", "NoneType"]),
    "no YAML": ("a: [", ["cannot be read"]),
    "code": ("!!python/object/apply:os.system ['true']", ["cannot be read"]),
    "a key that is empty": (chat(URL) + "\nkeys: {me: ''}", ["keys.me.key", "at least 1 character"]),
    "a variable that is not set": (chat("{base_url: '${NO_SUCH}'}"), ["proxies.chat.endpoints[0].base_url", "NO_SUCH"]),
}


@pytest.mark.parametrize("how", sorted(WRONG))
def test_mistakes_name_their_place(write: Write, how: str) -> None:
    text, told = WRONG[how]
    path = write(text)
    with pytest.raises(GatewayFileError) as caught:
        load(path, {})
    assert str(caught.value).startswith(str(path))
    for part in told:
        assert part in str(caught.value)


NO_PLAN = {
    "no endpoint": ("", "has no endpoints"),
    "nothing in an endpoint": ("{weight: 1}", "needs model_service_name or base_url"),
    "a service that there is not": ("{model_service_name: opanai}", "there is no service 'opanai'"),
    "a scheme that is not served": ("{base_url: 'ftp://x'}", "is not an http:// or https:// URL"),
    "a port that there is not": ("{base_url: 'http://x:99999'}", "is not a URL"),
    "no host": ("{base_url: 'http:///v1'}", "is not an http:// or https:// URL"),
    "half an address": ("{base_url: 'http://[::1'}", "is not a URL"),
    "a key with a line break": ("{model_service_name: broken}", "has a line break"),
}


@pytest.mark.parametrize("how", sorted(NO_PLAN))
def test_plans_that_cannot_be_served_name_their_proxy(write: Write, how: str) -> None:
    endpoint, told = NO_PLAN[how]
    broken = '\nservices: {broken: {base_url: "http://x", api_key: "sk-secret\\n"}}'
    read = load(write(chat(endpoint) + broken), {})
    with pytest.raises(GatewayFileError, match=r"^proxies\.chat: ") as caught:
        read.plans()
    assert told in str(caught.value)
    assert "sk-secret" not in str(caught.value)


def test_a_file_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(GatewayFileError, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_it_may_be_made_without_a_file() -> None:
    proxies: Any = {"chat": {"endpoints": [{"base_url": "http://x/ä b"}]}}
    made = GatewayFile(proxies=proxies)
    assert made.plans()[0].targets[0].base_path == "/%C3%A4%20b"
