"""How calls are traced, by whatever traces them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from agentrun._serving.spans import exporting, is_exporting, new_provider
from agentrun.gateway.call import Call
from agentrun.gateway.plan import Plan
from agentrun.gateway.streaming.usage import Usage

if TYPE_CHECKING:
    from agentrun.gateway.routing.attempt import Answer


class CallSpan(Protocol):
    """The span of one call."""

    headers: Mapping[str, str]
    """What tells an endpoint which trace its own spans belong to."""

    def answered(self, answer: Answer) -> None:
        """An endpoint has begun to answer."""
        ...

    def used(self, usage: Usage, cost: float | None) -> None:
        """What the call has used."""
        ...

    def failed(self, code: str, message: str) -> None:
        """The call ended with an error."""
        ...

    def end(self) -> None:
        """The call is over."""
        ...


class Tracing(Protocol):
    """Makes spans of calls."""

    def begin(self, plan: Plan, call: Call) -> CallSpan:
        """The span of a call."""
        ...


def find_tracing() -> Tracing | None:
    """Tracing that sends spans where OTEL_EXPORTER_OTLP_ENDPOINT says, None where nothing does.

    Raises TracingError when what sends them is not installed.
    """
    if not is_exporting():
        return None
    provider = exporting(new_provider("agentrun-gateway"))
    tracing: Tracing = import_module("agentrun.gateway.observability.opentelemetry").OpenTelemetry(provider)
    return tracing
