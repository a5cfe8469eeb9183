"""Access tokens: what a caller shows on the data plane instead of a signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun.emulator.auth import Tokens
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.wire.envelope import invalid

_TYPES = ("runtime", "litellm", "tool", "template", "sandbox", "knowledgebase")


class AccessTokens:
    """The operation on access tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def handlers(self) -> Mapping[str, Handler]:
        """The operation by its action."""
        return {"GetAccessToken": self.get}

    async def get(self, call: Call) -> dict[str, Any]:
        """A token for the caller's account, good for an hour; send it as `Authorization: Bearer`."""
        kind = call.query.get("resourceType", "")
        if kind not in _TYPES:
            raise invalid(f"resourceType must be one of {', '.join(_TYPES)}, not {kind or 'empty'}")
        if not (call.query.get("resourceName") or call.query.get("resourceId")):
            raise invalid("resourceName or resourceId is required")
        return {"accessToken": self._tokens.mint("at", call.tenant.access_key_id)}
