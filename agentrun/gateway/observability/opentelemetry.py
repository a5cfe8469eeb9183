"""Spans of calls, by the semantic conventions of OpenTelemetry for generative AI; the `tracing` extra brings it."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace import TracerProvider as AnyProvider

from agentrun.gateway.call import Call
from agentrun.gateway.observability.tracing import EXPORTER, CallSpan
from agentrun.gateway.plan import Plan
from agentrun.gateway.routing.attempt import Answer
from agentrun.gateway.streaming.usage import Usage

# The names of operations in the conventions.
_OPERATIONS = {
    "chat/completions": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}


class OpenTelemetry:
    """Makes spans; bodies of messages are never in them. Without a provider they go where the process has said."""

    def __init__(self, provider: AnyProvider | None = None) -> None:
        self._tracer: Tracer = trace.get_tracer("agentrun.gateway", tracer_provider=provider)

    def begin(self, plan: Plan, call: Call) -> CallSpan:
        """The span of a call, below the one that its headers name."""
        operation = _OPERATIONS.get(call.operation, call.operation)
        attributes = {
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
        self._span = span
        carrier: MutableMapping[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        self.headers: Mapping[str, str] = carrier

    def answered(self, answer: Answer) -> None:
        """An endpoint has begun to answer."""
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
        """What the call has used."""
        self._set({"gen_ai.usage.input_tokens": usage.prompt, "gen_ai.usage.output_tokens": usage.completion})
        if usage.cached:
            self._set({"gen_ai.usage.cache_read.input_tokens": usage.cached})
        if cost is not None:
            self._set({"agentrun.cost": cost})

    def failed(self, code: str, message: str) -> None:
        """The call ended with an error."""
        self._set({"error.type": code})
        self._span.set_status(Status(StatusCode.ERROR, message))

    def end(self) -> None:
        """The call is over."""
        self._span.end()

    def _set(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes(attributes)


def exporting() -> OpenTelemetry:
    """Tracing that sends spans where OTEL_EXPORTER_OTLP_ENDPOINT says."""
    assert os.environ.get(EXPORTER)
    provider = TracerProvider(resource=Resource.create({"service.name": "agentrun-gateway"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OpenTelemetry(provider)
