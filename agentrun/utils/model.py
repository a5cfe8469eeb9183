"""The shared models under the official client's path."""

from __future__ import annotations

from pydantic.alias_generators import to_camel as to_camel_case

from agentrun._core.model import Model as BaseModel
from agentrun._core.model import PageableInput
from agentrun._core.network import NetworkConfig
from agentrun.status import NetworkMode, Status

__all__ = ["BaseModel", "NetworkConfig", "NetworkMode", "PageableInput", "Status", "to_camel_case"]
