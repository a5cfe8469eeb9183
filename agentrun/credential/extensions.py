"""What credentials of the local platform can do beyond those of the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.extensions import Extension
from agentrun._core.outbound import OAUTH2
from agentrun.config import Config
from agentrun.credential.model import CredentialConfig, CredentialCreateInput, CredentialUpdateInput

TOKENS = Extension("CredentialConfig.outbound_oauth2_*", "Fetch the token yourself and use outbound_tool_jwt")
CLAIMS = Extension("CredentialConfig with an audience or an issuer", "Check these claims in the agent")
KEY_PLACE = Extension("CredentialConfig with query_key or cookie_key", "Let the tool's specification say it")
GRACE = Extension("previous_valid_seconds", "Create a second credential and let callers change over to it")
USAGE = Extension("Credential.usage", "Read related_resources, which names those that could use it")


def require_local(wanted: CredentialCreateInput | CredentialUpdateInput, config: Config | None) -> None:
    """Raise UnsupportedError when an input uses extensions and the platform is not on this machine.

    The cloud might ignore what it does not know, and a check that nobody makes is worse than none.
    """
    used = _used(wanted.credential_config)
    if isinstance(wanted, CredentialUpdateInput) and wanted.previous_valid_seconds is not None:
        used.append(GRACE)
    for extension in used:
        extension.require(Config.with_configs(config).get_control_endpoint())


def _used(config: CredentialConfig | None) -> list[Extension]:
    public: Mapping[str, Any] = (config and config.credential_public_config) or {}
    parts: Mapping[str, Any] = public.get("authConfig") or {}
    kind = config and config.credential_auth_type
    used = {
        TOKENS: kind == "jwt" and public.get("authType") == OAUTH2,
        CLAIMS: kind == "jwt" and public.get("authType") != OAUTH2 and bool(parts),
        KEY_PLACE: kind == "api_key" and "in" in parts,
    }
    return [extension for extension, is_used in used.items() if is_used]
