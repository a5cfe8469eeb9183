"""The counts of a gateway in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from agentrun._serving.prometheus import histogram, metric
from agentrun.gateway.observability.stats import EndpointStats, ProxyStats, Stats

_PREFIX = "agentrun_gateway_"


def render(stats: Stats) -> str:
    """Everything that was counted."""
    proxies = list(stats)
    lines = [*_of_proxies(proxies), *_of_endpoints(proxies)]
    return "\n".join(lines) + "\n"


def _of_proxies(proxies: list[ProxyStats]) -> Iterator[str]:
    yield from metric(
        f"{_PREFIX}requests_total", "counter", "Calls that came.", (({"proxy": p.name}, p.requests) for p in proxies)
    )
    yield from metric(
        f"{_PREFIX}errors_total",
        "counter",
        "Calls answered with an error.",
        (({"proxy": p.name}, p.errors) for p in proxies),
    )
    yield from metric(
        f"{_PREFIX}in_flight", "gauge", "Calls under way.", (({"proxy": p.name}, p.in_flight) for p in proxies)
    )
    yield from metric(
        f"{_PREFIX}refused_total",
        "counter",
        "Calls refused by a policy.",
        (({"proxy": p.name, "reason": reason}, n) for p in proxies for reason, n in p.refused.items()),
    )
    yield from metric(
        f"{_PREFIX}cache_total",
        "counter",
        "What the cache said.",
        (({"proxy": p.name, "result": result}, n) for p in proxies for result, n in p.cache.items()),
    )


def _of_endpoints(proxies: list[ProxyStats]) -> Iterator[str]:
    each = [(proxy, endpoint) for proxy in proxies for endpoint in _by_name(proxy)]
    yield from metric(
        f"{_PREFIX}endpoint_requests_total",
        "counter",
        "Calls that an endpoint answered.",
        ((_of(p, e), e.requests) for p, e in each),
    )
    yield from metric(
        f"{_PREFIX}endpoint_errors_total",
        "counter",
        "Attempts that failed.",
        ((_of(p, e, reason=reason), n) for p, e in each for reason, n in e.errors.items()),
    )
    yield from metric(
        f"{_PREFIX}endpoint_in_flight", "gauge", "Calls under way.", ((_of(p, e), e.in_flight) for p, e in each)
    )
    yield from metric(
        f"{_PREFIX}tokens_total",
        "counter",
        "Tokens used.",
        ((_of(p, e, type=kind), n) for p, e in each for kind, n in e.tokens.to_json().items()),
    )
    yield from metric(
        f"{_PREFIX}cost_total",
        "counter",
        "Money spent.",
        ((_of(p, e, currency=p.currency), e.cost) for p, e in each if e.cost),
    )
    yield from histogram(
        f"{_PREFIX}request_duration_seconds",
        "From asking an endpoint to the end of its answer.",
        ((_of(p, e), e.latency) for p, e in each),
    )
    yield from histogram(
        f"{_PREFIX}time_to_first_token_seconds",
        "From asking an endpoint to its first byte.",
        ((_of(p, e), e.first_token) for p, e in each),
    )


def _by_name(proxy: ProxyStats) -> list[EndpointStats]:
    """The counts of endpoints, those of one name together: a series may be told only once."""
    named: dict[str, EndpointStats] = {}
    for endpoint in proxy.endpoints.values():
        same = named.get(endpoint.name)
        named[endpoint.name] = endpoint if same is None else same.with_those_of(endpoint)
    return list(named.values())


def _of(proxy: ProxyStats, endpoint: EndpointStats, **more: str) -> dict[str, str]:
    return {"proxy": proxy.name, "endpoint": endpoint.name, **more}
