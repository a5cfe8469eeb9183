"""What a gateway does for one proxy: where its calls can go, and by which policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from urllib.parse import SplitResult, quote, urlsplit

from agentrun._serving.upstream import Headers, Host
from agentrun.model.policies import (
    GatewayPolicies,
    ProxyConfig,
    ProxyConfigEndpoint,
    ProxyConfigFallback,
    ProxyConfigPolicies,
)

# For endpoints that are only a URL: servers that need no key often want some key all the same.
_NO_KEY = "none"


class PlanError(ValueError):
    """A proxy cannot be served as it is written down; the text names the field."""


@dataclass(frozen=True)
class Target:
    """An endpoint that answers models: where it is, with which key, and what it calls them.

    `key` tells it apart from every other one, also of other proxies. Without `models` it answers every model.
    """

    name: str
    key: str
    host: Host
    base_path: str
    headers: Headers = field(default=(), repr=False)
    models: tuple[str, ...] = ()
    mapping: Mapping[str, str] = field(default_factory=dict[str, str])
    weight: int = 1
    concurrency_limit: int | None = None

    def serves(self, model: str) -> bool:
        """Whether callers may ask it for this model."""
        return not self.models or model in self.models or model in self.mapping

    def name_of(self, model: str) -> str:
        """What the endpoint calls a model; its first one where the name is only the proxy's."""
        if model in self.mapping:
            return self.mapping[model]
        if self.serves(model):
            return model
        return self.models[0]


@dataclass(frozen=True)
class Fallback:
    """Where a call goes when all endpoints of its model have failed, and the model that is asked there."""

    target: Target
    model: str


@dataclass(frozen=True)
class Plan:
    """One proxy, with everything that it refers to put in; `key` tells it apart from every other.

    `helpers` are the services that its policies ask, by their names.
    """

    name: str
    key: str
    targets: tuple[Target, ...]
    fallbacks: tuple[Fallback, ...] = ()
    multi: bool = False
    policies: ProxyConfigPolicies = field(default_factory=ProxyConfigPolicies)
    helpers: Mapping[str, Target] = field(default_factory=dict[str, Target])

    @cached_property
    def gateway(self) -> GatewayPolicies:
        """The policies beyond the contract's."""
        return self.policies.gateway or GatewayPolicies()

    @cached_property
    def models(self) -> list[str]:
        """The models that callers may name, in the order of the endpoints."""
        named = [name for target in self.targets for name in (*target.models, *target.mapping)]
        return list(dict.fromkeys(named)) or [self.name]


@dataclass(frozen=True)
class Service:
    """A model service that proxies name: a provider's URL, its key there, and the models it has.

    `proof` are headers that the provider is shown in place of a key.
    """

    name: str
    key: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    models: tuple[str, ...] = ()
    proof: Mapping[str, str] | None = field(default=None, repr=False)


def build_plan(name: str, key: str, config: ProxyConfig, *, multi: bool, service: Callable[[str], Service]) -> Plan:
    """The plan of a proxy; `service` finds the services that it names, and raises PlanError for others."""
    targets = [
        _endpoint(endpoint, f"{key}/{number}", service) for number, endpoint in enumerate(config.endpoints or ())
    ]
    if not targets:
        raise PlanError(f"proxy {name} has no endpoints")
    policies = config.policies or ProxyConfigPolicies()
    fallbacks = [
        _fallback(fallback, f"{key}/fallback/{number}", targets, service)
        for number, fallback in enumerate(policies.fallbacks or ())
    ]
    helpers = {each: _target_of(service(each), f"{key}/helper/{each}") for each in _helpers(policies)}
    return Plan(name, key, tuple(targets), tuple(fallbacks), multi, policies, helpers)


def service_plan(service: Service) -> Plan:
    """The plan of a model service that is called by its own name."""
    return Plan(service.name, service.key, (_target_of(service, service.key),))


def _target_of(service: Service, key: str) -> Target:
    return target(service.name, key, service.base_url, service.api_key, service.models, proof=service.proof)


def _helpers(policies: ProxyConfigPolicies) -> Iterator[str]:
    """The services that policies ask."""
    more = policies.gateway or GatewayPolicies()
    if policies.cache and more.cache.semantic:
        yield more.cache.semantic.model_service_name
    for check in more.content_checks:
        if check.model_service_name:
            yield check.model_service_name


def _endpoint(endpoint: ProxyConfigEndpoint, key: str, service: Callable[[str], Service]) -> Target:
    if endpoint.model_service_name:
        found = service(endpoint.model_service_name)
    elif endpoint.base_url:
        found = Service(_split(endpoint.base_url).netloc.rpartition("@")[2], "", endpoint.base_url, _NO_KEY)
    else:
        raise PlanError("an endpoint needs model_service_name or base_url")
    return target(
        found.name,
        key,
        found.base_url,
        found.api_key,
        tuple(endpoint.model_names or found.models),
        endpoint.model_mapping,
        endpoint.weight,
        endpoint.concurrency_limit,
        proof=found.proof,
    )


def _fallback(
    fallback: ProxyConfigFallback, key: str, targets: Sequence[Target], service: Callable[[str], Service]
) -> Fallback:
    if fallback.model_service_name:
        there = _target_of(service(fallback.model_service_name), key)
    else:
        model = fallback.model_name or ""
        there = next((each for each in targets if each.serves(model)), targets[0])
        there = replace(there, key=key)
    model = fallback.model_name or next(iter(there.models), "")
    if not model:
        raise PlanError(f"fallbacks: {there.name} names no model; give model_name")
    return Fallback(there, there.name_of(model) if there.serves(model) else model)


def target(
    name: str,
    key: str,
    base_url: str,
    api_key: str | None,
    models: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    weight: int | None = None,
    concurrency_limit: int | None = None,
    *,
    proof: Mapping[str, str] | None = None,
) -> Target:
    """An endpoint by its base URL and API key, or headers to show; raises PlanError when the URL is none of HTTP."""
    url = _split(base_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise PlanError(f"base_url {base_url!r} is not an http:// or https:// URL")
    if api_key and not api_key.isprintable():
        raise PlanError(f"the API key of {name} has a line break or the like in it")
    tls = url.scheme == "https"
    headers = [(b"host", url.netloc.rpartition("@")[2].encode())]
    if api_key:
        headers.append((b"authorization", b"Bearer " + api_key.encode()))
    headers += [(name.lower().encode(), value.encode()) for name, value in (proof or {}).items()]
    host = Host(url.hostname, url.port or (443 if tls else 80), tls)
    return Target(
        name,
        key,
        host,
        quote(url.path.rstrip("/"), safe="/%:@!$&'()*+,;=~"),
        tuple(headers),
        tuple(models),
        mapping or {},
        1 if weight is None else weight,
        concurrency_limit,
    )


def _split(base_url: str) -> SplitResult:
    try:
        url = urlsplit(base_url)
        _ = url.port  # It is read only now, and may be none.
    except ValueError as error:
        raise PlanError(f"base_url {base_url!r} is not a URL: {error}") from error
    return url
