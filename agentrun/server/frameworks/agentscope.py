"""Messages of AgentScope, of the 1.0 line or of 2, whichever is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from agentscope import __version__

from agentrun.server.model import Message

messages: Callable[[Sequence[Message]], list[Any]] = import_module(
    f"{__name__}_v{1 if __version__.startswith('1.') else 2}"
).messages
