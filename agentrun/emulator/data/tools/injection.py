"""Where in a request to a tool's server its credential goes; what it is comes from the platform's credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentrun._core.outbound import AUTHORIZATION, BASIC, HEADER, Outgoing, Place, Proof
from agentrun.emulator.backends.injection.placeholders import Unavailable
from agentrun.emulator.control.credential_parts import filled
from agentrun.emulator.outbound import OutboundCredentials
from agentrun.emulator.store import Record
from agentrun.emulator.usage import user
from agentrun.emulator.wire.envelope import ServiceError, conflict, unsupported
from agentrun.errors import CredentialError

_BEARER = Place(HEADER, AUTHORIZATION)


def place_of(scheme: Mapping[str, Any]) -> Place | None:
    """Where a security scheme of OpenAPI wants a key, None where there is no scheme. Raises ServiceError (501)."""
    kind, name = scheme.get("type"), str(scheme.get("name") or "")
    how = str(scheme.get("scheme", "")).lower() if kind == "http" else ""
    if not scheme:
        return None
    if kind == "apiKey" and name:
        return Place(str(scheme.get("in")), name)
    if how == "basic":
        return Place(BASIC, AUTHORIZATION)
    if how == "bearer" or kind in ("oauth2", "openIdConnect"):
        return _BEARER
    raise unsupported(
        "the emulator knows the security schemes apiKey, http with basic or bearer, oauth2 and openIdConnect, "
        f"not {kind} {how}".rstrip()
    )


@dataclass(frozen=True)
class Showing:
    """What the requests of one tool show to its server: headers, which may refer to credentials, and its credential.

    It is looked up for each request, so that what becomes of a credential counts at once.
    """

    tool: Record
    credentials: OutboundCredentials = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    place: Place | None = None

    @property
    def credential(self) -> str | None:
        """The name of the tool's credential."""
        return self.tool.document.get("credentialName")

    def needs_whole(self) -> bool:
        """Whether a request has to be there as a whole, to be signed or sent again. Raises ServiceError (409)."""
        if not self.credential:
            return False
        try:
            return self.credentials.current(self.tool.scope, self.credential).needs_whole_request
        except CredentialError as error:
            raise self._refusal(error) from None

    async def proof(self, request: Outgoing) -> Proof:
        """What a request carries. Raises ServiceError (409): a credential is gone, disabled or cannot be shown."""
        headers = self._headers()
        if not self.credential:
            return Proof(headers)
        try:
            shown = await self.credentials.proof(self.tool.scope, self.credential, user(self.tool), request, self.place)
        except CredentialError as error:
            raise self._refusal(error) from None
        own = {name.lower() for name in shown.headers}
        kept = {name: value for name, value in headers.items() if name.lower() not in own}
        return Proof({**kept, **shown.headers}, shown.query, shown.cookies)

    async def again(self, request: Outgoing, shown: Proof) -> Proof | None:
        """What to show instead of what was refused by a 401; None when there is nothing else to show."""
        if not self.credential:
            return None
        try:
            return await self.credentials.again(self.tool.scope, self.credential, request, shown, self.place)
        except CredentialError as error:
            raise self._refusal(error) from None

    def _headers(self) -> Mapping[str, str]:
        try:
            headers, used = filled(self.credentials, self.tool.scope, self.headers)
        except Unavailable as error:
            raise self._refusal(error) from None
        for name in used:
            self.credentials.note(self.tool.scope, name, user(self.tool))
        return headers

    def _refusal(self, error: Exception) -> ServiceError:
        noun = "tool set" if self.tool.kind == "Toolset" else "tool"
        return conflict(f"{noun} {self.tool.name}: {error}")
