"""A token server of OAuth2 and a resource that wants its tokens, over TCP; and key sets for signed tokens."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.unit.servers import Behaviour, Line, Received, Server, answer, serving


@dataclass
class TokenServer:
    """Gives tokens to one client, at `/token`; `/resource` is for who has one of them, `/jwks` shows `keys`."""

    client_id: str = "client"
    client_secret: str = "secret"
    lifetime: int | None = 3600
    refresh_tokens: set[str] = field(default_factory=set[str])
    rotates: bool = False
    delay: float = 0.0
    given: list[str] = field(default_factory=list[str])
    valid: set[str] = field(default_factory=set[str])
    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    seen: list[Received] = field(default_factory=list[Received])
    keys: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys_asked: int = 0
    broken: Behaviour | None = None
    server: Server | None = None

    @property
    def url(self) -> str:
        assert self.server
        return self.server.url

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    def behave(self, line: Line, request: Received) -> bool:
        """Answer one request as a token server has to."""
        path = request.path.partition("?")[0]
        if path == "/jwks":
            self.keys_asked += 1
            return (self.broken or answer({"keys": self.keys}))(line, request)
        if path == "/token":
            return self._token(line, request)
        self.seen.append(request)
        if request.headers.get("authorization", "").removeprefix("Bearer ") in self.valid:
            return answer({"headers": request.headers})(line, request)
        return answer(b"{}", 401)(line, request)

    def _token(self, line: Line, request: Received) -> bool:
        line.wait(self.delay)
        if self.broken:
            return self.broken(line, request)
        fields = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.asked.append(fields)
        if self._client(request.headers, fields) != (self.client_id, self.client_secret):
            # What a careless server says: it repeats what it was sent.
            text = f"bad secret {fields} {request.headers.get('authorization')}"
            return answer({"error": "invalid_client", "error_description": text}, 401)(line, request)
        refresh = fields.get("refresh_token")
        if fields["grant_type"] == "refresh_token" and refresh not in self.refresh_tokens:
            return answer({"error": "invalid_grant"}, 400)(line, request)
        token = secrets.token_urlsafe(24)
        self.given.append(token)
        self.valid.add(token)
        granted: dict[str, Any] = {"access_token": token, "token_type": "Bearer"}
        if self.lifetime is not None:
            granted["expires_in"] = self.lifetime
        if refresh and self.rotates:
            granted["refresh_token"] = f"refresh-{secrets.token_urlsafe(12)}"
            self.refresh_tokens = {granted["refresh_token"]}
        return answer(granted)(line, request)

    def _client(self, headers: Mapping[str, str], fields: Mapping[str, str]) -> tuple[str, str]:
        scheme, _, pair = headers.get("authorization", "").partition(" ")
        if scheme != "Basic":
            return fields.get("client_id", ""), fields.get("client_secret", "")
        name, _, secret = base64.b64decode(pair).decode().partition(":")
        return unquote_plus(name), unquote_plus(secret)


@contextmanager
def token_server(**settings: Any) -> Generator[TokenServer, None, None]:
    """A token server on a port of loopback."""
    tokens = TokenServer(**settings)
    with serving(tokens.behave) as server:
        tokens.server = server
        yield tokens


@dataclass
class SigningKey:
    """A private key with an id; the half that may be shown is `public`."""

    private: Any
    kid: str
    algorithm: str

    @classmethod
    def rsa(cls, kid: str = "one") -> SigningKey:
        return cls(rsa.generate_private_key(65537, 2048), kid, "RS256")

    @classmethod
    def ec(cls, kid: str = "one") -> SigningKey:
        return cls(ec.generate_private_key(ec.SECP256R1()), kid, "ES256")

    @property
    def public(self) -> dict[str, Any]:
        """The key as a key set shows it."""
        kind = jwt.get_algorithm_by_name(self.algorithm)
        shown: dict[str, Any] = json.loads(kind.to_jwk(self.private.public_key()))
        shown.pop("key_ops", None)
        return {**shown, "kid": self.kid, "use": "sig"}

    @property
    def pem(self) -> bytes:
        """The public half as PEM, which an attacker would use as a password."""
        found: bytes = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return found

    def token(self, kid: str | None = "", **claims: Any) -> str:
        """A token that this key signed, good for a minute unless the claims say otherwise."""
        headers = {} if kid is None else {"kid": kid or self.kid}
        content = {"sub": "somebody", "exp": int(time.time()) + 60, **claims}
        private = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return jwt.encode({k: v for k, v in content.items() if v is not None}, private, self.algorithm, headers)
