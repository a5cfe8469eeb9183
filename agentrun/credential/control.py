"""The control operations on credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.api import ControlAPI, Operation
from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.credential.hosts import require_local
from agentrun.credential.model import CredentialCreateInput, CredentialListInput, CredentialUpdateInput

_COLLECTION = "/2025-09-10/agents/credentials"
_ITEM = f"{_COLLECTION}/{{credential_name}}"
CREATE = Operation("CreateCredential", "POST", _COLLECTION)
DELETE = Operation("DeleteCredential", "DELETE", _ITEM)
UPDATE = Operation("UpdateCredential", "PUT", _ITEM)
GET = Operation("GetCredential", "GET", _ITEM)
LIST = Operation("ListCredentials", "GET", _COLLECTION)


class CredentialControlAPI(ControlAPI):
    """One method per operation; each answers the envelope's data in the wire's names."""

    kind = "Credential"

    async def create_credential_async(
        self, input: CredentialCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a credential."""
        require_local(input.credential_config, self._config(config))
        return await self._call(CREATE, body=input, headers=headers, config=config, label=input.credential_name)

    def create_credential(
        self, input: CredentialCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a credential."""
        return run(self.create_credential_async(input, headers, config))

    async def delete_credential_async(
        self, credential_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a credential; answers what it was."""
        return await self._call(DELETE, credential_name, headers=headers, config=config)

    def delete_credential(
        self, credential_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a credential; answers what it was."""
        return run(self.delete_credential_async(credential_name, headers, config))

    async def update_credential_async(
        self,
        credential_name: str,
        input: CredentialUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a credential."""
        require_local(input.credential_config, self._config(config))
        return await self._call(UPDATE, credential_name, body=input, headers=headers, config=config)

    def update_credential(
        self,
        credential_name: str,
        input: CredentialUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a credential."""
        return run(self.update_credential_async(credential_name, input, headers, config))

    async def get_credential_async(
        self, credential_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a credential, with its secret."""
        return await self._call(GET, credential_name, headers=headers, config=config)

    def get_credential(
        self, credential_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a credential, with its secret."""
        return run(self.get_credential_async(credential_name, headers, config))

    async def list_credentials_async(
        self, input: CredentialListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of credentials, without their secrets."""
        return await self._call(LIST, query=input, headers=headers, config=config)

    def list_credentials(
        self, input: CredentialListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of credentials, without their secrets."""
        return run(self.list_credentials_async(input, headers, config))
