"""The environment that points every SDK at the emulator, and at nothing else."""

from __future__ import annotations

from pathlib import Path

from agentrun._core import local

_LOOPBACK = "127.0.0.1,localhost"


def variables(
    url: str, model_url: str, access_key_id: str, secret: str, bundle: Path | None = None, model_key: str = "scripted"
) -> dict[str, str]:
    """All variables that this SDK, the official one and OpenAI clients read.

    Empty values take back what the environment may hold for the cloud. `bundle` is the file of certificates to trust.
    """
    account = local.account_id(access_key_id)
    found = {
        "AGENTRUN_ACCESS_KEY_ID": access_key_id,
        "AGENTRUN_ACCESS_KEY_SECRET": secret,
        "AGENTRUN_SECURITY_TOKEN": "",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": access_key_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": secret,
        "ALIBABA_CLOUD_SECURITY_TOKEN": "",
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
        "AGENTRUN_ACCOUNT_ID": account,
        "FC_ACCOUNT_ID": account,
        "AGENTRUN_REGION": local.REGION,
        "FC_REGION": local.REGION,
        "AGENTRUN_CONTROL_ENDPOINT": url,
        "AGENTRUN_DATA_ENDPOINT": url,
        "DEVS_ENDPOINT": url,
        "BAILIAN_ENDPOINT": url,
        "GPDB_ENDPOINT": url,
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": model_key,
        "NO_PROXY": _LOOPBACK,
        "no_proxy": _LOOPBACK,
    }
    if bundle:
        found |= {"SSL_CERT_FILE": str(bundle), "REQUESTS_CA_BUNDLE": str(bundle)}
    return found
