"""Spans of what is done here, by OpenTelemetry; without a provider of spans they are nothing, and cost next to nothing.

This loads nothing of OpenTelemetry: whoever set a provider up has done so. It is that of the process, or the one of
the run to which the caller belongs.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

Kind: TypeAlias = Literal["INTERNAL", "CLIENT"]

SCOPE = "agentrun-tracing"
"""Where the scope of a run is in a context of OpenTelemetry."""
MODEL_OPERATIONS = {
    "chat/completions": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
"""What the conventions for generative AI call the operations of the OpenAI protocol, by their paths."""
_NAME = "agentrun"


@dataclass(frozen=True)
class Scope:
    """What makes the spans of a run, and the tools that had a span of their own in it, by name."""

    tracer: Tracer
    tools: list[str] = field(default_factory=list[str])


def current_scope() -> Scope | None:
    """What makes spans here, None where nothing does."""
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    try:
        found: Any = sys.modules["opentelemetry.context"].get_value(SCOPE)
        return found or _of_process(api)
    except (AttributeError, KeyError):  # Another thread is just about to load it.
        return None


def _of_process(api: Any) -> Scope | None:
    provider = api.get_tracer_provider()
    if isinstance(provider, (api.ProxyTracerProvider, api.NoOpTracerProvider)):
        return None
    return Scope(provider.get_tracer(_NAME))


class Span:
    """A span under way; this one is nothing."""

    is_recording = False
    """Whether anybody will see it."""

    headers: Mapping[str, str] = {}
    """What tells a server which span its own are below."""

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes, without those that are None."""

    def fail(self, kind: str, message: str | None = None) -> None:
        """Mark the span as failed; the message must hold no secret, and nothing of what was asked or answered."""

    def end(self, error: BaseException | None = None) -> None:
        """Say that it is over, with the error that ended it; calling it twice is allowed."""

    @contextmanager
    def current(self) -> Generator[None]:
        """Spans made within are below this one."""
        yield


_NOTHING = Span()


def begin(name: str, attributes: Mapping[str, Any], kind: Kind = "INTERNAL") -> Span:
    """A span below the current one, which its caller ends; attributes that are None are left out."""
    scope = current_scope()
    if scope is None:
        return _NOTHING
    started: Span = import_module("agentrun._core.open_span").OpenSpan.start(scope.tracer, name, attributes, kind)
    return started


@contextmanager
def span(name: str, attributes: Mapping[str, Any], kind: Kind = "INTERNAL") -> Generator[Span]:
    """A span for as long as a block lasts; an error that leaves the block marks it as failed."""
    found = begin(name, attributes, kind)
    try:
        with found.current():
            yield found
    except BaseException as error:
        found.end(error)
        raise
    found.end()
