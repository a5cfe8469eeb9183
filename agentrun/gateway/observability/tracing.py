"""How calls are traced, by whatever traces them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from agentrun.gateway.call import Call
from agentrun.gateway.plan import Plan
from agentrun.gateway.streaming.usage import Usage

if TYPE_CHECKING:
    from agentrun.gateway.routing.attempt import Answer

EXPORTER = "OTEL_EXPORTER_OTLP_ENDPOINT"


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


class TracingError(Exception):
    """Calls were to be traced, and cannot be."""


def find_tracing() -> Tracing | None:
    """Tracing that sends spans where OTEL_EXPORTER_OTLP_ENDPOINT says, None where nothing does.

    Raises TracingError when what sends them is not installed.
    """
    if not os.environ.get(EXPORTER):
        return None
    try:
        module = import_module("agentrun.gateway.observability.opentelemetry")
    except ImportError as error:
        raise TracingError(f"{EXPORTER} needs OpenTelemetry: pip install 'agentrun[tracing]'") from error
    tracing: Tracing = module.exporting()
    return tracing
