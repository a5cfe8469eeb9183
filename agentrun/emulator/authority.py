"""A certificate authority whose key stays in memory, and the certificates that it issues."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = datetime.timedelta(days=825)
# Clocks differ.
_EARLIER = datetime.timedelta(minutes=5)
_LONGEST_COMMON_NAME = 64


@dataclass(frozen=True)
class Issued:
    """A server's certificate in PEM, with its key."""

    certificate: bytes
    key: ec.EllipticCurvePrivateKey

    def key_in_clear(self) -> bytes:
        """The key in PEM, readable by everybody who gets it."""
        return self._pem(serialization.NoEncryption())

    def key_under(self, password: bytes) -> bytes:
        """The key in PEM, readable with the password only."""
        return self._pem(serialization.BestAvailableEncryption(password))

    def _pem(self, encryption: serialization.KeySerializationEncryption) -> bytes:
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


class Authority:
    """Signs certificates of servers; `name` is what a person sees who looks at one."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        self._key_id = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self._own = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(self._key_id, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate(self) -> bytes:
        """Its own certificate in PEM, for those who shall trust what it issues."""
        return self._own.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, *hosts: str) -> Issued:
        """A certificate for servers at these hosts, names or addresses, with a key of its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        server = (
            _builder(_common_name(name), self._name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._key_id), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Issued(server.public_bytes(serialization.Encoding.PEM), key)


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_LONGEST_COMMON_NAME])])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + VALID)
    )


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
