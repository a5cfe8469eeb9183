"""What the gateway is to do, out of what the platform has stored: proxies, services and their credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from agentrun._core.outbound import Outgoing, proof
from agentrun._core.values import section
from agentrun._serving.openai_error import ApiError
from agentrun.emulator.control.model_proxies import read_config
from agentrun.emulator.inbound.checks import Until, key_check
from agentrun.emulator.outbound import OutboundCredentials
from agentrun.emulator.resources import Resources
from agentrun.emulator.store import Record, Scope
from agentrun.emulator.usage import User, user
from agentrun.errors import CredentialError
from agentrun.gateway.plan import Plan, PlanError, Service, Target, build_plan, service_plan

T = TypeVar("T")
_MOST_KEPT = 10_000


@dataclass(frozen=True)
class Guard:
    """The credential that callers of a proxy show: the header it is in, and the keys that count."""

    id: str
    name: str
    kind: str
    header: str
    keys: Sequence[Until] = field(repr=False)
    enabled: bool = True


@dataclass(frozen=True)
class Served:
    """A proxy or service as the gateway serves it, and who may call it without a signature."""

    scope: Scope
    plan: Plan
    guard: Guard | None = None
    user: User | None = None


class Plans:
    """Plans are kept until anything that they were made of changes."""

    def __init__(
        self, proxies: Resources, services: Resources, credentials: Resources, outbound: OutboundCredentials
    ) -> None:
        self._proxies = proxies
        self._services = services
        self._credentials = credentials
        self._outbound = outbound
        # By the names of services, and by the keys of the targets that they became: whose credential is shown.
        self._shown: dict[tuple[Scope, str], tuple[str, User]] = {}
        self._shown_at: dict[str, tuple[Scope, str, User]] = {}
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
            self._shown.clear()
            self._shown_at.clear()
            self._as_of = now
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = make()
            self._note_shown(found)
        return found

    def note_use(self, target: Target) -> None:
        """A target is asked: whose credential it is shown has been used."""
        if shown := self._shown_at.get(target.key):
            self._outbound.note(*shown)

    def _note_shown(self, served: Served) -> None:
        plan = served.plan
        for each in (*plan.targets, *(fallback.target for fallback in plan.fallbacks), *plan.helpers.values()):
            if shown := self._shown.get((served.scope, each.name)):
                self._shown_at[each.key] = (served.scope, *shown)

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
        guard = self._guard(scope, credential) if credential else None
        return Served(scope, plan, guard, user(record))

    def _found_service(self, scope: Scope, name: str) -> Served:
        return Served(scope, _planned(lambda: service_plan(self._service(scope, name))))

    def _service(self, scope: Scope, name: str) -> Service:
        record = self._services.find_by_name(scope, name)
        if record is None:
            raise PlanError(f"model service {name} does not exist")
        settings = section(record.document, "providerSettings")
        if not settings.get("baseUrl"):
            raise PlanError(f"model service {name} has no URL: set providerSettings.baseUrl")
        key = settings.get("apiKey")
        shown = None if key else self._proof(scope, record)
        return Service(name, record.id, settings["baseUrl"], key, tuple(settings.get("modelNames") or ()), shown)

    def _proof(self, scope: Scope, service: Record) -> Mapping[str, str] | None:
        """The headers that a service's provider is shown, None when the service names no credential."""
        name = service.document.get("credentialName")
        if not name:
            return None
        try:
            credential = self._outbound.current(scope, name)
            shown = proof(credential, Outgoing("POST", ""))
        except CredentialError as error:
            raise PlanError(f"model service {service.name}: {error}") from error
        if shown.query or credential.needs_whole_request:
            raise PlanError(
                f"model service {service.name}: the credential {name} depends on the request; name one that is shown "
                "in headers, such as an API key"
            )
        self._shown[scope, service.name] = name, user(service)
        return shown.all_headers()

    def _credential(self, scope: Scope, name: str) -> Record:
        record = self._credentials.find_by_name(scope, name)
        if record is None:
            raise PlanError(f"credential {name!r} cannot be used: it does not exist")
        return record

    def _guard(self, scope: Scope, name: str) -> Guard:
        record = self._credential(scope, name)
        document = record.document
        header = str(section(document, "credentialPublicConfig").get("headerKey") or "")
        enabled = document.get("enabled") is not False
        kind = document.get("credentialAuthType") or ""
        return Guard(record.id, name, kind, header, key_check(document).keys, enabled)


def _planned(make: Callable[[], T]) -> T:
    try:
        return make()
    except PlanError as error:
        raise ApiError(409, str(error), "not_ready") from error
