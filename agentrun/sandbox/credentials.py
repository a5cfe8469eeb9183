"""Credentials that code in a sandbox may use without seeing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

from pydantic import Field, field_validator

from agentrun._core.model import Model

Place = Literal["header", "url", "body"]


class SandboxCredential(Model):
    """A credential for code in a sandbox, which sees placeholders; the real values are put in on the way out.

    `environment` are the variables that hold the placeholders: a name, several, or names with the part of the
    credential that each shows (`username`, `password`). Without it the variable is named like the credential. `hosts`
    (`api.example.com`, `*.example.com`, `host:8443`, `http://host`) narrow those of the credential, `places` where in
    a request it may stand. A placeholder begins with `placeholder_prefix`, for libraries that insist on one.
    """

    credential_name: str
    environment: dict[str, str] | None = None
    hosts: list[str] | None = None
    places: list[Place] | None = None
    placeholder_prefix: str | None = Field(default=None, max_length=64, pattern=r"^[A-Za-z0-9_.-]*$")

    @field_validator("environment", mode="before")
    @classmethod
    def _name_variables(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {given: ""}
        return dict.fromkeys(_listed(given), "") if isinstance(given, (list, tuple)) else given

    @classmethod
    def of(
        cls,
        credential: SandboxCredential | str,
        environment: Any = None,
        **fields: Any,
    ) -> SandboxCredential:
        """One by the credential's name and its variables: a name, several, or the part by each name.

        Raises InvalidInputError.
        """
        if isinstance(credential, SandboxCredential):
            return credential
        return cls(credential_name=credential, environment=environment, **fields)


class UsedCredential(Model):
    """A credential of a sandbox, and how often it was put into a request."""

    credential_name: str | None = None
    environment: dict[str, str] | None = None
    hosts: list[str] | None = None
    places: list[str] | None = None
    uses: int | None = None
    last_used_at: str | None = None


class RefusedCredential(Model):
    """A request that was refused because a placeholder was in it, and why."""

    time: str | None = None
    credential_name: str | None = None
    origin: str | None = None
    reason: str | None = None


class CredentialUse(Model):
    """What a sandbox did with its credentials: each one, and the last refusals, oldest first."""

    credentials: list[UsedCredential] = Field(default_factory=list[UsedCredential])
    refusals: list[RefusedCredential] = Field(default_factory=list[RefusedCredential])


def _listed(given: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", given)
