"""Keys of services: given, kept by the platform as a Credential, or in the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agentrun._core.credentials import Secret
from agentrun._core.outbound import disabled
from agentrun.credential import Credential
from agentrun.errors import ConfigError, CredentialError

if TYPE_CHECKING:
    from agentrun.config import Config


class Key:
    """The key of a service, looked up when it is first used and never shown.

    In this order: `given`; the secret of the Credential named `credential_name`; the environment `variable`.
    """

    def __init__(
        self,
        what: str,
        variable: str,
        given: str | None = None,
        credential_name: str | None = None,
        config: Config | None = None,
    ) -> None:
        self._what = what
        self._variable = variable
        self._credential_name = credential_name
        self._config = config
        self._found = Secret(given) if given else None

    def __repr__(self) -> str:
        return f"Key({self._what!r})"

    async def get(self) -> str:
        """The key; raises ConfigError, which says what to set.

        Raises CredentialError for a Credential that is disabled or empty, ResourceNotExistError for an unknown one.
        """
        if self._found is None:
            self._found = await self._look_up()
        return self._found

    async def _look_up(self) -> Secret:
        if self._credential_name:
            return Secret(await self._of_credential(self._credential_name))
        found = os.environ.get(self._variable)
        if not found:
            raise ConfigError(
                f"no key for {self._what}",
                hint=f"Set {self._variable}, give the key, or name a Credential that holds it by credential_name=...",
            )
        return Secret(found)

    async def _of_credential(self, name: str) -> str:
        credential = await Credential.get_by_name_async(name, self._config)
        if credential.enabled is False:
            raise disabled(name)
        if not credential.credential_secret:
            raise CredentialError(name, "it holds no secret", hint=f"It has to hold the key for {self._what}")
        return credential.credential_secret
