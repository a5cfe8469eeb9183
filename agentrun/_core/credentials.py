"""Whose access key signs a request: given explicitly, lent to the current request, in the environment, or found.

The last step is the provider chain of `alibabacloud-credentials` (profiles, RAM roles, OIDC, URI). It is imported
only when nothing else gave a key, because it may read files and ask a metadata server.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from agentrun.errors import ConfigError

ACCESS_KEY_ID_VARIABLES = ("AGENTRUN_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID")
ACCESS_KEY_SECRET_VARIABLES = ("AGENTRUN_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")
SECURITY_TOKEN_VARIABLES = ("AGENTRUN_SECURITY_TOKEN", "ALIBABA_CLOUD_SECURITY_TOKEN")


class Secret(str):
    """Text that works as any other and hides in a repr: of itself, and of everything that holds it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@dataclass(frozen=True)
class Credentials:
    """An access key, with the token that a temporary one needs; only the id shows in its repr."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StsCredential:
    """A temporary access key as it arrives with a request; parts may be missing."""

    access_key_id: str | None = None
    access_key_secret: str | None = field(default=None, repr=False)
    security_token: str | None = field(default=None, repr=False)

    def is_complete(self) -> bool:
        """Whether all three parts are there."""
        return bool(self.access_key_id and self.access_key_secret and self.security_token)


_request_sts: ContextVar[StsCredential | None] = ContextVar("agentrun_request_sts", default=None)


def set_request_sts(cred: StsCredential | None) -> Token[StsCredential | None]:
    """Lend an access key to everything called in this context; returns the token for `reset_request_sts`."""
    return _request_sts.set(cred)


def reset_request_sts(token: Token[StsCredential | None]) -> None:
    """Undo a `set_request_sts`."""
    _request_sts.reset(token)


def get_request_sts() -> StsCredential | None:
    """The access key lent to the current context, None when there is none."""
    return _request_sts.get()


@contextmanager
def use_sts_credentials(
    access_key_id: str | None = None, access_key_secret: str | None = None, security_token: str | None = None
) -> Generator[StsCredential, None, None]:
    """Sign every call inside the block with this temporary access key, unless a Config names its own."""
    credential = StsCredential(access_key_id, access_key_secret, security_token)
    token = set_request_sts(credential)
    try:
        yield credential
    finally:
        reset_request_sts(token)


def _header_name(given: str | None, part: str) -> str:
    return given or os.environ.get(f"AGENTRUN_STS_HEADER_{part}") or f"x-fc-{part.lower().replace('_', '-')}"


def sts_from_headers(
    headers: Mapping[str, str],
    *,
    access_key_id_header: str | None = None,
    access_key_secret_header: str | None = None,
    security_token_header: str | None = None,
) -> StsCredential | None:
    """The temporary access key in request headers, None unless all three parts are there.

    The headers are `x-fc-access-key-id`, `x-fc-access-key-secret` and `x-fc-security-token`, or what
    `AGENTRUN_STS_HEADER_*` or the arguments name. Anyone can send such headers, so only a server that sits behind
    the platform's gateway should call this.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    names = (
        _header_name(access_key_id_header, "ACCESS_KEY_ID"),
        _header_name(access_key_secret_header, "ACCESS_KEY_SECRET"),
        _header_name(security_token_header, "SECURITY_TOKEN"),
    )
    credential = StsCredential(*(lower.get(name.lower()) for name in names))
    return credential if credential.is_complete() else None


@contextmanager
def use_sts_from_headers(
    headers: Mapping[str, str],
    *,
    access_key_id_header: str | None = None,
    access_key_secret_header: str | None = None,
    security_token_header: str | None = None,
) -> Generator[StsCredential | None, None, None]:
    """`use_sts_credentials` with what `sts_from_headers` finds; changes nothing when it finds nothing."""
    credential = sts_from_headers(
        headers,
        access_key_id_header=access_key_id_header,
        access_key_secret_header=access_key_secret_header,
        security_token_header=security_token_header,
    )
    if credential is None:
        yield None
        return
    with use_sts_credentials(credential.access_key_id, credential.access_key_secret, credential.security_token) as lent:
        yield lent


def first_variable(names: tuple[str, ...]) -> str:
    """The value of the first of these environment variables that is set and not empty, else an empty string."""
    return next((value for name in names if (value := os.environ.get(name))), "")


def _from_environment() -> Credentials | None:
    access_key_id = first_variable(ACCESS_KEY_ID_VARIABLES)
    secret = first_variable(ACCESS_KEY_SECRET_VARIABLES)
    if not (access_key_id and secret):
        return None
    # With a key of our own name, a token of the cloud's name belongs to another key.
    own = bool(os.environ.get(ACCESS_KEY_ID_VARIABLES[0]))
    token = first_variable(SECURITY_TOKEN_VARIABLES[:1] if own else SECURITY_TOKEN_VARIABLES)
    return Credentials(access_key_id, Secret(secret), Secret(token) if token else None)


@lru_cache(maxsize=1)
def _chain() -> Any:
    # Only when no key was given: it is slow to import.
    from alibabacloud_credentials.client import Client  # pyright: ignore[reportMissingTypeStubs]

    return Client()


def _from_chain() -> Credentials | None:
    try:
        found = _chain().get_credential()
    except Exception:  # the chain raises a dozen unrelated kinds when it finds nothing
        return None
    if not found.access_key_id or not found.access_key_secret:
        return None
    return Credentials(found.access_key_id, found.access_key_secret, found.security_token or None)


def resolve(explicit: StsCredential, *, use_chain: bool) -> Credentials | None:
    """The access key to sign with, None when there is none.

    An explicit key is used alone, never mixed with parts from elsewhere. Raises ConfigError when only half of an
    explicit key is given.
    """
    if explicit.access_key_id or explicit.access_key_secret or explicit.security_token:
        if not (explicit.access_key_id and explicit.access_key_secret):
            raise ConfigError(
                "the access key is incomplete", hint="Give both access_key_id and access_key_secret, or neither"
            )
        return Credentials(explicit.access_key_id, explicit.access_key_secret, explicit.security_token)
    lent = get_request_sts()
    if lent and lent.access_key_id and lent.access_key_secret:
        return Credentials(lent.access_key_id, lent.access_key_secret, lent.security_token)
    return _from_environment() or (_from_chain() if use_chain else None)
