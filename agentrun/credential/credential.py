"""A secret that the platform keeps: shown to others on our behalf, or asked of our own callers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, PrivateAttr

from agentrun._core.blocking import run
from agentrun._core.credential_auth import CredentialAuth
from agentrun._core.model import Model, build
from agentrun._core.outbound import Outgoing
from agentrun._core.paging import AsyncLazyList, LazyList, numbered
from agentrun._core.resource import Resource
from agentrun.config import Config
from agentrun.credential.control import CredentialControlAPI
from agentrun.credential.extensions import USAGE, require_local
from agentrun.credential.model import (
    CredentialAuthType,
    CredentialCreateInput,
    CredentialImmutableProps,
    CredentialListInput,
    CredentialMutableProps,
    CredentialSourceType,
    CredentialSystemProps,
    CredentialUpdateInput,
    CredentialUsage,
)
from agentrun.credential.showing import KeptShown, Shown
from agentrun.errors import CredentialError

if TYPE_CHECKING:
    from typing_extensions import Self


class CredentialListOutput(Model):
    """A credential as a list shows it: everything but its content."""

    created_at: str | None = None
    credential_auth_type: str | None = None
    credential_id: str | None = None
    credential_name: str | None = None
    credential_source_type: str | None = None
    description: str | None = None
    enabled: bool | None = None
    related_resource_count: int | None = None
    updated_at: str | None = None
    workspace_id: str | None = None
    _config: Config | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, data: Any, config: Config | None) -> CredentialListOutput:
        """The item out of the service's answer, with the Config that later calls use."""
        item = cls.from_wire(data)
        item._config = config
        return item

    async def to_credential_async(self, config: Config | None = None) -> Credential:
        """The credential itself, with its secret."""
        return await Credential.get_by_name_async(self.credential_name or "", config or self._config)

    def to_credential(self, config: Config | None = None) -> Credential:
        """The credential itself, with its secret."""
        return run(self.to_credential_async(config))


