"""Credentials for code that must not have them: which ones, under which variables, at which hosts."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentrun.emulator.backends.injection.hosts import AllowedHost, read_hosts
from agentrun.emulator.backends.injection.placeholders import (
    LONGEST_PREFIX,
    PLACES,
    PREFIX,
    PREFIX_SIGNS,
    Injection,
    Placeholder,
    Refused,
    Unavailable,
    Usable,
    make_text,
)
from agentrun.emulator.clock import Clock, iso
from agentrun.emulator.control.credential_parts import ALLOWED_HOSTS, SECRET, filled, find_usable, known_part
from agentrun.emulator.outbound import OutboundCredentials
from agentrun.emulator.references import REFERENCE, STAND_IN, VALUE
from agentrun.emulator.store import Scope
from agentrun.emulator.usage import User
from agentrun.emulator.wire.envelope import invalid

MOST_REMEMBERED = 4096
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Owner:
    """Whose placeholders and secrets: how it is called where they are spoken of, and as whom it uses credentials."""

    called: str
    user: User


@dataclass(frozen=True)
class CredentialRequest:
    """A credential that code may use: parts by the variables that show them, empty names for the only part.

    Without `hosts` those of the credential hold, and `environment` is made of its name.
    """

    name: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    hosts: tuple[AllowedHost, ...] = ()
    prefix: str = PREFIX
    places: tuple[str, ...] = PLACES


def read_credential(given: Mapping[str, Any]) -> CredentialRequest:
    """A credential of a request whose fields have been checked; raises ServiceError (400)."""
    name, prefix = given["credentialName"], given.get("placeholderPrefix")
    path = f"credentials of {name}"
    places = tuple(given.get("places") or PLACES)
    if unknown := [place for place in places if place not in PLACES]:
        raise invalid(f"{path}: places are {', '.join(PLACES)}, not {unknown[0]}")
    if prefix is not None and not PREFIX_SIGNS.fullmatch(prefix):
        raise invalid(f"{path}: placeholderPrefix has at most {LONGEST_PREFIX} letters, digits and any of _.-")
    variables: Mapping[str, str] = given.get("environment") or {}
    if wrong := [variable for variable in variables if not _VARIABLE.fullmatch(variable)]:
        raise invalid(f"{path}: {wrong[0][:80]!r} is no name of an environment variable")
    try:
        hosts = read_hosts(given.get("hosts") or ())
    except ValueError as error:
        raise invalid(f"{path}: {error}") from None
    return CredentialRequest(name, variables, hosts, PREFIX if prefix is None else prefix, places)


class Injections:
    """Makes the placeholders of sandboxes and agents, and remembers what became of them.

    `on_refusal` hears whose placeholder was refused, and why.
    """

    def __init__(
        self,
        credentials: OutboundCredentials,
        clock: Clock,
        on_refusal: Callable[[Scope, str, Refused], None] | None = None,
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._on_refusal = on_refusal
        self._made: OrderedDict[tuple[Scope, str], Injection] = OrderedDict()

    def prepare(
        self, scope: Scope, owner: Owner, wanted: Iterable[CredentialRequest], environment: Mapping[str, str]
    ) -> tuple[Injection | None, dict[str, str]]:
        """The placeholders of one owner, and the environment with those that it refers to.

        Raises ServiceError (400): there is no such credential or part, no hosts, or hosts that it does not allow.
        """
        found: dict[tuple[str, str], Placeholder] = {}
        for request in _checked(wanted):
            for placeholder in self._placeholders(scope, request, environment):
                found[placeholder.credential, placeholder.part] = placeholder
        _check_variables(found.values())
        inside = self._with_references(scope, environment, found)
        if not found:
            return None, inside
        injection = Injection(
            owner.called,
            found.values(),
            lambda name: find_usable(self._credentials, scope, name),
            lambda refused: self._tell(scope, owner.called, refused),
            lambda name: self._credentials.note(scope, name, owner.user),
            self._clock.now,
        )
        self._remember(scope, owner.called, injection)
        return injection, inside

    def report(self, scope: Scope, owner: str) -> dict[str, Any]:
        """Which credentials an owner has, how they were used and what was refused; never a value."""
        injection = self._made.get((scope, owner))
        if injection is None:
            return {"credentials": [], "refusals": []}
        uses = injection.uses
        shown = shown_credentials(injection)
        for one in shown:
            use = uses[one["credentialName"]]
            one["uses"] = use.count
            if use.last is not None:
                one["lastUsedAt"] = iso(use.last)
        return {"credentials": shown, "refusals": [_shown_refusal(refused) for refused in injection.refusals]}

    def _tell(self, scope: Scope, owner: str, refused: Refused) -> None:
        if self._on_refusal:
            self._on_refusal(scope, owner, refused)

    def _remember(self, scope: Scope, owner: str, injection: Injection) -> None:
        self._made[scope, owner] = injection
        if len(self._made) > MOST_REMEMBERED:
            self._made.popitem(last=False)

    def _usable(self, scope: Scope, name: str) -> Usable:
        try:
            now = find_usable(self._credentials, scope, name)
        except Unavailable as error:
            raise invalid(str(error)) from None
        if not now.hosts:
            raise invalid(
                f"the credential {name} names no hosts, so it could go anywhere: give its credentialPublicConfig the "
                f'list {ALLOWED_HOSTS}, such as ["api.example.com"]'
            )
        return now

    def _placeholders(
        self, scope: Scope, request: CredentialRequest, environment: Mapping[str, str]
    ) -> list[Placeholder]:
        now = self._usable(scope, request.name)
        for host in request.hosts:
            if not any(allowed.covers(host) for allowed in now.hosts):
                allowed = ", ".join(map(str, now.hosts))
                raise invalid(f"the credential {request.name} does not allow {host}: it allows {allowed}")
        by_part: dict[str, list[str]] = {}
        for variable, part in self._variables(request, now, environment).items():
            by_part.setdefault(_known_part(request.name, part, now), []).append(variable)
        hosts = request.hosts or now.hosts
        return [
            Placeholder(make_text(request.prefix), request.name, part, tuple(variables), hosts, request.places)
            for part, variables in by_part.items()
        ]

    def _variables(self, request: CredentialRequest, now: Usable, environment: Mapping[str, str]) -> Mapping[str, str]:
        if request.environment:
            return request.environment
        # Whoever refers to it in the environment has said under which names it is wanted.
        texts = " ".join(environment.values())
        referred = any(found[2] == request.name for found in REFERENCE.finditer(texts))
        return {} if referred else _default_variables(request.name, now)

    def _with_references(
        self, scope: Scope, environment: Mapping[str, str], found: dict[tuple[str, str], Placeholder]
    ) -> dict[str, str]:
        """The environment with placeholders where it refers to credentials; those that are new are added to `found`."""

        def stand_in(match: re.Match[str]) -> str:
            kind, name, part = match.groups()
            if kind == VALUE:
                raise invalid(
                    f"environmentVariables: {match[0]} would put the secret itself into a sandbox: "
                    f"write ${{{STAND_IN}:{name}}}, which is put in on the way out"
                )
            return self._stand_in(scope, name, part or "", found)

        return {name: REFERENCE.sub(stand_in, value) for name, value in environment.items()}

    def _stand_in(self, scope: Scope, name: str, part: str, found: dict[tuple[str, str], Placeholder]) -> str:
        now = self._usable(scope, name)
        key = name, _known_part(name, part, now)
        if key not in found:
            found[key] = Placeholder(make_text(), *key, (), now.hosts)
        return found[key].text

    def guards(self, scope: Scope, name: str) -> bool:
        """Whether a credential is one that callers show to us, so that code inside has no use for it."""
        return self._credentials.guards(scope, name)

    # Code of the user's own, which may have the secrets themselves

    def inside(
        self, scope: Scope, owner: Owner, environment: Mapping[str, str]
    ) -> tuple[Injection | None, dict[str, str]]:
        """The environment with secrets and placeholders where it says so; raises ServiceError (400)."""
        return self.prepare(scope, owner, (), self._filled(scope, environment)[0])

    def note_values(self, scope: Scope, owner: Owner, environment: Mapping[str, str]) -> None:
        """A process has started with the secrets that its environment asks for."""
        for name in self._filled(scope, environment)[1]:
            self._credentials.note(scope, name, owner.user)

    def _filled(self, scope: Scope, environment: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
        try:
            return filled(self._credentials, scope, environment)
        except Unavailable as error:
            raise invalid(f"environmentVariables: {error}") from None


def _checked(wanted: Iterable[CredentialRequest]) -> list[CredentialRequest]:
    requests = list(wanted)
    names = [request.name for request in requests]
    if twice := [name for name in names if names.count(name) > 1]:
        raise invalid(f"the credential {twice[0]} is named twice: name it once, with all of its variables")
    return requests


def _check_variables(placeholders: Iterable[Placeholder]) -> None:
    taken: dict[str, str] = {}
    for placeholder in placeholders:
        for variable in placeholder.variables:
            if variable in taken:
                raise invalid(
                    f"{variable} would hold both the credential {taken[variable]} and {placeholder.credential}: "
                    "give each an environment of its own"
                )
            taken[variable] = placeholder.credential


def shown_credentials(injection: Injection) -> list[dict[str, Any]]:
    """Names, variables and hosts, as a sandbox shows them."""
    shown: dict[str, dict[str, Any]] = {}
    for placeholder in injection.placeholders:
        hosts = list(map(str, placeholder.hosts))
        one = shown.setdefault(
            placeholder.credential,
            {
                "credentialName": placeholder.credential,
                "environment": {},
                "hosts": hosts,
                "places": list(placeholder.places),
            },
        )
        one["environment"].update(dict.fromkeys(placeholder.variables, placeholder.part))
    return list(shown.values())


def _shown_refusal(refused: Refused) -> dict[str, Any]:
    return {
        "time": iso(refused.time),
        "credentialName": refused.credential,
        "origin": refused.origin,
        "reason": refused.reason,
    }


def _known_part(name: str, part: str, now: Usable) -> str:
    try:
        return known_part(name, part, now.parts)
    except Unavailable as error:
        raise invalid(str(error)) from None


def _default_variables(name: str, now: Usable) -> dict[str, str]:
    """`openai-key` becomes OPENAI_KEY, and the password of `db` DB_PASSWORD."""
    parts = {part: "" if part == SECRET or len(now.parts) == 1 else f"_{part}" for part in now.parts}
    return {re.sub(r"[^A-Z0-9_]", "_", f"{name}{ending}".upper()): part for part, ending in parts.items()}
