"""AES-256-GCM, apart from the vault because `cryptography` is slow to import and many runs keep no secret."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Cipher:
    """Encrypts and decrypts with one key of 32 bytes; each message carries a nonce of its own in front."""

    def __init__(self, key: bytes) -> None:
        self._aes = AESGCM(key)

    def encrypt(self, plain: bytes) -> bytes:
        """The message that only this key opens."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aes.encrypt(nonce, plain, None)

    def decrypt(self, message: bytes) -> bytes:
        """What was encrypted; raises ValueError when another key did it, or when the message was changed."""
        try:
            return self._aes.decrypt(message[:_NONCE_BYTES], message[_NONCE_BYTES:], None)
        except InvalidTag as error:
            raise ValueError("the message was not encrypted with this key") from error
