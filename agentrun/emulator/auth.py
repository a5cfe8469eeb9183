"""Who calls: verifies both signatures, temporary keys and access tokens, and names the tenant.

A tenant is an access key: each sees an account of its own. Every access key id is accepted with the emulator's
default secret, so a test takes a new id and has an empty platform; explicit pairs may be added. Temporary keys
(`STS.*`) and access tokens are minted here and carry their account, sealed with a key of this emulator.

Code in sandboxes and agent runtimes can read the default secret, which is public, and must not become any tenant by
it: from there a signature is always needed, and only with a secret that somebody must have been given.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from agentrun._core import signing
from agentrun._core.credentials import Credentials
from agentrun._core.local import ACCESS_KEY_ID, ACCESS_KEY_SECRET, account_id
from agentrun.emulator.clock import Clock
from agentrun.emulator.http import Request
from agentrun.emulator.settings import Settings
from agentrun.emulator.store import Scope
from agentrun.emulator.wire.envelope import ServiceError, forbidden, unauthorized

LARGEST_SKEW = 15 * 60.0
TOKEN_SECONDS = 3600
_STS_PREFIX = "STS."
_COLLECTIONS = {
    "agent-runtimes": "runtime",
    "sandboxes": "sandbox",
    "models": "litellm",
    "knowledgebases": "knowledgebase",
    "tools": "tool",
    "templates": "template",
}
# How an unsigned call says whose tool it means.
_ACCOUNT_HEADER = "x-acs-parent-id"
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
# What must be covered by a signature; without these, parts of a request could be changed unnoticed.
_CONTROL_MUST_SIGN = (
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-version",
)
_DATA_MUST_SIGN = ("host", "x-acs-content-sha256", "x-acs-date")


@dataclass(frozen=True)
class Tenant:
    """Who calls: the long-lived access key and the scope in the store that belongs to it."""

    access_key_id: str
    scope: Scope


class Tokens:
    """Mints and reads short tokens of the form `purpose.subject.expiry.mac`."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    def mint(self, purpose: str, subject: str, seconds: float = TOKEN_SECONDS) -> str:
        """A token for a subject, good for some seconds."""
        text = f"{purpose}.{subject.encode().hex()}.{int(self._clock.now() + seconds)}"
        return f"{text}.{self._mac(text)}"

    def read(self, purpose: str, token: str) -> str | None:
        """The subject of a token that is ours, for this purpose and not over; else None."""
        text, _, mac = token.rpartition(".")
        parts = text.split(".")
        if len(parts) != 3 or parts[0] != purpose or not hmac.compare_digest(mac.encode(), self._mac(text).encode()):
            return None
        return bytes.fromhex(parts[1]).decode() if int(parts[2]) >= self._clock.now() else None

    def _mac(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()


class Nonces:
    """Remembers which nonces were used while a request that carries one could still be accepted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._new: set[str] = set()
        self._old: set[str] = set()
        self._turn = clock.now()

    def use(self, nonce: str) -> bool:
        """Whether the nonce is new; it is not from now on."""
        if self._clock.now() - self._turn > 2 * LARGEST_SKEW:
            self._new, self._old, self._turn = set(), self._new, self._clock.now()
        if nonce in self._new or nonce in self._old:
            return False
        self._new.add(nonce)
        return True


class Authenticator:
    """Names the tenant of a request or refuses it (401, 403)."""

    def __init__(self, settings: Settings, clock: Clock, key: bytes) -> None:
        self._settings = settings
        self._clock = clock
        self._key = key
        self._nonces = Nonces(clock)
        self.tokens = Tokens(key, clock)

    def tenant(self, access_key_id: str) -> Tenant:
        """The tenant that a long-lived access key is."""
        return Tenant(access_key_id, Scope(account_id(access_key_id), self._settings.region))

    def temporary_key(self, access_key_id: str, seconds: float = 12 * TOKEN_SECONDS) -> Credentials:
        """A temporary key for the tenant of an access key, as a role would get it."""
        sts_id = _STS_PREFIX + access_key_id
        token = self.tokens.mint("sts", access_key_id, seconds)
        return Credentials(sts_id, self._sts_secret(sts_id), token)

    def _sts_secret(self, sts_id: str) -> str:
        return hmac.digest(self._key, f"secret of {sts_id}".encode(), "sha256").hex()

    # Control plane

    async def control(self, request: Request, action: str) -> Tenant:
        """The tenant of a control request; its signature covers the body."""
        given = signing.parse_authorization(request.headers.get("authorization", ""))
        if not self._must_verify(request):
            return self.tenant(_long_lived(given.access_key_id if given else ACCESS_KEY_ID))
        if given is None or given.algorithm != signing.CONTROL_ALGORITHM:
            raise unauthorized("MissingAuthorization", "the request has no ACS3-HMAC-SHA256 signature")
        headers = request.headers
        _require_signed(given, headers, _CONTROL_MUST_SIGN)
        if headers["x-acs-action"] != action:
            raise unauthorized(
                "SignatureDoesNotMatch", f"x-acs-action is {headers['x-acs-action']}, the path is {action}"
            )
        self._check_time(headers["x-acs-date"])
        if hashlib.sha256(await request.body()).hexdigest() != headers["x-acs-content-sha256"]:
            raise unauthorized("SignatureDoesNotMatch", "x-acs-content-sha256 is not the hash of the body")
        expected = signing.sign_control(
            self._secret(given, request),
            request.method,
            request.path,
            signing.decoded_query(request.query_string),
            headers,
            given.signed_headers,
            headers["x-acs-content-sha256"],
        )
        _compare(expected, given)
        if not self._nonces.use(f"{given.access_key_id} {headers['x-acs-signature-nonce']}"):
            raise unauthorized("SignatureNonceUsed", "this request was sent before (x-acs-signature-nonce)")
        return self.tenant(_long_lived(given.access_key_id))

    # Data plane

    def data(self, request: Request) -> Tenant:
        """The tenant of a data request: by its signature, or by an access token as a bearer."""
        headers = request.headers
        given = signing.parse_authorization(headers.get(signing.DATA_HEADER.lower(), ""))
        if given is None and (bearer := headers.get("authorization", "")).startswith("Bearer at."):
            return self._by_token(bearer.removeprefix("Bearer "), request.path)
        if not self._must_verify(request):
            return self.tenant(_long_lived(given.access_key_id if given else ACCESS_KEY_ID))
        if given is None or given.algorithm != signing.DATA_ALGORITHM:
            raise unauthorized(
                "MissingAuthorization", "the request has no Agentrun-Authorization signature and no access token"
            )
        _require_signed(given, headers, _DATA_MUST_SIGN)
        self._check_time(headers["x-acs-date"])
        date, _, region = given.scope.partition("/")
        region = region.partition("/")[0]
        if given.scope != signing.data_scope(date, region) or headers["x-acs-date"].replace("-", "")[:8] != date:
            raise unauthorized("SignatureDoesNotMatch", f"the credential scope {given.scope} is wrong")
        secret = self._secret(given, request)
        expected = signing.sign_data(
            secret, date, region, request.method, request.path, request.query_string, headers, given.signed_headers
        )
        _compare(expected, given)
        return self.tenant(_long_lived(given.access_key_id))

    def tool_caller(self, request: Request, owner: str | None = None) -> Tenant:
        """The tenant of a call of a tool, which may do without a signature where a signature proves nothing.

        The official client signs such calls for hosts of the cloud only. With the public default secret everybody on
        this machine can sign, so who does not is taken for the `owner` of what an id names, for the account that the
        header X-Acs-Parent-Id names, or for the default access key. Code inside has to sign as ever.
        """
        headers = request.headers
        signed = signing.DATA_HEADER.lower() in headers or headers.get("authorization", "").startswith("Bearer at.")
        account = owner or headers.get(_ACCOUNT_HEADER) or account_id(ACCESS_KEY_ID)
        guarded = {account_id(key) for key in self._settings.access_keys}
        if signed or request.from_inside or self._settings.secret != ACCESS_KEY_SECRET or account in guarded:
            return self.data(request)
        return Tenant(ACCESS_KEY_ID, Scope(account, self._settings.region))

    def access_token(self, tenant: Tenant, kind: str, label: str) -> str:
        """A token that opens one resource of a tenant on the data plane, for an hour."""
        return self.tokens.mint("at", f"{kind}\n{label}\n{tenant.access_key_id}")

    def _by_token(self, token: str, path: str) -> Tenant:
        subject = self.tokens.read("at", token)
        if subject is None:
            raise unauthorized("InvalidAccessToken", "the access token is not ours or its time is over")
        kind, label, access_key_id = subject.split("\n", 2)
        if _named_by(path) != (kind, label):
            raise forbidden("InvalidAccessToken", f"the access token opens {kind} {label}, not {path}")
        return self.tenant(access_key_id)

    # Both

    def _must_verify(self, request: Request) -> bool:
        # Who may do without signatures is whoever started the emulator, not the code that it runs.
        return self._settings.verify_signatures or request.from_inside

    def _secret(self, given: signing.Authorization, request: Request) -> str:
        own = self._settings.access_keys.get(given.access_key_id)
        if own is None and given.access_key_id.startswith(_STS_PREFIX):
            return self._temporary_secret(given, request.headers)
        secret = self._settings.secret if own is None else own
        if request.from_inside and secret == ACCESS_KEY_SECRET:
            raise _public_secret(given.access_key_id)
        return secret

    def _temporary_secret(self, given: signing.Authorization, headers: Mapping[str, str]) -> str:
        access_key_id = given.access_key_id
        token = headers.get("x-acs-security-token", "")
        if "x-acs-security-token" not in given.signed_headers:
            raise unauthorized(
                "MissingSecurityToken", f"the temporary key {access_key_id} needs a signed security token"
            )
        if self.tokens.read("sts", token) != _long_lived(access_key_id):
            raise unauthorized(
                "InvalidSecurityToken.Expired", f"the security token of {access_key_id} is not valid any more"
            )
        return self._sts_secret(access_key_id)

    def _check_time(self, text: str) -> None:
        try:
            # The one form that is allowed, read by the quick parser: `fromisoformat` takes no Z before Python 3.11.
            if not _TIME.fullmatch(text):
                raise ValueError(text)
            sent = datetime.fromisoformat(f"{text[:-1]}+00:00").timestamp()
        except ValueError as error:
            raise unauthorized("InvalidTimeStamp.Format", f"x-acs-date {text!r} is not a time in UTC") from error
        skew = sent - self._clock.now()
        if abs(skew) > LARGEST_SKEW:
            raise unauthorized(
                "InvalidTimeStamp.Expired", f"x-acs-date is {skew:+.0f} s off; fifteen minutes are allowed"
            )


def is_signed(request: Request) -> bool:
    """Whether a data request claims to come from an account: by a signature, or by an access token."""
    headers = request.headers
    return signing.DATA_HEADER.lower() in headers or headers.get("authorization", "").startswith("Bearer at.")


def _public_secret(access_key_id: str) -> ServiceError:
    return forbidden(
        "InvalidAccessKeyId.Inactive",
        f"access key {access_key_id} has the emulator's public default secret, which is not accepted from code in "
        "sandboxes and agent runtimes: sign with the temporary key or use the access token that the platform gave to "
        "it (AGENTRUN_ACCESS_KEY_ID, AGENTRUN_ACCESS_KEY_SECRET and AGENTRUN_SECURITY_TOKEN in an agent's "
        "environment), or start the emulator with a secret of its own (--access-key ID:SECRET, Settings(secret=...))",
    )


def _named_by(path: str) -> tuple[str, str]:
    """The kind and label of the resource that a path on the data plane is about."""
    collection, _, below = path.removeprefix("/").partition("/")
    return _COLLECTIONS.get(collection, ""), unquote(below.partition("/")[0])


def _long_lived(access_key_id: str) -> str:
    return access_key_id.removeprefix(_STS_PREFIX)


def _require_signed(given: signing.Authorization, headers: Mapping[str, str], names: tuple[str, ...]) -> None:
    missing = [name for name in (*names, *given.signed_headers) if name not in headers]
    if missing:
        raise unauthorized("MissingHeader", f"the signature needs the header {missing[0]}")
    unsigned = [name for name in names if name not in given.signed_headers]
    if unsigned:
        raise unauthorized("SignatureDoesNotMatch", f"the signature must cover the header {unsigned[0]}")


def _compare(expected: str, given: signing.Authorization) -> None:
    if not hmac.compare_digest(expected.encode(), given.signature.encode()):
        raise unauthorized(
            "SignatureDoesNotMatch",
            f"the signature of access key {given.access_key_id} does not match: its secret is wrong, or a signed part "
            "of the request was changed on the way",
        )
