"""Outbound credentials in requests that the emulator itself sends: shown as they are at that moment, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from agentrun._core.authorizer import Authorizer
from agentrun._core.outbound import Outbound, Outgoing, Place, Proof
from agentrun._core.values import section
from agentrun.emulator.clock import Clock
from agentrun.emulator.fetching import Fetcher, FetchError
from agentrun.emulator.inbound.gate import INTERNAL
from agentrun.emulator.resources import Resources
from agentrun.emulator.store import Record, Scope
from agentrun.emulator.usage import Usage, User
from agentrun.errors import CredentialError

_MOST_KEPT = 1000


class OutboundCredentials:
    """Gives requests the proof of a credential that a resource names; raises CredentialError."""

    def __init__(self, credentials: Resources, fetcher: Fetcher, usage: Usage, clock: Clock) -> None:
        self._credentials = credentials
        self._fetcher = fetcher
        self._usage = usage
        self._clock = clock
        self._kept: dict[tuple[Scope, str], Authorizer] = {}

    def current(self, scope: Scope, name: str) -> Outbound:
        """A credential as it is now, for who shows it in its own way; it is gone or disabled: CredentialError."""
        found = Outbound.of(self._record(scope, name).document)
        found.check_enabled()
        return found

    def guards(self, scope: Scope, name: str) -> bool:
        """Whether a credential is one that callers show to us, and nothing for others."""
        record = self._credentials.find_by_name(scope, name)
        return record is not None and record.document.get("credentialSourceType") == INTERNAL

    def note(self, scope: Scope, name: str, user: User) -> None:
        """`user` has used a credential in a request just now."""
        if record := self._credentials.store.get_by_name(scope, self._credentials.kind.name, name):
            self._usage.note(scope, record.id, user)

    async def proof(self, scope: Scope, name: str, user: User, request: Outgoing, place: Place | None = None) -> Proof:
        """What a request of `user` has to carry; `place` says where a key goes, as a security scheme does."""
        found = await self._authorizer(scope, name).proof(request, place)
        self.note(scope, name, user)
        return found

    async def again(
        self, scope: Scope, name: str, request: Outgoing, shown: Proof, place: Place | None = None
    ) -> Proof | None:
        """What to show instead of what was refused by a 401; None when there is nothing else to show."""
        return await self._authorizer(scope, name).again(request, shown, place)

    def _authorizer(self, scope: Scope, name: str) -> Authorizer:
        if len(self._kept) > _MOST_KEPT:
            self._kept.clear()
        key = (scope, name)
        if key not in self._kept:
            self._kept[key] = Authorizer(
                partial(self._read, scope, name),
                partial(self._post, name),
                rotated=partial(self._keep, scope, name),
                clock=self._clock.now,
            )
        return self._kept[key]

    def _record(self, scope: Scope, name: str) -> Record:
        record = self._credentials.find_by_name(scope, name)
        if record is None:
            raise CredentialError(name, "it does not exist", hint="Create it, or name another one")
        return record

    async def _read(self, scope: Scope, name: str) -> Outbound:
        return Outbound.of(self._record(scope, name).document)

    async def _post(self, name: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        try:
            return await self._fetcher.post(url, headers, body)
        except FetchError as error:
            raise CredentialError(name, f"its token server cannot be asked: {error}") from error

    async def _keep(self, scope: Scope, name: str, refresh_token: str) -> None:
        """Keep the refresh token that takes the place of the one that was shown."""
        record = self._record(scope, name)
        public = section(record.document, "credentialPublicConfig")
        parts = {**section(public, "authConfig"), "refreshToken": refresh_token}
        self._credentials.save(record.with_document(credentialPublicConfig={**public, "authConfig": parts}))
