"""What the gateway is to do, out of what the platform has stored: proxies, services and their credentials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from agentrun._serving.openai_error import ApiError
from agentrun._serving.values import section
from agentrun.emulator.control.model_proxies import read_config
from agentrun.emulator.resources import Resources
from agentrun.emulator.store import Record, Scope
from agentrun.gateway.plan import Plan, PlanError, Service, build_plan, service_plan

T = TypeVar("T")
_MOST_KEPT = 10_000


@dataclass(frozen=True)
class Guard:
    """The credential that callers of a proxy show: the header it is in, and its secret."""

    name: str
    header: str
    secret: str = field(repr=False)
    enabled: bool = True


@dataclass(frozen=True)
class Served:
    """A proxy or service as the gateway serves it, and who may call it without a signature."""

    scope: Scope
    plan: Plan
    guard: Guard | None = None


class Plans:
    """Plans are kept until anything that they were made of changes."""

    def __init__(self, proxies: Resources, services: Resources, credentials: Resources) -> None:
        self._proxies = proxies
        self._services = services
        self._credentials = credentials
        self._kept: dict[tuple[object, ...], Served] = {}
        self._as_of = -1

    def proxy(self, scope: Scope, label: str) -> Served:
        """A proxy of an account by its name or its id. Raises ApiError (404, 409)."""
        return self._remembered(("proxy", scope, label), lambda: self._found_proxy(scope, label))

    def proxy_anywhere(self, proxy_id: str) -> Served | None:
        """A proxy by its id, whosever it is; None when there is none."""
        record = self._proxies.store.anywhere(self._proxies.kind.name, proxy_id)
        return None if record is None else self.proxy(record.scope, proxy_id)

    def service(self, scope: Scope, name: str) -> Served:
        """A model service of an account. Raises ApiError (404, 409)."""
        return self._remembered(("service", scope, name), lambda: self._found_service(scope, name))

    def _remembered(self, key: tuple[object, ...], make: Callable[[], Served]) -> Served:
        kinds = (self._proxies.kind.name, self._services.kind.name, self._credentials.kind.name)
        now = self._proxies.store.changes(*kinds)
        if now != self._as_of or len(self._kept) > _MOST_KEPT:
            self._kept.clear()
            self._as_of = now
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = make()
        return found

    def _found_proxy(self, scope: Scope, label: str) -> Served:
        record = self._proxies.find_by_name(scope, label) or self._proxies.find(scope, label)
        if record is None:
            raise ApiError(404, f"model proxy {label} does not exist", "not_found")
        document = record.document
        config = read_config(section(document, "proxyConfig"), strict=False)
        multi = document.get("proxyMode") == "multi"
        plan = _planned(
            lambda: build_plan(
                record.name, record.id, config, multi=multi, service=lambda name: self._service(scope, name)
            )
        )
        credential = document.get("credentialName")
        return Served(scope, plan, self._guard(scope, credential) if credential else None)

    def _found_service(self, scope: Scope, name: str) -> Served:
        return Served(scope, _planned(lambda: service_plan(self._service(scope, name))))

    def _service(self, scope: Scope, name: str) -> Service:
        record = self._services.find_by_name(scope, name)
        if record is None:
            raise PlanError(f"model service {name} does not exist")
        settings = section(record.document, "providerSettings")
        if not settings.get("baseUrl"):
            raise PlanError(f"model service {name} has no URL: set providerSettings.baseUrl")
        key = settings.get("apiKey") or self._secret(scope, record)
        return Service(name, record.id, settings["baseUrl"], key, tuple(settings.get("modelNames") or ()))

    def _secret(self, scope: Scope, service: Record) -> str | None:
        name = service.document.get("credentialName")
        if not name:
            return None
        credential = self._guard(scope, name)
        if not credential.enabled:
            raise PlanError(f"credential {name} of model service {service.name} is disabled")
        return credential.secret

    def _guard(self, scope: Scope, name: str) -> Guard:
        record = self._credentials.find_by_name(scope, name)
        if record is None:
            raise PlanError(f"credential {name} does not exist any more")
        document = record.document
        header = str(section(document, "credentialPublicConfig").get("headerKey") or "")
        return Guard(name, header, document.get("credentialSecret") or "", document.get("enabled", True) is not False)


def _planned(make: Callable[[], T]) -> T:
    try:
        return make()
    except PlanError as error:
        raise ApiError(409, str(error), "not_ready") from error
