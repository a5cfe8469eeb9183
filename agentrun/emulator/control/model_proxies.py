"""Model proxies: which models stand behind a name, and what is done with calls on their way there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentrun._core.values import is_list, is_object, section
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.control.credentials import Credentials
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record, Scope, field_in, field_is, matches
from agentrun.emulator.wire.envelope import invalid, unsupported
from agentrun.errors import AgentRunError

if TYPE_CHECKING:
    from agentrun.model.policies import ProxyConfig

KIND = Kind("ModelProxy", "model proxy", "ModelProxy", "modelProxyId", "modelProxyName", "mp", by_name=True)
MODES = ("single", "multi")
# What a guardrail promises that no pattern can find: a model that moderates has to look.
_NEEDS_MODERATION = ("blockOnContentModeration", "blockOnMaliciousUrl", "blockOnModelHallucination")
_MODERATION = (
    "is not possible without a model that moderates: give policies.gateway.contentChecks one with a modelServiceName"
)


class ModelProxies:
    """The operations on model proxies; without `strict` unknown names in a configuration are let through."""

    def __init__(self, resources: Resources, services: Resources, credentials: Credentials, *, strict: bool) -> None:
        self._resources = resources
        self._services = services
        self._credentials = credentials
        self._strict = strict
        self.public_url = ""

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {
            "CreateModelProxy": self.create,
            "GetModelProxy": self.get,
            "UpdateModelProxy": self.update,
            "DeleteModelProxy": self.delete,
            "ListModelProxies": self.list,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Add a model proxy."""
        body = call.body
        if body["proxyMode"] not in MODES:
            raise invalid(f"proxyMode must be one of {', '.join(MODES)}, not {body['proxyMode']}")
        self._check(call.scope, body)
        return self._answered(self._resources.create(call.tenant, body["modelProxyName"], body))

    async def get(self, call: Call) -> dict[str, Any]:
        """One model proxy."""
        return self._answered(self._resources.get(call.scope, call.label))

    async def update(self, call: Call) -> dict[str, Any]:
        """Change what is given; of the configuration, endpoints and policies each as a whole."""
        record = self._resources.get(call.scope, call.label)
        changes = dict(call.body)
        if "proxyConfig" in changes:
            changes["proxyConfig"] = {**record.document["proxyConfig"], **changes["proxyConfig"]}
        self._check(call.scope, {**record.document, **changes})
        return self._answered(self._resources.update(record, changes))

    async def delete(self, call: Call) -> dict[str, Any]:
        """Remove a model proxy."""
        return self._answered(self._resources.delete(self._resources.get(call.scope, call.label)))

    async def list(self, call: Call) -> dict[str, Any]:
        """One page of model proxies."""
        query = call.query
        filters = [
            *field_is("proxyMode", query.get("proxyMode")),
            *matches("status", query.get("status")),
            *field_is("workspaceId", query.get("workspaceId")),
            *field_in("workspaceId", query.get("workspaceIds")),
        ]
        page = self._resources.page(call.scope, query, filters)
        return {**page, "items": [self._with_address(item) for item in page["items"]]}

    def _answered(self, record: Record) -> dict[str, Any]:
        return self._with_address(self._resources.shown(record))

    def _with_address(self, shown: dict[str, Any]) -> dict[str, Any]:
        # Not stored, because the emulator's port may be another one next time.
        proxy_id = shown["modelProxyId"]
        return {**shown, "endpoint": f"{self.public_url}/models/{proxy_id}", "functionName": f"model-proxy-{proxy_id}"}

    # What a proxy must be

    def _check(self, scope: Scope, document: Mapping[str, Any]) -> None:
        self._credentials.require(scope, document.get("credentialName"))
        config = section(document, "proxyConfig")
        read_config(config, strict=self._strict)
        for path, name in _named_services(config, "proxyConfig"):
            if self._services.find_by_name(scope, name) is None:
                raise invalid(f"{path}: there is no model service {name}; create it first")
        _check_endpoints(config.get("endpoints") or ())
        self._check_fallbacks(scope, config)
        _check_guardrails(section(config, "policies"))

    def _check_fallbacks(self, scope: Scope, config: Mapping[str, Any]) -> None:
        endpoints: Sequence[Mapping[str, Any]] = config.get("endpoints") or ()
        for index, fallback in enumerate(section(config, "policies").get("fallbacks") or ()):
            path = f"proxyConfig.policies.fallbacks[{index}]"
            model, service = fallback.get("modelName"), fallback.get("modelServiceName")
            if not (model or service):
                raise invalid(f"{path} needs a modelName, a modelServiceName or both")
            known = {name for each in ([fallback] if service else endpoints) for name in self._models(scope, each)}
            if model and known and model not in known:
                where = f"model service {service}" if service else "the proxy"
                raise invalid(f"{path}: {where} has no model {model}; it has {', '.join(sorted(known))}")

    def _models(self, scope: Scope, endpoint: Mapping[str, Any]) -> Sequence[str]:
        """The models that an endpoint or a service names; none means that nobody knows them."""
        named: Sequence[str] = endpoint.get("modelNames") or ()
        service = self._services.find_by_name(scope, endpoint.get("modelServiceName") or "")
        return named or (service and section(service.document, "providerSettings").get("modelNames")) or ()


def read_config(config: Mapping[str, Any], *, strict: bool) -> ProxyConfig:
    """A configuration as it travels, as the model that the gateway works by; raises ServiceError (400)."""
    from agentrun.model.policies import ProxyConfig  # pydantic loads with the first proxy, not with the emulator

    try:
        return ProxyConfig.from_wire_strictly(config) if strict else ProxyConfig.from_wire(config)
    except AgentRunError as error:
        raise invalid(f"proxyConfig: {error}") from error


def uses_service(name: str) -> list[tuple[str, tuple[Any, ...]]]:
    """The filter for proxies that name a model service, wherever in their configuration."""
    condition = (
        "status != 'DELETING' AND EXISTS ("
        "SELECT 1 FROM json_tree(document, '$.proxyConfig') AS part "
        "WHERE part.key = 'modelServiceName' AND part.value = ?)"
    )
    return [(condition, (name,))]


def _named_services(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every model service that a configuration names, with the place where it does."""
    if is_object(value):
        for name, part in value.items():
            if name == "modelServiceName" and isinstance(part, str):
                yield f"{path}.{name}", part
            else:
                yield from _named_services(part, f"{path}.{name}")
    elif is_list(value):
        for index, part in enumerate(value):
            yield from _named_services(part, f"{path}[{index}]")


def _check_endpoints(endpoints: Sequence[Mapping[str, Any]]) -> None:
    if not endpoints:
        raise invalid("proxyConfig.endpoints needs at least one endpoint")
    for index, endpoint in enumerate(endpoints):
        if bool(endpoint.get("modelServiceName")) == bool(endpoint.get("baseUrl")):
            raise invalid(f"proxyConfig.endpoints[{index}] needs either a modelServiceName or a baseUrl")


def _check_guardrails(policies: Mapping[str, Any]) -> None:
    checks = section(policies, "gateway").get("contentChecks") or ()
    if any(check.get("modelServiceName") for check in checks):
        return
    for name in _NEEDS_MODERATION:
        if section(policies, "aiGuardrailConfig").get(name):
            raise unsupported(f"proxyConfig.policies.aiGuardrailConfig.{name} {_MODERATION}")
