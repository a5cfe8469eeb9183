"""Credentials: secrets that the platform keeps."""

from __future__ import annotations

from agentrun.credential.client import CredentialClient
from agentrun.credential.control import CredentialControlAPI
from agentrun.credential.credential import Credential, CredentialListOutput
from agentrun.credential.model import (
    CredentialAuthType,
    CredentialBasicAuth,
    CredentialConfig,
    CredentialCreateInput,
    CredentialListInput,
    CredentialSourceType,
    CredentialUpdateInput,
    CredentialUsage,
    CredentialUser,
    RelatedResource,
)

__all__ = [
    "Credential",
    "CredentialAuthType",
    "CredentialBasicAuth",
    "CredentialClient",
    "CredentialConfig",
    "CredentialControlAPI",
    "CredentialCreateInput",
    "CredentialListInput",
    "CredentialListOutput",
    "CredentialSourceType",
    "CredentialUpdateInput",
    "CredentialUsage",
    "CredentialUser",
    "RelatedResource",
]
