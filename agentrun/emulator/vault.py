"""Keeps secrets encrypted at rest: AES-256-GCM with a key in a file that only its owner can read."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentrun._core.values import is_list, is_object
from agentrun.emulator.wire.envelope import ServiceError

if TYPE_CHECKING:
    from agentrun.emulator.cipher import Cipher

_MARK = "sealed:v1:"
_KEY_BYTES = 32
MASK = "******"


class VaultError(ServiceError):
    """A secret cannot be opened; the text says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(500, "ERR_VAULT_KEY", message)


class Vault:
    """Seals and opens secrets; without a directory the key lives in memory and dies with the process."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory

    @cached_property
    def key(self) -> bytes:
        """The 32 bytes that everything is sealed with; made on first use."""
        if self._directory is None:
            return secrets.token_bytes(_KEY_BYTES)
        path = self._directory / "vault.key"
        if not path.exists():
            _write_whole(path, secrets.token_bytes(_KEY_BYTES))
        key = path.read_bytes()
        if len(key) != _KEY_BYTES:
            raise VaultError(
                f"{path} is not a key of {_KEY_BYTES} bytes; put back the one that this state was made with"
            )
        return key

    @cached_property
    def _cipher(self) -> Cipher:
        from agentrun.emulator.cipher import Cipher  # slow to import, and many runs keep no secret

        return Cipher(self.key)

    def seal(self, secret: str) -> str:
        """The secret as it may be written down."""
        return _MARK + base64.b64encode(self._cipher.encrypt(secret.encode())).decode()

    def open(self, text: str) -> str:
        """The secret again; text that was never sealed comes back as it is."""
        if not text.startswith(_MARK):
            return text
        try:
            return self._cipher.decrypt(base64.b64decode(text[len(_MARK) :])).decode()
        except ValueError as error:
            raise VaultError("a secret was sealed with another key; put back the vault.key of this state") from error


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads; at no moment is there half of it, and one that exists stays."""
    temporary = path.with_suffix(f".{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def each_string(value: Any, change: Callable[[str], str]) -> Any:
    """A value with every string in it changed, however deep."""
    if isinstance(value, str):
        return change(value)
    if is_object(value):
        return {key: each_string(entry, change) for key, entry in value.items()}
    if is_list(value):
        return [each_string(entry, change) for entry in value]
    return value


def at_paths(document: dict[str, Any], paths: tuple[str, ...], change: Callable[[str], str]) -> dict[str, Any]:
    """A document with every string below these dotted paths changed; missing paths are passed over."""
    changed = dict(document)
    for path in paths:
        head, _, rest = path.partition(".")
        if changed.get(head) is None:
            continue
        below = changed[head]
        changed[head] = at_paths(below, (rest,), change) if rest and is_object(below) else each_string(below, change)
    return changed
