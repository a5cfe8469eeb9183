"""Spans as they are kept and shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

OPERATION = "gen_ai.operation.name"
OUTCOME = "agentrun.outcome"
RUN = "invoke_agent"


@dataclass(frozen=True)
class SpanRecord:
    """A span that has ended; times are nanoseconds since 1970, `status` is "unset", "ok" or "error".

    `number` grows with each span that is kept.
    """

    span_id: str
    trace_id: str
    parent_id: str | None
    name: str
    started: int
    ended: int
    status: str = "unset"
    message: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    number: int = 0

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return (self.ended - self.started) / 1e6

    @property
    def is_run(self) -> bool:
        """Whether it is that of a whole run."""
        return self.attributes.get(OPERATION) == RUN

    @property
    def agent(self) -> str | None:
        """The agent that ran."""
        return self.attributes.get("gen_ai.agent.name")

    @property
    def tokens(self) -> tuple[int, int]:
        """How many went in, and how many came out."""
        kinds = ("input", "output")
        found = [int(self.attributes.get(f"gen_ai.usage.{kind}_tokens") or 0) for kind in kinds]
        return found[0], found[1]

    @property
    def error(self) -> str | None:
        """What kind of error ended it."""
        return self.attributes.get("error.type")

    @property
    def outcome(self) -> str:
        """How a run ended: "completed", "failed" or "cancelled"."""
        return self.attributes.get(OUTCOME) or ("failed" if self.status == "error" else "completed")

    def to_json(self) -> dict[str, Any]:
        """All of it; `started` is seconds since 1970."""
        return {
            "id": self.span_id,
            "trace_id": self.trace_id,
            "parent_id": self.parent_id,
            "name": self.name,
            "started": self.started / 1e9,
            "duration_ms": self.milliseconds,
            "status": self.status,
            "message": self.message,
            "attributes": self.attributes,
        }

    def run_to_json(self) -> dict[str, Any]:
        """What a list of runs says of one."""
        first = self.attributes.get("gen_ai.response.time_to_first_chunk")
        return {
            "id": self.span_id,
            "trace_id": self.trace_id,
            "number": self.number,
            "started": self.started / 1e9,
            "duration_ms": self.milliseconds,
            "first_event_ms": None if first is None else first * 1000,
            "agent": self.agent,
            "session_id": self.attributes.get("gen_ai.conversation.id"),
            "protocol": self.attributes.get("agentrun.protocol"),
            "input_tokens": self.tokens[0],
            "output_tokens": self.tokens[1],
            "outcome": self.outcome,
            "error": self.error,
            "message": self.message,
        }


def below(spans: Sequence[SpanRecord], top: str) -> Iterator[SpanRecord]:
    """The span with an id, and all that are below it."""
    parents = {span.span_id: span.parent_id for span in spans}
    for span in spans:
        at: str | None = span.span_id
        seen = set[str]()
        while at is not None and at != top and at not in seen:
            seen.add(at)
            at = parents.get(at)
        if at == top:
            yield span
