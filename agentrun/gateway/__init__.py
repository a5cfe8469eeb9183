"""A gateway for models: one OpenAI-compatible endpoint in front of many, which routes, limits, caches and counts.

`GatewayFile` says what is served, `application` makes an ASGI application of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun.gateway.file import GatewayFile as GatewayFile
    from agentrun.gateway.file import GatewayFileError as GatewayFileError
    from agentrun.gateway.serving import application as application

# Looked up when used: the emulator mounts parts of the gateway, and needs neither its file nor its server.
_WHERE = {"GatewayFile": "file", "GatewayFileError": "file", "application": "serving"}
__all__ = ["GatewayFile", "GatewayFileError", "application"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
