"""Access tokens: what a caller shows on the data plane instead of a signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun.emulator.auth import Authenticator
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.resources import Resources
from agentrun.emulator.wire.envelope import invalid

_TYPES = ("runtime", "litellm", "tool", "template", "sandbox", "knowledgebase")


class AccessTokens:
    """The operation on access tokens."""

    def __init__(self, auth: Authenticator, runtimes: Resources) -> None:
        self._auth = auth
        self._runtimes = runtimes

    def handlers(self) -> Mapping[str, Handler]:
        """The operation by its action."""
        return {"GetAccessToken": self.get}

    async def get(self, call: Call) -> dict[str, Any]:
        """A token that opens one resource for an hour; it is sent as `Authorization: Bearer`."""
        kind = call.query.get("resourceType", "")
        if kind not in _TYPES:
            raise invalid(f"resourceType must be one of {', '.join(_TYPES)}, not {kind or 'empty'}")
        name, id = call.query.get("resourceName"), call.query.get("resourceId")
        if not (name or id):
            raise invalid("resourceName or resourceId is required")
        if id and not name and kind == "runtime":
            name = self._runtimes.get(call.scope, id).name  # Runtimes are called by their name.
        return {"accessToken": self._auth.access_token(call.tenant, kind, name or id or "")}
