"""Why a caller is not let in."""

from __future__ import annotations

from agentrun.emulator.wire.envelope import ServiceError

REALM = 'realm="agentrun"'


class NotAdmitted(ServiceError):
    """A caller has not proven itself (401); the header `www-authenticate` tells a program what is asked for."""

    def __init__(self, message: str, challenge: str, *, given: bool) -> None:
        code = "ERR_CREDENTIAL_INVALID" if given else "ERR_CREDENTIAL_REQUIRED"
        super().__init__(401, code, message)
        self.headers = {"www-authenticate": challenge}
