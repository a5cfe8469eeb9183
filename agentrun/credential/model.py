"""What travels about credentials."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import Field

from agentrun._core.model import Model, PageableInput


class CredentialAuthType(str, Enum):
    """How a credential proves who calls."""

    JWT = "jwt"
    API_KEY = "api_key"
    BASIC = "basic"
    AKSK = "ak_sk"
    CUSTOM_HEADER = "custom_header"


class CredentialSourceType(str, Enum):
    """What a credential is for: a model provider, a tool, or callers of our own runtimes."""

    LLM = "external_llm"
    TOOL = "external_tool"
    INTERNAL = "internal"


class CredentialBasicAuth(Model):
    """One user of a basic-auth credential."""

    username: str | None
    password: str | None = Field(repr=False)


class RelatedResource(Model):
    """A resource that uses a credential."""

    resource_id: str | None = None
    resource_name: str | None = None
    resource_type: str | None = None


class CredentialConfigInner(Model):
    """The kind of a credential, its public part and its secret."""

    credential_auth_type: CredentialAuthType | None = None
    credential_source_type: CredentialSourceType | None = None
    credential_public_config: dict[str, Any] | None = Field(default=None, repr=False)
    credential_secret: str | None = Field(default=None, repr=False)


def _config(
    auth: CredentialAuthType, source: CredentialSourceType, public: dict[str, Any], secret: str
) -> dict[str, Any]:
    return {
        "credential_auth_type": auth,
        "credential_source_type": source,
        "credential_public_config": public,
        "credential_secret": secret,
    }


class CredentialConfig(CredentialConfigInner):
    """A credential's kind and content; made by one of the class methods.

    `inbound_*` guard our own runtimes against callers, `outbound_*` are what we show to others.
    """

    @classmethod
    def inbound_api_key(cls, api_key: str, header_key: str = "Authorization") -> CredentialConfig:
        """Callers must send this key in this header."""
        return cls(
            **_config(CredentialAuthType.API_KEY, CredentialSourceType.INTERNAL, {"headerKey": header_key}, api_key)
        )

    @classmethod
    def inbound_static_jwt(cls, jwks: str) -> CredentialConfig:
        """Callers must send a token signed by a key of this JSON Web Key Set."""
        return cls(
            **_config(CredentialAuthType.JWT, CredentialSourceType.INTERNAL, {"authType": "static", "jwks": jwks}, "")
        )

    @classmethod
    def inbound_remote_jwt(cls, uri: str, timeout: int = 3000, ttl: int = 30000, **kwargs: Any) -> CredentialConfig:
        """Callers must send a token signed by a key found at `uri`; `timeout` and `ttl` are milliseconds."""
        remote = {"uri": uri, "timeout": timeout, "ttl": ttl, **kwargs}
        return cls(
            **_config(
                CredentialAuthType.JWT,
                CredentialSourceType.INTERNAL,
                {"authType": "remote", "remoteConfig": remote},
                "",
            )
        )

    @classmethod
    def inbound_basic(cls, users: list[CredentialBasicAuth]) -> CredentialConfig:
        """Callers must be one of these users."""
        public = {"users": [user.to_wire() for user in users]}
        return cls(**_config(CredentialAuthType.BASIC, CredentialSourceType.INTERNAL, public, ""))

    @classmethod
    def outbound_llm_api_key(cls, api_key: str, provider: str) -> CredentialConfig:
        """The API key of a model provider."""
        return cls(**_config(CredentialAuthType.API_KEY, CredentialSourceType.LLM, {"provider": provider}, api_key))

    @classmethod
    def outbound_tool_api_key(cls, api_key: str) -> CredentialConfig:
        """The API key of a tool."""
        return cls(**_config(CredentialAuthType.API_KEY, CredentialSourceType.TOOL, {}, api_key))

    @classmethod
    def outbound_tool_ak_sk(
        cls, provider: str, access_key_id: str, access_key_secret: str, account_id: str
    ) -> CredentialConfig:
        """The access key of a cloud provider."""
        public = {"provider": provider, "authConfig": {"accessKey": access_key_id, "accountId": account_id}}
        return cls(**_config(CredentialAuthType.AKSK, CredentialSourceType.TOOL, public, access_key_secret))

    @classmethod
    def outbound_tool_ak_sk_custom(cls, auth_config: Mapping[str, str]) -> CredentialConfig:
        """An access key whose parts the tool names itself."""
        public = {"provider": "custom", "authConfig": dict(auth_config)}
        return cls(**_config(CredentialAuthType.AKSK, CredentialSourceType.TOOL, public, ""))

    @classmethod
    def outbound_tool_custom_header(cls, headers: Mapping[str, str]) -> CredentialConfig:
        """Headers that a tool wants."""
        public = {"authConfig": dict(headers)}
        return cls(**_config(CredentialAuthType.CUSTOM_HEADER, CredentialSourceType.TOOL, public, ""))

    def for_hosts(self, *hosts: str) -> CredentialConfig:
        """The same for these hosts alone: `api.example.com`, `*.example.com`, `host:8443`, `http://host`.

        Code in sandboxes can use such a credential without seeing it. Extension of the local platform.
        """
        public = {**(self.credential_public_config or {}), "allowedHosts": list(hosts)}
        return self.model_copy(update={"credential_public_config": public})


class CredentialMutableProps(Model):
    """What an update may change."""

    description: str | None = None
    enabled: bool | None = None


class CredentialImmutableProps(Model):
    """What stays as it was created."""

    credential_name: str | None = None
    workspace_id: str | None = None


class CredentialSystemProps(CredentialConfigInner):
    """What the service adds."""

    credential_id: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    related_resources: list[RelatedResource] | None = None


def _flattened(fields: dict[str, Any]) -> dict[str, Any]:
    """The wire has the config's fields beside the others."""
    config = fields.pop("credentialConfig", {})
    return {**fields, **config}


class CredentialCreateInput(CredentialImmutableProps, CredentialMutableProps):
    """A credential to create."""

    credential_config: CredentialConfig

    def to_wire(self) -> dict[str, Any]:
        """What travels."""
        return _flattened(super().to_wire())


class CredentialUpdateInput(CredentialMutableProps):
    """What to change of a credential; what is None stays."""

    credential_config: CredentialConfig | None = None

    def to_wire(self) -> dict[str, Any]:
        """What travels; an update cannot change the kind, so it is left out."""
        kind = ("credentialAuthType", "credentialSourceType")
        return {name: value for name, value in _flattened(super().to_wire()).items() if name not in kind}


class CredentialListInput(PageableInput):
    """Which credentials to list."""

    credential_auth_type: CredentialAuthType | None = None
    credential_name: str | None = None
    credential_source_type: CredentialSourceType | None = None
    provider: str | None = None
    workspace_id: str | None = None
