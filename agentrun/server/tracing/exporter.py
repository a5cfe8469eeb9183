"""Puts spans of OpenTelemetry into a file."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence

from opentelemetry.context import Context, get_value
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import format_span_id, format_trace_id

from agentrun._core.tracing import SCOPE
from agentrun.server.tracing.record import OPERATION, RUN, SpanRecord
from agentrun.server.tracing.store import TraceStore

_MILLISECONDS = 300.0
_log = logging.getLogger("agentrun.server")


class StoreExporter(SpanExporter):
    """Keeps spans in a store; when it cannot, the log says so once, and nobody else notices."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._has_failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep some spans."""
        try:
            self._store.add(record for span in spans if (record := _record(span)))
        except (sqlite3.Error, OSError) as error:
            if not self._has_failed:
                self._has_failed = True
                _log.warning("Traces cannot be kept in %s: %s", self._store.file, error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS


class RunSpans(BatchSpanProcessor):
    """Gives an exporter the spans of runs and what is below them, and none of other requests to the same server."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(exporter, schedule_delay_millis=_MILLISECONDS)
        self._under_way: set[int] = set()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Take note of a span that belongs to a run."""
        if get_value(SCOPE, parent_context) or (span.attributes or {}).get(OPERATION) == RUN:
            self._under_way.add(span.get_span_context().span_id)

    def on_end(self, span: ReadableSpan) -> None:
        """Give it to the exporter."""
        context = span.get_span_context()
        if context and context.span_id in self._under_way:
            self._under_way.discard(context.span_id)
            super().on_end(span)


def _record(span: ReadableSpan) -> SpanRecord | None:
    context = span.get_span_context()
    if context is None or span.start_time is None or span.end_time is None:
        return None
    return SpanRecord(
        format_span_id(context.span_id),
        format_trace_id(context.trace_id),
        format_span_id(span.parent.span_id) if span.parent else None,
        span.name,
        span.start_time,
        span.end_time,
        span.status.status_code.name.lower(),
        span.status.description,
        dict(span.attributes or {}),
    )
