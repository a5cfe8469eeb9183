"""A certificate authority of this machine's own, for clients that insist on HTTPS.

The official client forces HTTPS on the control plane; with `SSL_CERT_FILE` naming the bundle made here, which also
holds the public authorities, it trusts the emulator and everything it trusted before.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import ipaddress
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALID = datetime.timedelta(days=825)
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


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + _VALID)
    )


def _make(target: Certificates) -> None:
    # The authority's key is used once and never written: nobody can make another certificate that our bundle trusts.
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("agentrun emulator on this machine")
    key_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(key_id, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
    server = (
        _builder(_name("localhost"), authority_name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _write(
        target.key,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    _write(target.certificate, server.public_bytes(serialization.Encoding.PEM))
    public = Path(certifi.where()).read_bytes()
    _write(target.bundle, authority.public_bytes(serialization.Encoding.PEM) + public)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, path)
