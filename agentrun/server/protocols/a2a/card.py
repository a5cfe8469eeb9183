"""The card of an agent, which both lines of the protocol can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from agentrun.server.model import A2AProtocolConfig, A2ASkill

Json = dict[str, Any]

PATHS = ("/.well-known/agent-card.json", "/.well-known/agent.json")
_MODES = ["text/plain", "application/json", "image/*", "audio/*", "video/*", "application/octet-stream"]
_CHAT = A2ASkill(
    id="chat", name="Conversation", description="Answers messages in natural language", tags=["conversation"]
)
_KEY = {"location": "header", "name": "x-api-key"}
# How a key is shown, each in the words of 0.3 and of 1.0.
_SCHEMES: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "httpAuthSecurityScheme": {"scheme": "bearer"}},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "apiKeySecurityScheme": _KEY},
}


def card(config: A2AProtocolConfig, request: Request, *, needs_key: bool) -> Json:
    """Who the agent is, what it can do, where, and whether a key has to be shown."""
    url = endpoint_url(config, request)
    described: Json = {
        "name": config.name or request.app.title,
        "description": config.description or request.app.description or "An agent",
        "version": config.version,
        "protocolVersion": "0.3.0",
        "preferredTransport": "JSONRPC",
        "url": url,
        "supportedInterfaces": [_interface(url, "1.0"), _interface(url, "0.3")],
        "capabilities": {"streaming": True, "pushNotifications": False, "extendedAgentCard": False},
        "defaultInputModes": _MODES,
        "defaultOutputModes": _MODES,
        "skills": [skill.model_dump(exclude_none=True) for skill in config.skills or [_CHAT]],
    }
    if needs_key:
        described["securitySchemes"] = _SCHEMES
        described["security"] = [{name: []} for name in _SCHEMES]
        described["securityRequirements"] = [{"schemes": {name: {"list": []}}} for name in _SCHEMES]
    return described


def _interface(url: str, version: str) -> Json:
    return {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": version}


def endpoint_url(config: A2AProtocolConfig, request: Request) -> str:
    """Where requests go to, as those see it who asked for the card."""
    if config.public_url:
        return config.public_url
    return f"{_base(config, request).rstrip('/')}{endpoint_path(config) or '/'}"


def endpoint_path(config: A2AProtocolConfig) -> str:
    """The path of the endpoint, empty for the root."""
    prefix = A2AProtocolConfig().prefix if config.prefix is None else config.prefix
    return f"/{(prefix or '').strip('/')}".rstrip("/")


def _base(config: A2AProtocolConfig, request: Request) -> str:
    """The URL of the application, mounted or not; uvicorn has set its scheme by what a proxy says that it trusts."""
    url, path = request.base_url, f"{request.scope.get('root_path', '')}/"
    if not config.trust_forwarded:
        return str(url.replace(path=path))
    headers = request.headers
    prefix = _first(headers, "x-forwarded-prefix").rstrip("/")
    scheme, host = _first(headers, "x-forwarded-proto") or url.scheme, _first(headers, "x-forwarded-host")
    return str(url.replace(scheme=scheme, netloc=host or url.netloc, path=f"{prefix}{path}"))


def _first(headers: Mapping[str, str], name: str) -> str:
    """What the outermost of several proxies said."""
    return headers.get(name, "").partition(",")[0].strip()
