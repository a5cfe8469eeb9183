"""Spans of OpenTelemetry under way, whose package is loaded with this."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, attach, detach
from opentelemetry.propagate import inject
from opentelemetry.trace import Span as OpenTelemetrySpan
from opentelemetry.trace import SpanKind, StatusCode, Tracer, set_span_in_context

from agentrun._core.tracing import Kind, Span

if TYPE_CHECKING:
    from typing_extensions import Self


class OpenSpan(Span):
    """A span that somebody will see."""

    is_recording = True

    def __init__(self, span: OpenTelemetrySpan, parent: Context | None = None) -> None:
        self.context = set_span_in_context(span, parent)
        headers = dict[str, str]()
        inject(headers, self.context)
        self.headers: Mapping[str, str] = headers
        self._span = span
        self._has_ended = False

    @classmethod
    def start(
        cls,
        tracer: Tracer,
        name: str,
        attributes: Mapping[str, Any],
        kind: Kind = "INTERNAL",
        parent: Context | None = None,
        start_time: int | None = None,
    ) -> Self:
        """A span below the one of the parent or else the current one; `start_time` is nanoseconds since 1970."""
        span = tracer.start_span(name, parent, SpanKind[kind], _known(attributes), start_time=start_time)
        return cls(span, parent)

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes, without those that are None."""
        self._span.set_attributes(_known(attributes))

    def fail(self, kind: str, message: str | None = None) -> None:
        """Mark the span as failed; the message must hold no secret, and nothing of what was asked or answered."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR, message)

    def end(self, error: BaseException | None = None, end_time: int | None = None) -> None:
        """Say that it is over, with the error that ended it; calling it twice is allowed.

        A cancellation is no failure. `end_time` is nanoseconds since 1970.
        """
        if self._has_ended:
            return
        self._has_ended = True
        if isinstance(error, Exception):
            self.fail(type(error).__name__)  # Texts of errors quote what was sent, and what was answered.
        self._span.end(end_time)

    @contextmanager
    def current(self) -> Generator[None]:
        """Spans made within are below this one."""
        token = attach(self.context)
        try:
            yield
        finally:
            detach(token)


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
