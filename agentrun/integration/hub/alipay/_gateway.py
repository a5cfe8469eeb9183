"""Alipay's gateway: requests signed with our key (RSA2), answers whose signature is checked with Alipay's."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from agentrun._core.api import USER_AGENT
from agentrun._core.session import Request, Timeouts, session_for
from agentrun.errors import ConfigError, Executed, HTTPError, InvalidResponseError, ToolError, from_response
from agentrun.integration.hub._keys import Key
from agentrun.integration.hub.alipay._rsa import is_signed, read_private_key, read_public_key, signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from agentrun.config import Config

GATEWAY = "https://openapi.alipay.com/gateway.do"
SANDBOX_GATEWAY = "https://openapi-sandbox.dl.alipaydev.com/gateway.do"
CHANNEL = "agentrun"
_CHINA = timezone(timedelta(hours=8))  # Alipay reads times in China's, whatever the machine's are.
_SUCCESS = "10000"
_UNKNOWN = "20000"  # The service is unavailable: nobody knows what became of the request.


@dataclass(frozen=True)
class AlipayOptions:
    """How Alipay is reached, and who we are there; what is not given comes from the environment.

    ALIPAY_APP_ID; ALIPAY_PRIVATE_KEY, our own RSA key, or the secret of the Credential named `credential_name`;
    ALIPAY_PUBLIC_KEY, Alipay's, with which answers are checked; AP_RETURN_URL and AP_NOTIFY_URL; AP_CURRENT_ENV, where
    `sandbox` means Alipay's sandbox; SUBSCRIBE_PLAN_ID, X_AGENT_NAME and USE_TIMES for subscriptions. Keys are PEM or
    its base64 alone. `channel` names who sells, as Alipay knows it.
    """

    app_id: str | None = None
    private_key: str | None = None
    alipay_public_key: str | None = None
    credential_name: str | None = None
    gateway: str | None = None
    return_url: str | None = None
    notify_url: str | None = None
    plan_id: str | None = None
    agent_name: str | None = None
    use_times: int | None = None
    channel: str = CHANNEL
    config: Config | None = None
    timeout: float = 30.0

    def __repr__(self) -> str:
        return f"AlipayOptions(app_id={self.app_id!r}, credential_name={self.credential_name!r})"

    def setting(self, given: Any, variable: str, what: str) -> str:
        """A setting that must be there; raises ConfigError, which names the variable."""
        found = given or os.environ.get(variable)
        if not found:
            raise ConfigError(f"Alipay needs {what}", hint=f"Set {variable}, or give it to the tools")
        return str(found)

    @property
    def gateway_url(self) -> str:
        """Where requests go."""
        is_sandbox = os.environ.get("AP_CURRENT_ENV", "").lower() == "sandbox"
        return self.gateway or (SANDBOX_GATEWAY if is_sandbox else GATEWAY)


class Gateway:
    """Alipay, as one app knows it."""

    def __init__(self, options: AlipayOptions) -> None:
        self.options = options
        self._key = Key("Alipay", "ALIPAY_PRIVATE_KEY", options.private_key, options.credential_name, options.config)

    async def page_url(self, method: str, content: Mapping[str, Any]) -> str:
        """The signed address of a page of Alipay's, such as the one that pays; nothing is asked of Alipay yet."""
        extra = {
            "return_url": self.options.return_url or os.environ.get("AP_RETURN_URL"),
            "notify_url": self.options.notify_url or os.environ.get("AP_NOTIFY_URL"),
        }
        signed = await self._signed(method, content, {name: value for name, value in extra.items() if value})
        return f"{self.options.gateway_url}?{urlencode(signed)}"

    async def call(self, method: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """What Alipay answers; raises ToolError when it refuses, InvalidResponseError when it was not Alipay."""
        public_key = self._public_key()
        form = urlencode(await self._signed(method, content, {})).encode()
        kind = {"content-type": "application/x-www-form-urlencoded;charset=utf-8", "user-agent": USER_AGENT}
        seconds = self.options.timeout
        request = Request("POST", self.options.gateway_url, kind, form, Timeouts(seconds, min(seconds, 10.0), seconds))
        reply = await session_for(None).send(request)
        if reply.status >= 400:
            raise _refused(reply.status)
        return _answered(method, reply.content, public_key)

    async def _signed(self, method: str, content: Mapping[str, Any], extra: Mapping[str, str]) -> dict[str, str]:
        fields = {
            "app_id": self.options.setting(self.options.app_id, "ALIPAY_APP_ID", "an app id"),
            "method": method,
            "format": "json",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": datetime.now(_CHINA).strftime("%Y-%m-%d %H:%M:%S"),
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
            **extra,
        }
        return {**fields, "sign": signature(read_private_key(await self._key.get()), signed_text(fields))}

    def _public_key(self) -> RSAPublicKey:
        return read_public_key(
            self.options.setting(self.options.alipay_public_key, "ALIPAY_PUBLIC_KEY", "Alipay's public key")
        )


def signed_text(fields: Mapping[str, str]) -> str:
    """What is signed: all fields that have a value, sorted by name."""
    return "&".join(f"{name}={value}" for name, value in sorted(fields.items()) if value)


def _refused(status: int) -> HTTPError:
    return from_response(status, f"Alipay's gateway answered with status {status}")


def _answered(method: str, body: bytes, key: RSAPublicKey) -> dict[str, Any]:
    """The content of an answer, once its signature has been checked."""
    name = f"{method.replace('.', '_')}_response"
    try:
        text = body.decode()
        whole = json.loads(text)
    except ValueError as error:
        raise InvalidResponseError(f"Alipay's answer is no JSON: {body[:200]!r}") from error
    inner = next((each for each in (name, "error_response") if each in whole), None)
    if inner is None:
        raise InvalidResponseError(f"Alipay's answer has no {name}")
    content = cast("dict[str, Any]", whole[inner])
    # An answer to a request that Alipay could not attribute to an app is not signed, and says only what went wrong.
    if "sign" not in whole and content.get("code") != _SUCCESS:
        raise _error(method, content)
    if not is_signed(key, _raw(text, inner).encode(), str(whole.get("sign") or "")):
        raise InvalidResponseError("the answer is not signed by Alipay", hint="Check ALIPAY_PUBLIC_KEY and the gateway")
    if content.get("code") != _SUCCESS:
        raise _error(method, content)
    return content


def _raw(text: str, name: str) -> str:
    """A member of an object as it is written, because that is what was signed."""
    position = text.index(f'"{name}"') + len(name) + 2
    position = text.index(":", position) + 1
    position += len(text[position:]) - len(text[position:].lstrip())
    return text[position : json.JSONDecoder().raw_decode(text, position)[1]]


def _error(method: str, content: Mapping[str, Any]) -> ToolError:
    code = str(content.get("code"))
    return ToolError(
        str(content.get("sub_msg") or content.get("msg") or "Alipay refused the call"),
        tool=method,
        error_code=str(content.get("sub_code") or code),
        executed=Executed.UNKNOWN if code == _UNKNOWN else Executed.NO,
    )
