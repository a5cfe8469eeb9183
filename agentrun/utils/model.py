"""The shared models under the official client's path."""

from __future__ import annotations

from pydantic.alias_generators import to_camel

from agentrun._core.model import Model as BaseModel
from agentrun._core.model import PageableInput
from agentrun._core.network import NetworkConfig
from agentrun.status import NetworkMode, Status

__all__ = ["BaseModel", "NetworkConfig", "NetworkMode", "PageableInput", "Status", "to_camel_case"]


def to_camel_case(field_name: str) -> str:
    """The wire's name of a field that has none of its own."""
    return to_camel(field_name)
