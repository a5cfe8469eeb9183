"""Credentials for those who do not want to hold the object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrun._core.api import API
from agentrun._core.blocking import run
from agentrun._core.model import build
from agentrun.config import Config
from agentrun.credential.control import CredentialControlAPI
from agentrun.credential.credential import Credential, CredentialListOutput
from agentrun.credential.model import CredentialCreateInput, CredentialListInput, CredentialUpdateInput


class CredentialClient(API):
    """The operations on credentials, with a Config given once."""

    async def create_async(
        self, input: CredentialCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Credential:
        """Create a credential; raises ResourceAlreadyExistError when the name is taken."""
        return await Credential.create_async(input, self._config(config), **fields)

    def create(
        self, input: CredentialCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Credential:
        """Create a credential; raises ResourceAlreadyExistError when the name is taken."""
        return run(self.create_async(input, config, **fields))

    async def delete_async(self, credential_name: str, config: Config | None = None) -> Credential:
        """Delete a credential; returns what it was."""
        return await Credential.delete_by_name_async(credential_name, self._config(config))

    def delete(self, credential_name: str, config: Config | None = None) -> Credential:
        """Delete a credential; returns what it was."""
        return run(self.delete_async(credential_name, config))

    async def update_async(
        self,
        credential_name: str,
        input: CredentialUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Credential:
        """Change a credential; what is not given stays."""
        return await Credential.update_by_name_async(credential_name, input, self._config(config), **fields)

    def update(
        self,
        credential_name: str,
        input: CredentialUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Credential:
        """Change a credential; what is not given stays."""
        return run(self.update_async(credential_name, input, config, **fields))

    async def get_async(self, credential_name: str, config: Config | None = None) -> Credential:
        """Read a credential with its secret."""
        return await Credential.get_by_name_async(credential_name, self._config(config))

    def get(self, credential_name: str, config: Config | None = None) -> Credential:
        """Read a credential with its secret."""
        return run(self.get_async(credential_name, config))

    async def list_async(
        self, input: CredentialListInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[CredentialListOutput]:
        """One page of credentials, without their secrets."""
        wanted = build(CredentialListInput, input, fields)
        settings = self._config(config)
        page = await CredentialControlAPI(settings).list_credentials_async(wanted)
        return [CredentialListOutput.of(item, settings) for item in page.get("items") or ()]

    def list(
        self, input: CredentialListInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[CredentialListOutput]:
        """One page of credentials, without their secrets."""
        return run(self.list_async(input, config, **fields))
