"""A certificate authority of this machine's own, for clients that insist on HTTPS.

The official client forces HTTPS on the control plane; with `SSL_CERT_FILE` naming the bundle made here, which also
holds the public authorities, it trusts the emulator and everything it trusted before.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509

from agentrun.emulator.authority import Authority

_NAMES = ("localhost",)
_ADDRESSES = ("127.0.0.1", "::1")


class CertificateError(Exception):
    """Certificates cannot be kept where they should be; the text says what to do."""


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: the server's certificate and key, and the bundle that clients should trust."""

    certificate: Path
    key: Path
    bundle: Path


def certificates(directory: Path) -> Certificates:
    """The certificates in a directory, made on first use and made anew when their time is over.

    Raises CertificateError when the directory belongs to somebody else, who could make us trust what they like.
    """
    found = Certificates(directory / "server.pem", directory / "server.key", directory / "bundle.pem")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in (directory, directory.parent):
        if folder.lstat().st_uid != os.getuid():
            raise CertificateError(f"{folder} belongs to another user; remove it, or choose another --state directory")
    with _locked(directory):
        if not _still_valid(found):
            # Written last, the bundle says that the set is whole.
            found.bundle.unlink(missing_ok=True)
            _make(found)
    return found


@contextlib.contextmanager
def _locked(directory: Path) -> Generator[None]:
    """Keep other emulators out, so that two that start at once share one set."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _still_valid(found: Certificates) -> bool:
    if not (found.certificate.exists() and found.key.exists() and found.bundle.exists()):
        return False
    try:
        certificate = x509.load_pem_x509_certificate(found.certificate.read_bytes())
    except ValueError:
        return False
    now = datetime.datetime.now(datetime.timezone.utc)
    return certificate.not_valid_after_utc > now + datetime.timedelta(days=1)


def _make(target: Certificates) -> None:
    # The authority's key is used once and never written: nobody can make another certificate that our bundle trusts.
    authority = Authority("agentrun emulator on this machine")
    server = authority.issue("localhost", *_NAMES, *_ADDRESSES)
    _write(target.key, server.key_in_clear())
    _write(target.certificate, server.certificate)
    public = Path(certifi.where()).read_bytes()
    _write(target.bundle, authority.certificate + public)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, path)
