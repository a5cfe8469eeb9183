"""Whom programs of this machine trust, and whom the code inside shall."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

CERTIFICATE_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
CERTIFICATE_FILES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/cert.pem"),
)
# What OpenSSL and with it Python and Go, requests, curl, Node.js, git and pip go by.
TRUST_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
)
BUNDLE = "certificates.pem"


def certificates(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file of certificates that programs of this machine trust."""
    named = [Path(environment[name]) for name in CERTIFICATE_VARIABLES if environment.get(name)]
    return next((file for file in [*named, *CERTIFICATE_FILES] if file.is_file()), None)


def trust_environment(bundle: str) -> dict[str, str]:
    """What makes programs inside trust the certificates of a file."""
    return dict.fromkeys(TRUST_VARIABLES, bundle)


def write_bundle(folder: Path, content: bytes) -> Path:
    """Put a bundle into a folder that code inside only reads; written whole, because others may be reading it."""
    bundle = folder / BUNDLE
    if not bundle.exists():
        temporary = folder / f".{BUNDLE}"
        temporary.write_bytes(content)
        temporary.chmod(0o644)
        temporary.replace(bundle)
    return bundle
