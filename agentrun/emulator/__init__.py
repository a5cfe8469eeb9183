"""The platform in a box: the same signed HTTP, real agents and real sandboxes, on this machine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun.emulator.app import build_app as build_app
    from agentrun.emulator.clock import ManualClock as ManualClock
    from agentrun.emulator.data.models import Conversation as Conversation
    from agentrun.emulator.data.models import Reply as Reply
    from agentrun.emulator.data.models import ReplyError as ReplyError
    from agentrun.emulator.data.models import Rule as Rule
    from agentrun.emulator.data.models import Script as Script
    from agentrun.emulator.data.models import ToolCall as ToolCall
    from agentrun.emulator.data.models import When as When
    from agentrun.emulator.server import Emulator as Emulator
    from agentrun.emulator.server import EmulatorError as EmulatorError
    from agentrun.emulator.settings import Settings as Settings

# The guest inside a sandbox is part of this package and must not load the emulator, so names are looked up when used.
_WHERE = {
    "Conversation": "data.models",
    "Emulator": "server",
    "EmulatorError": "server",
    "ManualClock": "clock",
    "Reply": "data.models",
    "ReplyError": "data.models",
    "Rule": "data.models",
    "Script": "data.models",
    "Settings": "settings",
    "ToolCall": "data.models",
    "When": "data.models",
    "build_app": "app",
}
__all__ = [
    "Conversation",
    "Emulator",
    "EmulatorError",
    "ManualClock",
    "Reply",
    "ReplyError",
    "Rule",
    "Script",
    "Settings",
    "ToolCall",
    "When",
    "build_app",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
