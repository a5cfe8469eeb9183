"""What model proxies of the local platform can do beyond those of the cloud."""

from __future__ import annotations

from agentrun._core.extensions import Extension
from agentrun.config import Config
from agentrun.model.policies import ProxyConfig

GATEWAY = Extension("policies.gateway", "Keep to the other policies, or serve the models with `agentrun gateway`")
ENDPOINT_LIMIT = Extension("endpoint.concurrency_limit", "Give the policies a concurrency_limit for the whole proxy")
MODEL_MAPPING = Extension("endpoint.model_mapping", "Call the models by the names that the endpoint knows")
STATS = Extension("model_proxy.stats", "Read the metrics of the cloud's monitoring")


def require_local(proxy_config: ProxyConfig | None, config: Config) -> None:
    """Raise UnsupportedError when a configuration uses extensions and the platform is not on this machine.

    The cloud might ignore what it does not know, and a limit that nobody keeps is worse than none.
    """
    for extension in _used(proxy_config or ProxyConfig()):
        extension.require(config.get_control_endpoint())


def _used(proxy_config: ProxyConfig) -> list[Extension]:
    endpoints = proxy_config.endpoints or ()
    used = {
        GATEWAY: proxy_config.policies is not None and proxy_config.policies.gateway is not None,
        ENDPOINT_LIMIT: any(endpoint.concurrency_limit is not None for endpoint in endpoints),
        MODEL_MAPPING: any(endpoint.model_mapping is not None for endpoint in endpoints),
    }
    return [extension for extension, is_used in used.items() if is_used]
