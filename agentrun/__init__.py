"""agentrun: the SDK for AgentRun-compatible agent platforms, with the platform in its pocket.

Importing this module loads nothing else: a name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun.agent_runtime import *
    from agentrun.config import Config as Config
    from agentrun.credential import *
    from agentrun.errors import *
    from agentrun.model import *
    from agentrun.sandbox import *
    from agentrun.status import NetworkMode as NetworkMode
    from agentrun.status import Status as Status

__version__ = "0.1.0"

