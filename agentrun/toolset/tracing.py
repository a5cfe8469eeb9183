"""The span of a call of a tool, by the conventions for generative AI; arguments and results are not in it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from agentrun._core.tracing import Span, current_scope, span

FAILED = "tool_error"


@contextmanager
def tool_call(name: str, kind: str) -> Generator[Span]:
    """The span of a call, for as long as a block lasts."""
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": kind}
    with span(f"execute_tool {name}", attributes) as found:
        if scope := current_scope():
            scope.tools.append(name)
        yield found
