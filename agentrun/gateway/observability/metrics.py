"""The counts of a gateway in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from agentrun.gateway.observability.stats import BOUNDS, EndpointStats, Histogram, ProxyStats, Stats

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Each fourth bound is shown: finer than anybody looks, and a quarter of the text.
_SHOWN = range(3, len(BOUNDS), 4)


def render(stats: Stats) -> str:
    """Everything that was counted."""
    proxies = list(stats)
    lines = [*_of_proxies(proxies), *_of_endpoints(proxies)]
    return "\n".join(lines) + "\n"


def _of_proxies(proxies: list[ProxyStats]) -> Iterator[str]:
    yield from _metric(
        "requests_total", "counter", "Calls that came.", ((_labels(proxy=p.name), p.requests) for p in proxies)
    )
    yield from _metric(
        "errors_total", "counter", "Calls answered with an error.", ((_labels(proxy=p.name), p.errors) for p in proxies)
    )
    yield from _metric(
        "in_flight", "gauge", "Calls under way.", ((_labels(proxy=p.name), p.in_flight) for p in proxies)
    )
    yield from _metric(
        "refused_total",
        "counter",
        "Calls refused by a policy.",
        ((_labels(proxy=p.name, reason=reason), n) for p in proxies for reason, n in p.refused.items()),
    )
    yield from _metric(
        "cache_total",
        "counter",
        "What the cache said.",
        ((_labels(proxy=p.name, result=result), n) for p in proxies for result, n in p.cache.items()),
    )


def _of_endpoints(proxies: list[ProxyStats]) -> Iterator[str]:
    each = [(proxy, endpoint) for proxy in proxies for endpoint in _by_name(proxy)]
    yield from _metric(
        "endpoint_requests_total",
        "counter",
        "Calls that an endpoint answered.",
        ((_of(p, e), e.requests) for p, e in each),
    )
    yield from _metric(
        "endpoint_errors_total",
        "counter",
        "Attempts that failed.",
        ((_of(p, e, reason=reason), n) for p, e in each for reason, n in e.errors.items()),
    )
    yield from _metric("endpoint_in_flight", "gauge", "Calls under way.", ((_of(p, e), e.in_flight) for p, e in each))
    yield from _metric(
        "tokens_total",
        "counter",
        "Tokens used.",
        ((_of(p, e, type=kind), n) for p, e in each for kind, n in e.tokens.to_json().items()),
    )
    yield from _metric(
        "cost_total",
        "counter",
        "Money spent.",
        ((_of(p, e, currency=p.currency), e.cost) for p, e in each if e.cost),
    )
    yield from _histogram(
        "request_duration_seconds", "From asking an endpoint to the end of its answer.", each, "latency"
    )
    yield from _histogram(
        "time_to_first_token_seconds", "From asking an endpoint to its first byte.", each, "first_token"
    )


def _by_name(proxy: ProxyStats) -> list[EndpointStats]:
    """The counts of endpoints, those of one name together: a series may be told only once."""
    named: dict[str, EndpointStats] = {}
    for endpoint in proxy.endpoints.values():
        same = named.get(endpoint.name)
        named[endpoint.name] = endpoint if same is None else same.with_those_of(endpoint)
    return list(named.values())


def _metric(name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> Iterator[str]:
    name = f"agentrun_gateway_{name}"
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{labels} {value}"


def _histogram(name: str, text: str, each: list[tuple[ProxyStats, EndpointStats]], attribute: str) -> Iterator[str]:
    name = f"agentrun_gateway_{name}"
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} histogram"
    for proxy, endpoint in each:
        found: Histogram = getattr(endpoint, attribute)
        sums = list(accumulate(found.counts))
        for number in _SHOWN:
            yield f"{name}_bucket{_of(proxy, endpoint, le=f'{BOUNDS[number]:.6g}')} {sums[number]}"
        yield f"{name}_bucket{_of(proxy, endpoint, le='+Inf')} {sums[-1]}"
        yield f"{name}_sum{_of(proxy, endpoint)} {found.sum:.9g}"
        yield f"{name}_count{_of(proxy, endpoint)} {sums[-1]}"


def _of(proxy: ProxyStats, endpoint: EndpointStats, **more: str) -> str:
    return _labels(proxy=proxy.name, endpoint=endpoint.name, **more)


def _labels(**values: str) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items()) + "}"


_ESCAPES: Mapping[int, str] = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n"}


def _escaped(value: str) -> str:
    return value.translate(_ESCAPES)
