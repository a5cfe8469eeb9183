"""Lets callers in by the credential that a resource names, as it is at that moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrun.emulator.clock import Clock
from agentrun.emulator.fetching import Fetcher
from agentrun.emulator.inbound.checks import Check, key_check, user_check
from agentrun.emulator.inbound.key_sets import KeySets
from agentrun.emulator.resources import Resources
from agentrun.emulator.store import Scope
from agentrun.emulator.usage import Usage, User
from agentrun.emulator.wire.envelope import forbidden

# The kinds that a caller can show; an access key signs, and has its own way in.
KINDS = ("api_key", "basic", "jwt")
INTERNAL = "internal"
_MOST_KEPT = 10_000


@dataclass(frozen=True)
class Guard:
    """A credential that callers have to show; `check` is None for a kind that nobody can show."""

    id: str
    name: str
    enabled: bool
    check: Check | None


class Gate:
    """Finds guards and asks them; what was found is kept until any credential changes."""

    def __init__(self, credentials: Resources, clock: Clock, fetcher: Fetcher, usage: Usage) -> None:
        self._credentials = credentials
        self._clock = clock
        self._usage = usage
        self._sets = KeySets(fetcher, clock)
        self._kept: dict[tuple[Scope, str], Guard | None] = {}
        self._as_of = -1

    def guard(self, scope: Scope, credential: str) -> Guard | None:
        """The guard that a credential is; None for one that is shown to others."""
        now = self._credentials.store.changes(self._credentials.kind.name)
        if now != self._as_of or len(self._kept) > _MOST_KEPT:
            self._kept.clear()
            self._as_of = now
        key = (scope, credential)
        if key not in self._kept:
            self._kept[key] = self._found(scope, credential)
        return self._kept[key]

    def now(self) -> float:
        """The time by which keys and tokens count."""
        return self._clock.now()

    def note(self, scope: Scope, credential_id: str, user: User) -> None:
        """A resource was called by who has shown its credential."""
        self._usage.note(scope, credential_id, user)

    async def admit_by(self, scope: Scope, credential: str, headers: Mapping[str, str], user: User) -> None:
        """Return when a request shows the credential of that name; raises ServiceError (401, 403, 503)."""
        guard = self.guard(scope, credential) or Guard("", credential, enabled=True, check=None)
        await self.admit(scope, guard, headers, user)

    async def admit(self, scope: Scope, guard: Guard, headers: Mapping[str, str], user: User) -> None:
        """Return when a request shows the credential; raises ServiceError (401, 403, 503)."""
        if not guard.enabled:
            raise forbidden(
                "ERR_CREDENTIAL_DISABLED", f"the credential {guard.name} of {user.name} is disabled: nobody is let in"
            )
        if guard.check is None:
            raise forbidden(
                "ERR_CREDENTIAL_UNUSABLE",
                f"{user.name} names the credential {guard.name}, which is gone or of a kind that no caller can show; "
                f"name one of the kinds {', '.join(KINDS)}",
            )
        await guard.check.check(headers, self.now())
        self.note(scope, guard.id, user)

    def _found(self, scope: Scope, name: str) -> Guard | None:
        record = self._credentials.find_by_name(scope, name)
        if record is None:
            return Guard("", name, enabled=True, check=None)
        document = record.document
        if document.get("credentialSourceType") != INTERNAL:
            return None
        return Guard(record.id, name, document.get("enabled") is not False, self._check(document))

    def _check(self, document: Mapping[str, Any]) -> Check | None:
        kind = document.get("credentialAuthType")
        if kind == "api_key":
            return key_check(document)
        if kind == "basic":
            return user_check(document)
        if kind == "jwt":
            # Its library is slow to import, and few runs check tokens.
            from agentrun.emulator.inbound.token_check import token_check

            return token_check(document, self._sets)
        return None
