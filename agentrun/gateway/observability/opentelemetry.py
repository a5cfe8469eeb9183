"""Spans of calls, by the semantic conventions of OpenTelemetry for generative AI; the `tracing` extra brings it."""

from __future__ import annotations

from opentelemetry import propagate, trace
from opentelemetry.trace import Tracer
from opentelemetry.trace import TracerProvider as AnyProvider

from agentrun._core.open_span import OpenSpan
from agentrun._core.tracing import MODEL_OPERATIONS
from agentrun.gateway.call import Call
from agentrun.gateway.observability.tracing import CallSpan
from agentrun.gateway.plan import Plan
from agentrun.gateway.routing.attempt import Answer
from agentrun.gateway.streaming.usage import Usage


class OpenTelemetry:
    """Makes spans; bodies of messages are never in them. Without a provider they go where the process has said."""

    def __init__(self, provider: AnyProvider | None = None) -> None:
        self._tracer: Tracer = trace.get_tracer("agentrun.gateway", tracer_provider=provider)

    def begin(self, plan: Plan, call: Call) -> CallSpan:
        """The span of a call, below the one that its headers name."""
        operation = MODEL_OPERATIONS.get(call.operation, call.operation)
        attributes = {
            "gen_ai.operation.name": operation,
            "gen_ai.request.model": call.model or plan.name,
            "gen_ai.conversation.id": call.session or None,
            "agentrun.proxy": plan.name,
            "agentrun.key": call.caller.key or None,
        }
        name = f"{operation} {call.model or plan.name}"
        return _CallSpan.start(self._tracer, name, attributes, "CLIENT", propagate.extract(call.headers))


class _CallSpan(OpenSpan):
    def answered(self, answer: Answer) -> None:
        """An endpoint has begun to answer."""
        target = answer.target
        self.set(
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
        self.set({"gen_ai.usage.input_tokens": usage.prompt, "gen_ai.usage.output_tokens": usage.completion})
        if usage.cached:
            self.set({"gen_ai.usage.cache_read.input_tokens": usage.cached})
        if cost is not None:
            self.set({"agentrun.cost": cost})

    def failed(self, code: str, message: str) -> None:
        """The call ended with an error."""
        self.fail(code, message)
