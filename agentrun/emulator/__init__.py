"""The platform in a box: the same signed HTTP, real agents and real sandboxes, on this machine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun.emulator.app import build_app as build_app
    from agentrun.emulator.clock import ManualClock as ManualClock
    from agentrun.emulator.recordings import RecordTo as RecordTo
    from agentrun.emulator.recordings import ReplayFrom as ReplayFrom
    from agentrun.emulator.scripted import Conversation as Conversation
    from agentrun.emulator.scripted import Latency as Latency
    from agentrun.emulator.scripted import Reply as Reply
    from agentrun.emulator.scripted import ReplyError as ReplyError
    from agentrun.emulator.scripted import Rule as Rule
    from agentrun.emulator.scripted import Script as Script
    from agentrun.emulator.scripted import ToolCall as ToolCall
    from agentrun.emulator.scripted import Usage as Usage
    from agentrun.emulator.scripted import When as When
    from agentrun.emulator.server import Emulator as Emulator
    from agentrun.emulator.server import EmulatorError as EmulatorError
    from agentrun.emulator.settings import Settings as Settings

# The guest inside a sandbox is part of this package and must not load the emulator, so names are looked up when used.
_WHERE = {
    "Conversation": "scripted",
    "Emulator": "server",
    "EmulatorError": "server",
    "Latency": "scripted",
    "ManualClock": "clock",
    "RecordTo": "recordings",
    "ReplayFrom": "recordings",
    "Reply": "scripted",
    "ReplyError": "scripted",
    "Rule": "scripted",
    "Script": "scripted",
    "Settings": "settings",
    "ToolCall": "scripted",
    "Usage": "scripted",
    "When": "scripted",
    "build_app": "app",
}
__all__ = [
    "Conversation",
    "Emulator",
    "EmulatorError",
    "Latency",
    "ManualClock",
    "RecordTo",
    "ReplayFrom",
    "Reply",
    "ReplyError",
    "Rule",
    "Script",
    "Settings",
    "ToolCall",
    "Usage",
    "When",
    "build_app",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