class Credential(CredentialMutableProps, CredentialImmutableProps, CredentialSystemProps, Resource):
    """A credential of the platform; its secret is in `credential_secret` and never in its repr."""

    kind = "Credential"
    _kept: KeptShown = PrivateAttr(default_factory=KeptShown)

    @property
    def label(self) -> str:
        """The credential's name."""
        return self.credential_name or ""

    @classmethod
    async def create_async(
        cls, input: CredentialCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Credential:
        """Create a credential from an input object or from its fields as keywords.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        wanted = build(CredentialCreateInput, input, fields)
        require_local(wanted, config)
        return cls.of(await CredentialControlAPI(config).create_credential_async(wanted), config)

    @classmethod
    def create(
        cls, input: CredentialCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Credential:
        """Create a credential from an input object or from its fields as keywords.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        return run(cls.create_async(input, config, **fields))

    @classmethod
    async def get_by_name_async(cls, credential_name: str, config: Config | None = None) -> Credential:
        """Read a credential with its secret; raises ResourceNotExistError."""
        return cls.of(await CredentialControlAPI(config).get_credential_async(credential_name), config)

    @classmethod
    def get_by_name(cls, credential_name: str, config: Config | None = None) -> Credential:
        """Read a credential with its secret; raises ResourceNotExistError."""
        return run(cls.get_by_name_async(credential_name, config))

    @classmethod
    async def update_by_name_async(
        cls,
        credential_name: str,
        input: CredentialUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Credential:
        """Change a credential; what is not given stays. Raises ResourceNotExistError."""
        wanted = build(CredentialUpdateInput, input, fields)
        require_local(wanted, config)
        return cls.of(await CredentialControlAPI(config).update_credential_async(credential_name, wanted), config)

    @classmethod
    def update_by_name(
        cls,
        credential_name: str,
        input: CredentialUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Credential:
        """Change a credential; what is not given stays. Raises ResourceNotExistError."""
        return run(cls.update_by_name_async(credential_name, input, config, **fields))

    @classmethod
    async def delete_by_name_async(cls, credential_name: str, config: Config | None = None) -> Credential:
        """Delete a credential; returns what it was. Raises ResourceNotExistError."""
        return cls.of(await CredentialControlAPI(config).delete_credential_async(credential_name), config)

    @classmethod
    def delete_by_name(cls, credential_name: str, config: Config | None = None) -> Credential:
        """Delete a credential; returns what it was. Raises ResourceNotExistError."""
        return run(cls.delete_by_name_async(credential_name, config))

    @classmethod
    def list_all_async(
        cls,
        *,
        credential_auth_type: CredentialAuthType | None = None,
        credential_name: str | None = None,
        credential_source_type: CredentialSourceType | None = None,
        provider: str | None = None,
        config: Config | None = None,
    ) -> AsyncLazyList[CredentialListOutput]:
        """All credentials that match, without their secrets; pages are read as they are looked at."""
        filters = CredentialListInput(
            credential_auth_type=credential_auth_type,
            credential_name=credential_name,
            credential_source_type=credential_source_type,
            provider=provider,
        )
        return AsyncLazyList(cls._pages(filters, config))

    @classmethod
    def list_all(
        cls,
        *,
        credential_auth_type: CredentialAuthType | None = None,
        credential_name: str | None = None,
        credential_source_type: CredentialSourceType | None = None,
        provider: str | None = None,
        config: Config | None = None,
    ) -> LazyList[CredentialListOutput]:
        """All credentials that match, without their secrets; pages are read as they are looked at."""
        filters = CredentialListInput(
            credential_auth_type=credential_auth_type,
            credential_name=credential_name,
            credential_source_type=credential_source_type,
            provider=provider,
        )
        return LazyList(cls._pages(filters, config))

    @classmethod
    def _pages(cls, filters: CredentialListInput, config: Config | None) -> AsyncIterator[CredentialListOutput]:
        async def page(number: int, size: int) -> Sequence[CredentialListOutput]:
            asked = filters.model_copy(update={"page_number": number, "page_size": size})
            answer = await CredentialControlAPI(config).list_credentials_async(asked)
            return [CredentialListOutput.of(item, config) for item in answer.get("items") or ()]

        return numbered(page, lambda item: item.credential_id)

    async def update_async(
        self, input: CredentialUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Credential:
        """Change this credential; what is not given stays."""
        return self.update_self(await self.update_by_name_async(self.label, input, self._settings(config), **fields))

    def update(
        self, input: CredentialUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Credential:
        """Change this credential; what is not given stays."""
        return run(self.update_async(input, config, **fields))

    async def get_async(self, config: Config | None = None) -> Credential:
        """Read this credential again, with its secret."""
        return self.update_self(await self.get_by_name_async(self.label, self._settings(config)))

    def get(self, config: Config | None = None) -> Credential:
        """Read this credential again, with its secret."""
        return run(self.get_async(config))

    async def delete_async(self, config: Config | None = None) -> Credential:
        """Delete this credential."""
        return self.update_self(await self.delete_by_name_async(self.label, self._settings(config)))

    def delete(self, config: Config | None = None) -> Credential:
        """Delete this credential."""
        return run(self.delete_async(config))

    def update_self(self, other: BaseModel | None) -> Self:
        """Take over every field of another one; what was kept to be shown is read again."""
        self._kept.forget()
        return super().update_self(other)

    # Shown to others

    async def headers_async(
        self,
        method: str = "GET",
        url: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        config: Config | None = None,
    ) -> dict[str, str]:
        """The headers with which a request shows this outbound credential.

        Signatures of an access key need the whole request, other kinds nothing of it. Raises CredentialError when the
        credential is disabled, its token server refuses, or its key belongs into the query: there use `auth()`.
        """
        shown = await self._shown(config).authorizer.proof(Outgoing(method, url, headers or {}, body))
        if shown.query:
            raise CredentialError(self.label, "its key goes into the query", hint="Use auth() with an httpx client")
        return shown.all_headers()

    def headers(
        self,
        method: str = "GET",
        url: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        config: Config | None = None,
    ) -> dict[str, str]:
        """The headers with which a request shows this outbound credential.

        Signatures of an access key need the whole request, other kinds nothing of it. Raises CredentialError when the
        credential is disabled, its token server refuses, or its key belongs into the query: there use `auth()`.
        """
        return run(self.headers_async(method, url, headers, body, config))

    def auth(self, config: Config | None = None) -> CredentialAuth:
        """The `auth` of any client of httpx: `httpx.get(url, auth=credential.auth())`, also asynchronous ones.

        A token that the server refuses (401) is fetched anew, once for each request.
        """
        signs = self.credential_auth_type == CredentialAuthType.AKSK
        return CredentialAuth(self._shown(config).authorizer, reads_body=signs)

    def _shown(self, config: Config | None) -> Shown:
        return self._kept.of(self.label, self._settings(config))

    async def usage_async(self, config: Config | None = None) -> CredentialUsage:
        """Who has used this credential and when, an extension of the local platform; raises UnsupportedError."""
        found = await CredentialControlAPI(self._settings(config)).get_credential_async(self.label)
        if "usage" not in found:
            raise USAGE.unsupported()
        return CredentialUsage.from_wire(found["usage"])

    def usage(self, config: Config | None = None) -> CredentialUsage:
        """Who has used this credential and when, an extension of the local platform; raises UnsupportedError."""
        return run(self.usage_async(config))
