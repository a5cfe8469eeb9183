"""What Prometheus reads."""

from __future__ import annotations

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families as families
from prometheus_client.samples import Sample

from agentrun._serving.histogram import Histogram
from agentrun.gateway.observability.metrics import render
from agentrun.gateway.observability.stats import Stats
from agentrun.gateway.streaming.usage import Usage
from tests.gateway.answers import completion, refusal
from tests.gateway.serving import Running, before, one, serving_gateway
from tests.unit.servers import serving


def samples(text: str) -> list[Sample]:
    return [sample for family in families(text) for sample in family.samples]


def read(gateway: Running) -> list[Sample]:
    answer = gateway.http.get(f"{gateway.root}/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(answer.text)


def value(of: list[Sample], name: str, **labels: str) -> float:
    found = [
        each.value for each in of if each.name == f"agentrun_gateway_{name}" and labels.items() <= each.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_counts_are_told() -> None:
    with before([refusal(503), completion()]) as (gateway, _):
        for _ in range(3):
            gateway.post()
        gateway.post({"model": "none", "messages": []}, "/chat/completions")
        told = read(gateway)
    assert value(told, "requests_total", proxy="chat") == 4
    assert value(told, "endpoint_requests_total", proxy="chat") == 4 - value(told, "errors_total", proxy="chat")
    assert value(told, "endpoint_errors_total", reason="503") == 1
    assert value(told, "tokens_total", type="prompt") == 7 * value(told, "endpoint_requests_total")
    assert value(told, "in_flight", proxy="chat") == 0


def test_histograms_add_up() -> None:
    with before(completion()) as (gateway, _):
        for _ in range(5):
            gateway.post()
        told = read(gateway)
    for name in ("request_duration_seconds", "time_to_first_token_seconds"):
        buckets = [each for each in told if each.name == f"agentrun_gateway_{name}_bucket"]
        counts = [each.value for each in buckets]
        assert counts == sorted(counts)
        assert buckets[-1].labels["le"] == "+Inf"
        assert counts[-1] == value(told, f"{name}_count") == 5
        assert 0 < value(told, f"{name}_sum") < 5 * 15


def test_a_series_is_told_once_also_for_endpoints_of_one_name() -> None:
    with serving(completion()) as server:
        twice = one({"base_url": server.url, "model_names": ["a"]}, {"base_url": server.url, "model_names": ["b"]})
        with serving_gateway(twice) as gateway:
            for _ in range(4):
                gateway.post()
            told = read(gateway)
            assert [endpoint["requests"] for endpoint in gateway.stats()["endpoints"]] == [2, 2]
    assert max(Counter((each.name, *sorted(each.labels.items())) for each in told).values()) == 1
    assert value(told, "endpoint_requests_total") == 4
    assert value(told, "tokens_total", type="completion") == 12
    assert value(told, "request_duration_seconds_count") == 4


def test_names_may_have_any_character() -> None:
    stats = Stats()
    name = 'a "b" \\c\n{d="e"} ä 😀'
    proxy = stats.proxy("key", name)
    proxy.refused["budget"] += 2
    endpoint = proxy.endpoint("key", name)
    endpoint.tokens.add(Usage(1, 2, 3))
    endpoint.cost = 0.5
    told = samples(render(stats))
    assert {each.labels["proxy"] for each in told} == {name}
    assert value(told, "refused_total", reason="budget") == 2
    assert value(told, "cost_total", currency="USD", endpoint=name) == 0.5
    assert value(told, "tokens_total", type="cached") == 3


def test_nothing_is_told_of_nothing() -> None:
    assert not samples(render(Stats()))


def test_percentiles_are_right_to_a_fifth() -> None:
    times = Histogram()
    for number in range(1, 1001):
        times.observe(number / 1000)
    for fraction in (0.5, 0.95, 0.99):
        found = times.percentile(fraction)
        assert found
        assert fraction <= found <= fraction * 1.2
    times.observe(1e9)
    assert (Histogram().percentile(0.5), times.count) == (None, 1001)
