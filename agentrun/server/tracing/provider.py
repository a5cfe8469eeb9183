"""The provider of spans of this process: one that somebody set, or else one that does what the environment says."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentrun._serving.spans import TracingError, exporting, is_exporting, new_provider
from agentrun.errors import ConfigError

_MILLISECONDS_TO_FLUSH = 5000
_log = logging.getLogger("agentrun.server")
_lock = threading.Lock()
_stored: set[Path] = set()
"""The files in which spans of this process are kept; a provider has no way to take an exporter back."""


def set_up(service: str, file: Path | None) -> None:
    """Make a provider unless there is one, and let it keep its spans in a file. Raises ConfigError when it cannot.

    Spans are sent where the environment says only by a provider that is made here: who made another has said where its
    spans go.
    """
    with _lock:
        try:
            provider = _existing() or _made(service)
            if file and file not in _stored:
                _keep(provider, file)
                _stored.add(file)
        except TracingError as error:
            if file:
                raise ConfigError(str(error), hint="Install it, or do not ask for traces") from error
            _log.warning("Spans are not sent: %s", error)


def flush() -> None:
    """Hand over the spans that wait, for some seconds at most."""
    with suppress(TracingError):
        provider = _existing()
        if hasattr(provider, "force_flush"):
            provider.force_flush(_MILLISECONDS_TO_FLUSH)


def _existing() -> Any:
    try:
        from opentelemetry import trace
    except ImportError as error:
        raise TracingError(f"traces need {error.name}: pip install 'agentrun[tracing]'") from error
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


def _made(service: str) -> Any:
    from opentelemetry import trace

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
    from agentrun.server.tracing.exporter import RunSpans, StoreExporter
    from agentrun.server.tracing.store import TraceStore

    provider.add_span_processor(RunSpans(StoreExporter(TraceStore(file))))
