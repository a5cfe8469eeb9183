"""The model endpoint of the emulator, and the scripts that decide what it answers."""

from __future__ import annotations

from agentrun.emulator.scripted.condition import AnyOf, Condition, When
from agentrun.emulator.scripted.conversation import Conversation, Message, Role, ToolCall, ToolResult
from agentrun.emulator.scripted.endpoint import ScriptedModel
from agentrun.emulator.scripted.latency import Latency
from agentrun.emulator.scripted.reply import Reply, ReplyError, Usage, count_tokens
from agentrun.emulator.scripted.script import Rule, Script, ScriptError, ScriptMismatchError

__all__ = [
    "AnyOf",
    "Condition",
    "Conversation",
    "Latency",
    "Message",
    "Reply",
    "ReplyError",
    "Role",
    "Rule",
    "Script",
    "ScriptError",
    "ScriptMismatchError",
    "ScriptedModel",
    "ToolCall",
    "ToolResult",
    "Usage",
    "When",
    "count_tokens",
]
