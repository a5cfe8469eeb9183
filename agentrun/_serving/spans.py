"""Where the spans of a server go: to whatever takes OTLP, as the environment says; the `tracing` extra brings it."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_ENDPOINTS = (ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
# What makes an exporter for each protocol, and the package that it is in.
_EXPORTERS = {
    "http/protobuf": ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "'agentrun[tracing]'"),
    "grpc": ("opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "opentelemetry-exporter-otlp-proto-grpc"),
}


class TracingError(Exception):
    """Something was to be traced, and cannot be; the text says what to do."""


def is_exporting() -> bool:
    """Whether the environment says that spans are to be sent somewhere."""
    return any(map(os.environ.get, _ENDPOINTS)) and os.environ.get("OTEL_TRACES_EXPORTER") != "none"


def new_provider(service: str) -> TracerProvider:
    """A provider of spans under the name of a service, unless OTEL_SERVICE_NAME has another. Raises TracingError."""
    resources, sdk = loaded("opentelemetry.sdk.resources"), loaded("opentelemetry.sdk.trace")
    said = resources.OTELResourceDetector().detect().attributes
    name = {} if resources.SERVICE_NAME in said else {resources.SERVICE_NAME: service}
    provider: TracerProvider = sdk.TracerProvider(resource=resources.Resource.create(name))
    return provider


def exporting(provider: TracerProvider) -> TracerProvider:
    """The same provider, whose spans are sent where the environment says. Raises TracingError."""
    protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), "http/protobuf")
    if protocol not in _EXPORTERS:
        raise TracingError(f"{_PROTOCOLS[1]} is {protocol!r}: spans can be sent by {' or '.join(_EXPORTERS)}")
    module, package = _EXPORTERS[protocol]
    exporter = loaded(module, package).OTLPSpanExporter()
    provider.add_span_processor(loaded("opentelemetry.sdk.trace.export").BatchSpanProcessor(exporter))
    return provider


def loaded(module: str, package: str = "'agentrun[tracing]'") -> Any:
    """A module that needs a package; raises TracingError, which names it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise TracingError(f"traces need {error.name}: pip install {package}") from error
