"""The check of signed tokens (JWT): which key and algorithm count is said by the key set, never by the token alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from agentrun._core.values import section
from agentrun.emulator.inbound.checks import AUTHORIZATION, without_scheme
from agentrun.emulator.inbound.key_sets import Key, KeySets, read_keys
from agentrun.emulator.inbound.refusal import REALM, NotAdmitted

if TYPE_CHECKING:
    from jwt.types import Options

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_MOST_CHARACTERS = 16 * 1024
# The clock of the emulator decides these, and claims that nobody asked for are the agent's business.
_NOT_CHECKED: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
}

Keys = Callable[["str | None"], Awaitable[Sequence[Key]]]
"""Gives the keys that count, given the id of the one that is looked for."""


class _Refused(Exception):
    """Why a token does not count."""


@dataclass(frozen=True)
class TokenCheck:
    """A token as a bearer's, signed by one of the keys, in its time, for the audience and from the issuer named."""

    keys: Keys
    audience: str | None = None
    issuer: str | None = None
    header: str = AUTHORIZATION

    async def check(self, headers: Mapping[str, str], now: float) -> None:
        """Return when a request shows such a token; raises NotAdmitted, and ServiceError when no keys can be had."""
        token = without_scheme(headers.get(AUTHORIZATION, "").strip())
        if not token:
            text = "callers must send a signed token in the header 'Authorization: Bearer TOKEN'"
            raise NotAdmitted(text, f"Bearer {REALM}", given=False)
        try:
            await self._check(token, now)
        except _Refused as error:
            challenge = f'Bearer {REALM}, error="invalid_token", error_description="{error}"'
            raise NotAdmitted(f"the token is refused: {error}", challenge, given=True) from None

    async def _check(self, token: str, now: float) -> None:
        if len(token) > _MOST_CHARACTERS:
            raise _Refused("it is too long")
        try:
            head = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise _Refused("it is not a signed token") from None
        kid, algorithm = head.get("kid"), head.get("alg")
        found = [key for key in await self.keys(kid) if kid is None or key.get("kid") == kid]
        if not found:
            raise _Refused("no key of the set has its key id")
        usable = [key for key in found if algorithm in algorithms(key)]
        if not usable:
            raise _Refused("its algorithm is not one of the key's")
        _check_time(self._claims(token, usable, str(algorithm)), now)

    def _claims(self, token: str, keys: Sequence[Key], algorithm: str) -> Mapping[str, Any]:
        reason = "its signature is wrong"
        for key in keys:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    jwt.PyJWK(dict(key), algorithm).key,
                    algorithms=[algorithm],
                    audience=self.audience,
                    issuer=self.issuer,
                    options={**_NOT_CHECKED, "verify_aud": self.audience is not None},
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
                raise _Refused("it is not for this audience, or lacks a claim that is asked for") from None
            except jwt.InvalidIssuerError:
                raise _Refused("its issuer is another one") from None
            except (jwt.PyJWTError, ValueError, TypeError):
                reason = "it or its key cannot be read"
                continue
            return claims
        raise _Refused(reason)


def algorithms(key: Key) -> tuple[str, ...]:
    """The algorithms that a public key can have signed with; one with an `alg` of its own has signed with no other."""
    if key.get("use", "sig") != "sig":
        return ()
    kinds = {"RSA": _RSA, "EC": (_CURVES.get(str(key.get("crv")), ""),), "OKP": ("EdDSA",)}
    possible = kinds.get(str(key.get("kty")), ())
    named = key.get("alg")
    return tuple(name for name in possible if name and named in (None, name))


def _check_time(claims: Mapping[str, Any], now: float) -> None:
    for name in ("exp", "nbf"):
        moment = claims.get(name)
        if moment is not None and (isinstance(moment, bool) or not isinstance(moment, (int, float))):
            raise _Refused(f"its {name} is no time")
    if claims.get("exp") is not None and claims["exp"] <= now:
        raise _Refused("its time is over")
    if claims.get("nbf") is not None and claims["nbf"] > now:
        raise _Refused("its time has not come")


def token_check(document: Mapping[str, Any], sets: KeySets) -> TokenCheck:
    """The check of a credential with signed tokens."""
    public = section(document, "credentialPublicConfig")
    parts, remote = section(public, "authConfig"), section(public, "remoteConfig")
    uri = remote.get("uri")
    fixed = read_keys(public["jwks"]) if public.get("jwks") else ()

    async def keys(wanted: str | None) -> Sequence[Key]:
        if not uri:
            return fixed
        timeout, ttl = remote.get("timeout") or 3000, remote.get("ttl") or 30000
        return await sets.keys(uri, timeout / 1000, ttl / 1000, wanted)

    return TokenCheck(keys, parts.get("audience"), parts.get("issuer"))
