"""The two request signatures of the platform, as pure functions.

`ACS3-HMAC-SHA256` signs the control plane and covers the body; `AGENTRUN4-HMAC-SHA256` signs the data plane,
derives its key from the secret, the day and the region, and leaves the body out. Both sign a canonical form of
the request; the caller says which headers go in, and a verifier recomputes the same from what arrived.

Source: recomputed from the recorded requests of the official client (`tests/unit/test_signing.py`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

CONTROL_ALGORITHM = "ACS3-HMAC-SHA256"
DATA_ALGORITHM = "AGENTRUN4-HMAC-SHA256"
DATA_HEADER = "Agentrun-Authorization"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class Authorization(NamedTuple):
    """The parts of an authorization header: `scope` is empty on the control plane."""

    algorithm: str
    access_key_id: str
    scope: str
    signed_headers: tuple[str, ...]
    signature: str


def parse_authorization(value: str) -> Authorization | None:
    """The parts of an authorization header of either plane, None when it is neither."""
    algorithm, _, rest = value.partition(" ")
    if algorithm not in (CONTROL_ALGORITHM, DATA_ALGORITHM):
        return None
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, _, text = part.strip().partition("=")
        fields[name] = text
    if not {"Credential", "SignedHeaders", "Signature"} <= fields.keys():
        return None
    access_key_id, _, scope = fields["Credential"].partition("/")
    return Authorization(
        algorithm, access_key_id, scope, tuple(fields["SignedHeaders"].split(";")), fields["Signature"]
    )


def timestamp(moment: datetime) -> str:
    """A moment in UTC as `x-acs-date` carries it, to the second."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _canonical_headers(headers: Mapping[str, str], names: Iterable[str]) -> str:
    return "".join(f"{name}:{headers[name].strip()}\n" for name in names)


def _canonical(
    method: str, path: str, query: str, headers: Mapping[str, str], signed: Iterable[str], payload: str
) -> bytes:
    names = sorted(signed)
    return "\n".join(
        (method, path or "/", query, _canonical_headers(headers, names), ";".join(names), payload)
    ).encode()


def control_query(pairs: Iterable[tuple[str, str]]) -> str:
    """The canonical query of the control plane: sorted by key, keys as they are, values percent-encoded."""
    return "&".join(f"{key}={quote(value, safe='~')}" for key, value in sorted(pairs))


def decoded_query(raw: str) -> list[tuple[str, str]]:
    """The pairs of a query as they were sent, decoded; nothing is dropped or joined."""
    parts = (part.partition("=") for part in raw.split("&") if part)
    return [(unquote_plus(key), unquote_plus(value)) for key, _, value in parts]


def data_query(raw: str) -> str:
    """The canonical query of the data plane: sorted by key, both sides decoded and encoded again."""
    return "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in sorted(decoded_query(raw)))


def sign_control(
    secret: str,
    method: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    signed: Iterable[str],
    payload_sha256: str,
) -> str:
    """The hexadecimal ACS3 signature.

    `path` is percent-encoded as it is sent, `query` holds decoded pairs, `headers` has lower-case names and
    `signed` names those that count. `payload_sha256` is the value of `x-acs-content-sha256`.
    """
    canonical = _canonical(method, path, control_query(query), headers, signed, payload_sha256)
    return _hmac(secret.encode(), f"{CONTROL_ALGORITHM}\n{_sha256(canonical)}").hex()


def control_authorization(access_key_id: str, signed: Iterable[str], signature: str) -> str:
    """The `Authorization` header of the control plane."""
    names = ";".join(sorted(signed))
    return f"{CONTROL_ALGORITHM} Credential={access_key_id},SignedHeaders={names},Signature={signature}"


@lru_cache(maxsize=256)
def data_key(secret: str, date: str, region: str) -> bytes:
    """The derived signing key of the data plane for one day (`YYYYMMDD`) and region."""
    key = _hmac(b"aliyun_v4" + secret.encode(), date)
    for part in (region, "agentrun", "aliyun_v4_request"):
        key = _hmac(key, part)
    return key


def data_scope(date: str, region: str) -> str:
    """The scope behind the access key in the data plane's authorization header."""
    return f"{date}/{region}/agentrun/aliyun_v4_request"


def sign_data(
    secret: str,
    date: str,
    region: str,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    signed: Iterable[str],
) -> str:
    """The hexadecimal AGENTRUN4 signature.

    `path` and `query` are the raw text of the URL, `headers` has lower-case names, `date` is `YYYYMMDD`.
    The body is never covered: the payload is the literal `UNSIGNED-PAYLOAD`.
    """
    canonical = _canonical(method, path, data_query(query), headers, signed, UNSIGNED_PAYLOAD)
    return _hmac(data_key(secret, date, region), f"{DATA_ALGORITHM}\n{_sha256(canonical)}").hex()


def data_authorization(access_key_id: str, scope: str, signed: Iterable[str], signature: str) -> str:
    """The `Agentrun-Authorization` header of the data plane."""
    names = ";".join(sorted(signed))
    return f"{DATA_ALGORITHM} Credential={access_key_id}/{scope},SignedHeaders={names},Signature={signature}"
