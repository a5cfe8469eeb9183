"""An agent on a port of its own, whose spans a test sees."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentrun.server import ServerConfig
from agentrun.server.engine import Engine
from agentrun.server.tracing.around import Tracing
from tests.gateway.serving import LOOPS, on_port, plain_client, wait_until
from tests.unit.server.serving import Served


@dataclass
class Traced(Served):
    """A server, and the spans that ended."""

    exporter: InMemorySpanExporter

    def ask(self, text: str = "hi", *, stream: bool = False, **headers: str) -> Any:
        """Ask by the Chat Completions protocol; a stream is read to its end."""
        asked: Any = [{"role": "user", "content": text}]
        client = self.openai().with_options(max_retries=0)
        answer: Any = client.chat.completions.create(
            model="agentrun", messages=asked, stream=stream, extra_headers=headers
        )
        return list(answer) if stream else answer

    def spans(self, *, of: int = 1) -> Sequence[ReadableSpan]:
        """The spans of so many runs, as they ended; the next call tells of later runs."""
        wait_until(lambda: sum(name(span).startswith("invoke_agent") for span in self._ended()) == of)
        found = self._ended()
        self.exporter.clear()
        return found

    def _ended(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def run(self) -> ReadableSpan:
        """The span of the only run."""
        return next(span for span in self.spans() if name(span).startswith("invoke_agent"))


def name(span: ReadableSpan) -> str:
    return span.name


def told(span: ReadableSpan, attribute: str) -> Any:
    """An attribute, None without it."""
    return (span.attributes or {}).get(attribute)


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context
    return context.span_id


def is_below(span: ReadableSpan, parent: ReadableSpan) -> bool:
    """Whether it is a child."""
    context, above = span.get_span_context(), parent.get_span_context()
    assert context
    assert above
    return span.parent is not None and (span.parent.span_id, context.trace_id) == (above.span_id, above.trace_id)


@contextmanager
def traced(handler: Any, config: ServerConfig | None = None) -> Generator[Traced, None, None]:
    """A server for this agent, until the end of the block."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    config = config or ServerConfig()
    app = FastAPI()
    Engine(handler, config, around=[Tracing("guide", config, provider).around]).install(app)
    served: Any = app
    with on_port(served, LOOPS["uvloop"]) as port, plain_client() as http:
        yield Traced(port, http, exporter)
