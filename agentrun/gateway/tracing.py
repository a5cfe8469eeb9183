"""Spans of calls, by the semantic conventions of OpenTelemetry for generative AI; the `tracing` extra brings them."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from agentrun.gateway.call import Call
from agentrun.gateway.plan import Plan
from agentrun.gateway.usage import Usage

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from agentrun.gateway.attempt import Answer

_EXPORTER = "OTEL_EXPORTER_OTLP_ENDPOINT"
# The names of operations in the conventions.
_OPERATIONS = {
    "chat/completions": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}


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


class Tracing:
    """Makes spans; bodies of messages are never in them."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @classmethod
    def find(cls) -> Tracing | None:
        """Tracing by the provider that the process has set up; None where OpenTelemetry is not installed."""
        if find_spec("opentelemetry") is None:
            return None
        from opentelemetry import trace

        return cls(trace.get_tracer("agentrun.gateway"))

    def begin(self, plan: Plan, call: Call) -> CallSpan:
        """The span of a call, below the one that its headers name."""
        from opentelemetry import propagate
        from opentelemetry.trace import SpanKind

        operation = _OPERATIONS.get(call.operation, call.operation)
        attributes: dict[str, str] = {
            "gen_ai.operation.name": operation,
            "gen_ai.request.model": call.model or plan.name,
            "gen_ai.conversation.id": call.session,
            "agentrun.proxy": plan.name,
            "agentrun.key": call.caller.key,
        }
        span = self._tracer.start_span(
            f"{operation} {call.model or plan.name}",
            propagate.extract(call.headers),
            SpanKind.CLIENT,
            {name: value for name, value in attributes.items() if value},
        )
        return _OpenSpan(span)


class _OpenSpan:
    def __init__(self, span: Span) -> None:
        from opentelemetry import propagate, trace

        self._span = span
        carrier: MutableMapping[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        self.headers: Mapping[str, str] = carrier

    def answered(self, answer: Answer) -> None:
        target = answer.target
        self._set(
            {
                "gen_ai.provider.name": target.name,
                "gen_ai.response.model": answer.choice.model,
                "server.address": target.host.name,
                "server.port": target.host.port,
                "agentrun.attempts": answer.attempts,
                "gen_ai.response.time_to_first_chunk": answer.first_byte - answer.began,
            }
        )

    def used(self, usage: Usage, cost: float | None) -> None:
        self._set({"gen_ai.usage.input_tokens": usage.prompt, "gen_ai.usage.output_tokens": usage.completion})
        if usage.cached:
            self._set({"gen_ai.usage.cache_read.input_tokens": usage.cached})
        if cost is not None:
            self._set({"agentrun.cost": cost})

    def failed(self, code: str, message: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._set({"error.type": code})
        self._span.set_status(Status(StatusCode.ERROR, message))

    def end(self) -> None:
        self._span.end()

    def _set(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes(attributes)


def export_if_configured() -> bool:
    """Send spans where `OTEL_EXPORTER_OTLP_ENDPOINT` says; returns whether they are sent anywhere."""
    if not os.environ.get(_EXPORTER) or find_spec("opentelemetry.sdk") is None:
        return False
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "agentrun-gateway"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True
