"""Signed requests without an SDK: what any foreign client would send, with every part open to tampering."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx

from agentrun._core import signing
from agentrun._core.local import ACCESS_KEY_SECRET, REGION
from agentrun.emulator import Emulator
from agentrun.emulator.wire.table import CONTRACT, DEVS_CONTRACT, DEVS_PREFIX, table

API = "/2025-09-10"
CREDENTIALS = f"{API}/agents/credentials"
MODEL_PROVIDERS = f"{API}/agents/model-providers"
MODEL_PROXIES = f"{API}/agents/model-proxies"
MODEL_SERVICES = f"{API}/agents/model-services"
RUNTIMES = f"{API}/agents/runtimes"
TEMPLATES = f"{API}/templates"

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Account:
    """An access key and the emulator that it is used against; `moment` is the time that requests claim."""

    client: httpx.Client
    key: str
    secret: str = ACCESS_KEY_SECRET
    token: str | None = None
    moment: datetime | None = None

    @property
    def date(self) -> str:
        """The time of a request as it is sent."""
        return signing.timestamp(self.moment or datetime.now(timezone.utc))

    def at(self, moment: float) -> Account:
        """The same account at another time, in seconds since 1970."""
        return replace(self, moment=datetime.fromtimestamp(moment, timezone.utc))

    # Control plane

    def control_request(
        self,
        method: str,
        path: str,
        *,
        query: Pairs = (),
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        unsigned: Sequence[str] = (),
    ) -> httpx.Request:
        """A signed request; `headers` are added and signed, `unsigned` names headers that the signature leaves out."""
        url = self.client.base_url.copy_with(raw_path=_raw(path, query))
        payload = hashlib.sha256(content).hexdigest()
        sent = {
            "host": url.netloc.decode(),
            "accept": "application/json",
            "x-acs-version": path.split("/")[1],
            "x-acs-action": _action(method, path),
            "x-acs-date": self.date,
            "x-acs-signature-nonce": uuid4().hex,
            "x-acs-content-sha256": payload,
            **({"content-type": "application/json; charset=utf-8"} if content else {}),
            **({"x-acs-accesskey-id": self.key, "x-acs-security-token": self.token} if self.token else {}),
            **(headers or {}),
        }
        signed = [name for name in sent if name not in unsigned]
        signature = signing.sign_control(self.secret, method, path, query, sent, signed, sent["x-acs-content-sha256"])
        sent["authorization"] = signing.control_authorization(self.key, signed, signature)
        return httpx.Request(method, url, headers=sent, content=content)

    def call(self, method: str, path: str, body: Any = None, /, **query: str) -> httpx.Response:
        """Send a control request with a JSON body."""
        content = b"" if body is None else json.dumps(body).encode()
        return self.client.send(self.control_request(method, path, query=list(query.items()), content=content))

    def done(self, method: str, path: str, body: Any = None, /, **query: str) -> Any:
        """Send a control request that must succeed; the data of its answer."""
        answer = self.call(method, path, body, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def refused(self, status: int, method: str, path: str, body: Any = None, /, **query: str) -> str:
        """Send a control request that must be refused; the message."""
        return refusal(self.call(method, path, body, **query), status)

    # Data plane

    def data_request(
        self,
        method: str,
        path: str,
        *,
        query: Pairs = (),
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        unsigned: Sequence[str] = (),
        region: str = REGION,
    ) -> httpx.Request:
        """A signed request to the data plane."""
        url = self.client.base_url.copy_with(raw_path=_raw(path, query))
        sent = {
            "host": url.netloc.decode(),
            "x-acs-date": self.date,
            "x-acs-content-sha256": signing.UNSIGNED_PAYLOAD,
            **({"x-acs-security-token": self.token} if self.token else {}),
            **(headers or {}),
        }
        signed = [name for name in sent if name not in unsigned]
        day = self.date.replace("-", "")[:8]
        signature = signing.sign_data(self.secret, day, region, method, path, urlencode(query), sent, signed)
        scope = signing.data_scope(day, region)
        sent[signing.DATA_HEADER] = signing.data_authorization(self.key, scope, signed, signature)
        return httpx.Request(method, url, headers=sent, content=content)

    def data(self, method: str, path: str, content: bytes = b"", **query: str) -> httpx.Response:
        """Send a data request."""
        return self.client.send(self.data_request(method, path, content=content, query=list(query.items())))


def account_of(emulator: Emulator, client: httpx.Client, key: str | None = None) -> Account:
    """An account in an emulator, a new one unless a key is named."""
    return Account(client, key or f"key-{uuid4().hex}", emulator.settings.secret)


def client_of(emulator: Emulator) -> httpx.Client:
    """A plain HTTP client for an emulator."""
    return httpx.Client(base_url=emulator.url, timeout=60, trust_env=False)


def refusal(answer: httpx.Response, status: int) -> str:
    """The message of an answer that must be an error of the service."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["code"] not in ("", "SUCCESS")
    assert body["requestId"] == answer.headers["x-acs-request-id"]
    message: str = body["message"]
    assert message
    return message


def segment(name: str) -> str:
    """A name as it stands in a path."""
    return quote(name, safe="")


def _raw(path: str, query: Pairs) -> bytes:
    return (f"{path}?{urlencode(query)}" if query else path).encode()


def _action(method: str, path: str) -> str:
    contract = DEVS_CONTRACT if path.startswith(DEVS_PREFIX) else CONTRACT
    return table(contract).route(method, path)[0].action
