"""How a held credential is shown in requests of the user's own: what it is now is asked once a second at most."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agentrun._core.api import timeouts
from agentrun._core.authorizer import Authorizer
from agentrun._core.outbound import Outbound
from agentrun._core.session import Request
from agentrun.config import Config
from agentrun.credential.control import CredentialControlAPI
from agentrun.credential.model import CredentialConfig, CredentialUpdateInput

# For so long a credential that was disabled or changed elsewhere may still be shown.
FRESH_SECONDS = 1.0


class Shown:
    """The content of a credential on the platform, its tokens, and how both are kept."""

    def __init__(self, name: str, config: Config | None) -> None:
        self._name = name
        self._config = config
        self._document: dict[str, Any] = {}
        self._read_at: float | None = None
        self.authorizer = Authorizer(self.read, self._post, rotated=self._keep)

    async def read(self) -> Outbound:
        """The credential, asked for anew when the last look is too old."""
        if self._read_at is None or time.monotonic() - self._read_at > FRESH_SECONDS:
            began = time.monotonic()
            self._document = await CredentialControlAPI(self._config).get_credential_async(self._name)
            self._read_at = began
        return Outbound.of(self._document)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        settings = Config.with_configs(self._config)
        reply = await settings.session.send(Request("POST", url, dict(headers), body, timeouts(settings)))
        return reply.status, reply.content

    async def _keep(self, refresh_token: str) -> None:
        """Let the platform have the refresh token that takes the place of the one it knows."""
        public = self._document["credentialPublicConfig"]
        parts = {**public["authConfig"], "refreshToken": refresh_token}
        changed = CredentialConfig(credential_public_config={**public, "authConfig": parts})
        api = CredentialControlAPI(self._config)
        self._document = await api.update_credential_async(self._name, CredentialUpdateInput(credential_config=changed))


class KeptShown:
    """What a credential object has to show itself, for the Config last used; copies begin without."""

    def __init__(self) -> None:
        self._kept: tuple[Config | None, Shown] | None = None

    def of(self, name: str, config: Config | None) -> Shown:
        """The one for a Config, made anew for another: what one account may read is not for another's call."""
        if self._kept is None or self._kept[0] != config:
            self._kept = (config, Shown(name, config))
        return self._kept[1]

    def forget(self) -> None:
        """Begin anew: the content was just changed."""
        self._kept = None

    def __reduce__(self) -> tuple[Any, ...]:
        return KeptShown, ()
