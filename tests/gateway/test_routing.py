"""Which endpoint a call goes to: shares, sessions, models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any

import openai
import pytest

from agentrun._serving.upstream import Host
from agentrun.gateway.call import SESSION_HEADER, Call
from agentrun.gateway.limits.concurrency import Places
from agentrun.gateway.plan import Plan, Target
from agentrun.gateway.routing.health import Health
from agentrun.gateway.routing.router import Router
from agentrun.gateway.state.memory import MemoryState
from agentrun.model.policies import GatewayPolicies, ProxyConfigPolicies
from tests.gateway.answers import completion
from tests.gateway.serving import MESSAGES, chat, one, proxy, serving_gateway
from tests.unit.servers import Server, serving

CALLS = 10_000


def plan(weights: Sequence[int], *, sticky: bool = False, models: tuple[str, ...] = ()) -> Plan:
    targets = tuple(
        Target(str(number), f"p/{number}", Host("127.0.0.1", 1), "", models=models, weight=weight)
        for number, weight in enumerate(weights)
    )
    policies = ProxyConfigPolicies(gateway=GatewayPolicies(sticky_sessions=sticky))
    return Plan("p", "p", targets, policies=policies)


def router() -> Router:
    return Router(Health(monotonic), Places(MemoryState(), monotonic))


def call(session: str = "", model: str = "p") -> Call:
    return Call("chat/completions", b"", {"model": model}, {SESSION_HEADER: session} if session else {})


def chosen(by: Router, of: Plan, calls: Sequence[Call]) -> list[str]:
    choices = [by.choose(of, each, ()) for each in calls]
    return [choice.target.name for choice in choices if choice]


@pytest.mark.parametrize("weights", [(1,), (1, 1, 1), (5, 3, 2), (97, 2, 1), (1, 0, 3), (1000, 1)])
def test_shares_are_exact(weights: tuple[int, ...]) -> None:
    counts = Counter(chosen(router(), plan(weights), [call()] * CALLS))
    for number, weight in enumerate(weights):
        assert counts[str(number)] == pytest.approx(CALLS * weight / sum(weights), abs=1)


def test_shares_are_exact_whatever_callers_call_the_model() -> None:
    calls = [call(model=f"m{number}") for number in range(CALLS)]
    counts = Counter(chosen(router(), plan((3, 1)), calls))
    assert counts == {"0": CALLS * 3 / 4, "1": CALLS / 4}


@pytest.mark.parametrize(
    ("weights", "row"), [((5, 1, 1), "0010200"), ((1, 1, 1), "012012"), ((2, 1), "010010"), ((3, 3, 2), "01201201")]
)
def test_shares_come_without_bursts(weights: tuple[int, ...], row: str) -> None:
    assert "".join(chosen(router(), plan(weights), [call()] * len(row))) == row


@pytest.mark.parametrize("weights", [(5, 3, 2), (7, 2, 2, 1), (10, 9, 1)])
def test_shares_are_kept_at_any_moment(weights: tuple[int, ...]) -> None:
    names = chosen(router(), plan(weights), [call()] * 500)
    for number, weight in enumerate(weights):
        for length in range(1, len(names) + 1):
            assert abs(names[:length].count(str(number)) - length * weight / sum(weights)) < 1.5


def test_a_session_stays_where_it_is() -> None:
    same, of = router(), plan((1, 2, 3, 4), sticky=True)
    sessions = [call(f"session {number}") for number in range(2000)]
    first = chosen(same, of, sessions)
    assert chosen(same, of, sessions) == first
    assert chosen(router(), of, sessions) == first
    shares = Counter(first)
    for number, weight in enumerate((1, 2, 3, 4)):
        assert shares[str(number)] / len(first) == pytest.approx(weight / 10, abs=0.04)


def test_an_endpoint_that_goes_moves_only_its_own_sessions() -> None:
    same, of = router(), plan((1, 1, 1, 1), sticky=True)
    sessions = [call(f"session {number}") for number in range(2000)]
    before = chosen(same, of, sessions)
    after = chosen(same, Plan("p", "p", of.targets[:-1], policies=of.policies), sessions)
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {old for old, _ in moved} == {"3"}
    assert {new for _, new in moved} == {"0", "1", "2"}


def test_a_session_that_is_half_a_surrogate_is_one() -> None:
    same, of = router(), plan((1, 1), sticky=True)
    odd = Call("chat/completions", b"", {"model": "p", "user": "\ud800"})
    assert len(set(chosen(same, of, [odd] * 20))) == 1


def models_of(server: Server) -> list[str]:
    return [json.loads(request.body)["model"] for request in server.requests]


def endpoint(server: Server, **more: Any) -> dict[str, Any]:
    return {"base_url": server.url, **more}


def test_shares_over_the_network() -> None:
    with serving(completion()) as first, serving(completion()) as second:
        both = one(endpoint(first, weight=3), endpoint(second, weight=1))
        with serving_gateway(both) as gateway, gateway.client() as client:
            for _ in range(80):
                client.chat.completions.create(model="chat", messages=MESSAGES)
    assert (len(first.requests), len(second.requests)) == (60, 20)


def test_several_models_go_each_to_those_that_have_it() -> None:
    with serving(completion("a")) as first, serving(completion("b")) as second:
        proxies = one(
            endpoint(first, model_names=["small", "both"]),
            endpoint(second, model_names=["large"], model_mapping={"both": "other"}),
            mode="multi",
        )
        with serving_gateway(proxies) as gateway:
            for model in ("small", "large", "both", "both"):
                assert gateway.post(chat(model=model)).status_code == 200
            refused = gateway.post(chat(model="medium"))
    assert (models_of(first), models_of(second)) == (["small", "both"], ["large", "other"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert all(known in refused.json()["error"]["message"] for known in ("'small'", "'large'", "'both'"))


def test_one_model_goes_to_all_under_the_name_it_has_there() -> None:
    with serving(completion()) as first, serving(completion()) as second:
        proxies = one(
            endpoint(first, model_names=["m-1"]), endpoint(second, model_names=["m-2"], model_mapping={"chat": "m-3"})
        )
        with serving_gateway(proxies) as gateway:
            for model in ("chat", "chat", "m-1", "m-1"):
                assert gateway.post(chat(model=model)).status_code == 200
    assert (set(models_of(first)), set(models_of(second))) == ({"m-1"}, {"m-2", "m-3"})


def test_the_model_leads_to_its_proxy() -> None:
    with serving(completion("a")) as first, serving(completion("b")) as second:
        proxies = {
            "first": proxy(endpoint(first, model_names=["m-a"])),
            "second": proxy(endpoint(second, model_names=["m-b"])),
        }
        with serving_gateway(proxies) as gateway, gateway.client() as client:
            answers = [
                client.chat.completions.create(model=model, messages=MESSAGES).choices[0].message.content
                for model in ("first", "second", "m-b", "m-a")
            ]
            listed = {model.id for model in client.models.list()}
            with pytest.raises(openai.NotFoundError, match=r"'m-a'.*'m-b'"):
                client.chat.completions.create(model="m-c", messages=MESSAGES)
    assert answers == ["a", "b", "b", "a"]
    assert listed == {"first", "second", "m-a", "m-b"}


def test_a_proxy_is_also_called_by_its_path() -> None:
    with serving(completion()) as server, serving_gateway({"a": proxy(server.url), "b": proxy(server.url)}) as gateway:
        found = gateway.post(chat(model="whatever"), "/../models/a/v1/chat/completions")
        missing = gateway.post(chat(), "/../models/c/v1/chat/completions")
    assert (found.status_code, missing.status_code) == (200, 404)
    assert "there are 'a', 'b'" in missing.json()["error"]["message"]


def test_no_weight_is_no_endpoint() -> None:
    with serving_gateway(one({"base_url": "http://127.0.0.1:1", "weight": 0})) as gateway:
        answer = gateway.post()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_endpoint")
