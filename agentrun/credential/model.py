"""What travels about credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from pydantic import Field

from agentrun._core.model import Model, PageableInput
from agentrun._core.oauth2 import Grant
from agentrun._core.outbound import OAUTH2
from agentrun.errors import InvalidInputError

# Where the contract has no field, what is an extension travels in `authConfig`, which takes any names.
PREVIOUS_VALID_SECONDS = "previousValidSeconds"
_KIND = ("credentialAuthType", "credentialSourceType")


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


class CredentialUser(Model):
    """A resource that has used a credential; `calls` counts the requests, `last_used_at` is the time of the last."""

    resource_id: str | None = None
    resource_name: str | None = None
    resource_type: str | None = None
    last_used_at: str | None = None
    calls: int = 0


class CredentialUsage(Model):
    """Who has used a credential, the last one first; `last_used_at` is None when nobody has."""

    last_used_at: str | None = None
    users: list[CredentialUser] = Field(default_factory=list[CredentialUser])


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


def _claims(audience: str | None, issuer: str | None) -> dict[str, Any]:
    """What tokens have to claim, in the one place of the contract that takes any names."""
    given = {"audience": audience, "issuer": issuer}
    parts = {name: value for name, value in given.items() if value}
    return {"authConfig": parts} if parts else {}


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
    def inbound_static_jwt(
        cls, jwks: str, *, audience: str | None = None, issuer: str | None = None
    ) -> CredentialConfig:
        """Callers must send a token signed by a key of this JSON Web Key Set.

        `audience` and `issuer`, which tokens must name then, are an extension of the local platform.
        """
        public = {"authType": "static", "jwks": jwks, **_claims(audience, issuer)}
        return cls(**_config(CredentialAuthType.JWT, CredentialSourceType.INTERNAL, public, ""))

    @classmethod
    def inbound_remote_jwt(
        cls,
        uri: str,
        timeout: int = 3000,
        ttl: int = 30000,
        *,
        audience: str | None = None,
        issuer: str | None = None,
        **kwargs: Any,
    ) -> CredentialConfig:
        """Callers must send a token signed by a key found at `uri`; `timeout` and `ttl` are milliseconds.

        `audience` and `issuer`, which tokens must name then, are an extension of the local platform.
        """
        remote = {"uri": uri, "timeout": timeout, "ttl": ttl, **kwargs}
        public = {"authType": "remote", "remoteConfig": remote, **_claims(audience, issuer)}
        return cls(**_config(CredentialAuthType.JWT, CredentialSourceType.INTERNAL, public, ""))

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
    def outbound_tool_api_key(
        cls,
        api_key: str,
        header_key: str | None = None,
        prefix: str | None = None,
        *,
        query_key: str | None = None,
        cookie_key: str | None = None,
    ) -> CredentialConfig:
        """The API key of a tool: in the header `header_key`, Authorization unless given, after `prefix`.

        `prefix` comes right before the key: `"Bearer "` for Authorization and nothing elsewhere, unless given.
        `query_key` or `cookie_key`, which put it there instead, are an extension of the local platform.
        """
        places = {"header": header_key, "query": query_key, "cookie": cookie_key}
        given = [where for where, name in places.items() if name]
        if len(given) > 1:
            raise InvalidInputError(
                "a key goes to one place", field=f"{given[1]}_key", hint=f"Leave out {given[1]}_key"
            )
        public = {"headerKey": header_key, "prefix": prefix}
        found = {name: value for name, value in public.items() if value is not None}
        elsewhere = [{"in": where, "name": places[where]} for where in given if where != "header"]
        config = {**found, **({"authConfig": elsewhere[0]} if elsewhere else {})}
        return cls(**_config(CredentialAuthType.API_KEY, CredentialSourceType.TOOL, config, api_key))

    @classmethod
    def outbound_tool_basic(cls, username: str, password: str) -> CredentialConfig:
        """The user as whom a tool is called."""
        public = {"users": [{"username": username, "password": password}]}
        return cls(**_config(CredentialAuthType.BASIC, CredentialSourceType.TOOL, public, ""))

    @classmethod
    def outbound_tool_jwt(cls, token: str) -> CredentialConfig:
        """The token that a tool wants as a bearer's."""
        return cls(**_config(CredentialAuthType.JWT, CredentialSourceType.TOOL, {"authType": "static"}, token))

    @classmethod
    def outbound_oauth2_client_credentials(
        cls,
        token_url: str,
        client_id: str,
        client_secret: str,
        scopes: Sequence[str] = (),
        *,
        audience: str | None = None,
        client_auth: str = "basic",
    ) -> CredentialConfig:
        """Tokens that the client asks for in its own name; an extension of the local platform.

        `client_auth` is how the client proves itself: `basic`, or `body` for servers that want its secret there.
        """
        parts = {"grantType": "client_credentials", "tokenUrl": token_url, "clientId": client_id}
        return cls._oauth2(parts, client_secret, scopes, audience, client_auth)

    @classmethod
    def outbound_oauth2_refresh_token(
        cls,
        token_url: str,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        scopes: Sequence[str] = (),
        *,
        audience: str | None = None,
        client_auth: str = "basic",
    ) -> CredentialConfig:
        """Tokens of a user who has allowed it, by a refresh token; an extension of the local platform.

        The refresh token that the server gives in its place is kept by the platform. `client_secret` is empty for a
        public client.
        """
        parts = {
            "grantType": "refresh_token",
            "tokenUrl": token_url,
            "clientId": client_id,
            "refreshToken": refresh_token,
        }
        return cls._oauth2(parts, client_secret, scopes, audience, client_auth)

    @classmethod
    def _oauth2(
        cls, parts: dict[str, str], secret: str, scopes: Sequence[str], audience: str | None, client_auth: str
    ) -> CredentialConfig:
        if isinstance(scopes, str):
            raise InvalidInputError("scopes is a list of texts", field="scopes", hint=f"Give [{scopes!r}]")
        more = {"scope": " ".join(scopes), "audience": audience or "", "clientAuth": client_auth}
        auth = {**parts, **{name: value for name, value in more.items() if value}}
        public = {"authType": OAUTH2, "authConfig": auth}
        config = cls(**_config(CredentialAuthType.JWT, CredentialSourceType.TOOL, public, secret))
        if problem := Grant.of_parts("", auth, secret).problem():
            raise InvalidInputError(problem)
        return config

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
        if not hosts:
            raise InvalidInputError("name at least one host", hint="Disable a credential that may be used nowhere")
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
    """What to change of a credential; what is None stays.

    `previous_valid_seconds`, an extension of the local platform, lets callers show what an inbound credential asked
    for until now for so long yet; without it the new secret alone counts at once.
    """

    credential_config: CredentialConfig | None = None
    previous_valid_seconds: int | None = Field(default=None, ge=1)

    def to_wire(self) -> dict[str, Any]:
        """What travels; an update cannot change the kind, so it is left out."""
        sent = _flattened(super().to_wire())
        grace = sent.pop("previousValidSeconds", None)
        if grace is not None:
            public: dict[str, Any] = sent.get("credentialPublicConfig") or {}
            parts: dict[str, Any] = {**(public.get("authConfig") or {}), PREVIOUS_VALID_SECONDS: str(grace)}
            sent["credentialPublicConfig"] = {**public, "authConfig": parts}
        return {name: value for name, value in sent.items() if name not in _KIND}


class CredentialListInput(PageableInput):
    """Which credentials to list."""

    credential_auth_type: CredentialAuthType | None = None
    credential_name: str | None = None
    credential_source_type: CredentialSourceType | None = None
    provider: str | None = None
    workspace_id: str | None = None
