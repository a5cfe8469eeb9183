"""What a gateway does for one proxy: where its calls can go, and by which policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from agentrun._serving.upstream import Headers, Host
from agentrun.model.policies import GatewayPolicies, ProxyConfigPolicies


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
    """One proxy, with everything that it refers to put in; `key` tells it apart from every other."""

    name: str
    key: str
    targets: tuple[Target, ...]
    fallbacks: tuple[Fallback, ...] = ()
    multi: bool = False
    policies: ProxyConfigPolicies = field(default_factory=ProxyConfigPolicies)

    @cached_property
    def gateway(self) -> GatewayPolicies:
        """The policies beyond the contract's."""
        return self.policies.gateway or GatewayPolicies()

    @property
    def models(self) -> list[str]:
        """The models that callers may name, in the order of the endpoints."""
        named = [name for target in self.targets for name in (*target.models, *target.mapping)]
        return list(dict.fromkeys(named)) or [self.name]


def target(
    name: str,
    key: str,
    base_url: str,
    api_key: str | None,
    models: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    weight: int | None = None,
    concurrency_limit: int | None = None,
) -> Target:
    """An endpoint by its base URL and API key; raises PlanError when the URL is none of HTTP."""
    url = urlsplit(base_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise PlanError(f"base_url {base_url!r} is not an http:// or https:// URL")
    tls = url.scheme == "https"
    headers = [(b"host", url.netloc.rpartition("@")[2].encode())]
    if api_key:
        headers.append((b"authorization", b"Bearer " + api_key.encode()))
    host = Host(url.hostname, url.port or (443 if tls else 80), tls)
    return Target(
        name,
        key,
        host,
        url.path.rstrip("/"),
        tuple(headers),
        tuple(models),
        mapping or {},
        1 if weight is None else weight,
        concurrency_limit,
    )
