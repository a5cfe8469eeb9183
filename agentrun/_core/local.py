"""Where the local emulator is and who its default user is; shared by `Config.local` and the emulator itself."""

from __future__ import annotations

import hashlib

HOST = "127.0.0.1"
PORT = 4590
ACCESS_KEY_ID = "local"
ACCESS_KEY_SECRET = "local-secret"
REGION = "cn-hangzhou"


def account_id(access_key_id: str) -> str:
    """The account that an access key belongs to: sixteen digits, the same for the same key on every machine."""
    return str(10**15 + int(hashlib.sha256(access_key_id.encode()).hexdigest()[:12], 16) % (9 * 10**15))
