"""Where a credential may be used by code that does not see it: an extension of the local platform."""

from __future__ import annotations

from agentrun._core.extensions import Extension
from agentrun.config import Config
from agentrun.credential.model import CredentialConfigInner

FIELD = "allowedHosts"
ALLOWED_HOSTS = Extension("CredentialConfig.for_hosts", "Leave the hosts away: the cloud does not put secrets in")


def require_local(given: CredentialConfigInner | None, config: Config) -> None:
    """Raise UnsupportedError when a credential names hosts and the platform is not on this machine."""
    if given is not None and FIELD in (given.credential_public_config or {}):
        ALLOWED_HOSTS.require(config.get_control_endpoint())
