"""Alipay's kind of signature, RSA2: PKCS#1 v1.5 with SHA-256; and keys as its console shows them."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, cast

from agentrun.errors import ConfigError
from agentrun.integration._extra import library

with library("tools", "cryptography"):
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

_MARKS = re.compile(r"-----[A-Z ]+-----|\s")


def signature(key: RSAPrivateKey, text: str) -> str:
    """The signature of a text, in base64."""
    return base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), SHA256())).decode()


def is_signed(key: RSAPublicKey, text: bytes, sign: str) -> bool:
    """Whether a text has this signature, in base64, by the owner of the key."""
    try:
        key.verify(base64.b64decode(sign), text, padding.PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True


def read_private_key(key: str) -> RSAPrivateKey:
    """Our own key, PEM or its base64 alone. Raises ConfigError."""
    try:
        return cast("RSAPrivateKey", serialization.load_der_private_key(_der(key), None))
    except (ValueError, TypeError):
        raise ConfigError("ALIPAY_PRIVATE_KEY is no private RSA key", hint="Give it as PKCS#8 or PKCS#1") from None


def read_public_key(key: str) -> RSAPublicKey:
    """Alipay's key, PEM or its base64 alone. Raises ConfigError."""
    try:
        return cast("RSAPublicKey", serialization.load_der_public_key(_der(key)))
    except ValueError as error:
        raise ConfigError("ALIPAY_PUBLIC_KEY is no public key", hint="Copy Alipay's from its console") from error


def _der(key: str) -> bytes:
    try:
        return base64.b64decode(_MARKS.sub("", key), validate=True)
    except binascii.Error as error:
        raise ConfigError("a key for Alipay is neither PEM nor base64", hint="Copy it as a whole") from error
