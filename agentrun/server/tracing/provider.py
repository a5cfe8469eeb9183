"""The provider of spans of this process: one that somebody set, or else one that does what the environment says.

Importing this loads OpenTelemetry, with what sends spans.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from opentelemetry import trace

from agentrun._serving.spans import TracingError, exporting, is_exporting, new_provider
from agentrun.server.tracing.exporter import RunSpans, StoreExporter
from agentrun.server.tracing.store import TraceStore

_MILLISECONDS_TO_FLUSH = 5000
_lock = threading.Lock()
_stored: set[Path] = set()
"""The files in which spans of this process are kept; a provider has no way to take an exporter back."""


def set_up(service: str, file: Path | None) -> None:
    """Make a provider unless there is one, and let it keep its spans in a file. Raises TracingError when it cannot.

    Spans are sent where the environment says only by a provider that is made here: who made another has said where its
    spans go.
    """
    with _lock:
        provider = _existing() or _made(service)
        if file and file not in _stored:
            _keep(provider, file)
            _stored.add(file)


def flush() -> None:
    """Hand over the spans that wait, for some seconds at most."""
    provider = _existing()
    if hasattr(provider, "force_flush"):
        provider.force_flush(_MILLISECONDS_TO_FLUSH)


def _existing() -> Any:
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


def _made(service: str) -> Any:
    provider = new_provider(service)
    if is_exporting():
        exporting(provider)
    trace.set_tracer_provider(provider)
    return provider


def _keep(provider: Any, file: Path) -> None:
    if not hasattr(provider, "add_span_processor"):
        raise TracingError(
            f"{type(provider).__name__} lets nobody else have its spans, so they cannot be kept in {file}"
        )
    provider.add_span_processor(RunSpans(StoreExporter(TraceStore(file))))
