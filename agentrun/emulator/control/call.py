"""A control request after it was routed, checked and authenticated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agentrun.emulator.auth import Tenant
from agentrun.emulator.store import Scope


@dataclass(frozen=True)
class Call:
    """Who asks for what: the names in the path, the query, the body without what was not given."""

    tenant: Tenant
    names: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def scope(self) -> Scope:
        """Where the caller's resources are."""
        return self.tenant.scope

    @property
    def label(self) -> str:
        """The first name in the path."""
        return self.names[0]


Handler: TypeAlias = Callable[[Call], Awaitable[dict[str, Any]]]
