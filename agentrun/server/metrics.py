"""What a server has done, for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from agentrun._serving.histogram import Histogram
from agentrun._serving.prometheus import MEDIA_TYPE, histogram, metric
from agentrun.server.events import AgentEvent
from agentrun.server.model import AgentRequest
from agentrun.server.watching import Outcome, Watch, watched

_PREFIX = "agentrun_server_"


@dataclass
class _Counts:
    """The runs that one protocol asked for."""

    started: int = 0
    ended: Counter[Outcome] = field(default_factory=lambda: Counter(dict.fromkeys(Outcome, 0)))
    tokens: Counter[str] = field(default_factory=Counter[str])
    duration: Histogram = field(default_factory=Histogram)
    first_event: Histogram = field(default_factory=Histogram)

    @property
    def in_flight(self) -> int:
        return self.started - sum(self.ended.values())


class Metrics:
    """Counts runs by protocol, and answers `/metrics`."""

    def __init__(self) -> None:
        self._counts: dict[str, _Counts] = {}

    def around(
        self, request: AgentRequest, events: AsyncGenerator[AgentEvent, None]
    ) -> AsyncGenerator[AgentEvent, None]:
        """Count a run."""
        return watched(events, _CountedRun(self._counts.setdefault(request.protocol, _Counts())))

    def routes(self) -> Sequence[BaseRoute]:
        """The route that Prometheus reads."""
        return [Route("/metrics", self._answer, methods=["GET"])]

    async def _answer(self, _: Request) -> Response:
        return Response("\n".join(self._lines()) + "\n", media_type=MEDIA_TYPE)

    def _lines(self) -> Iterator[str]:
        each = [({"protocol": protocol}, counts) for protocol, counts in sorted(self._counts.items())]
        yield from _counters(each)
        yield from histogram(
            f"{_PREFIX}run_duration_seconds",
            "From the start of a run to its end.",
            ((of, c.duration) for of, c in each),
        )
        yield from histogram(
            f"{_PREFIX}time_to_first_event_seconds",
            "From the start of a run to the first thing the agent told.",
            ((of, c.first_event) for of, c in each),
        )


class _CountedRun(Watch):
    def __init__(self, counts: _Counts) -> None:
        super().__init__()
        self._counts = counts

    def begin(self) -> None:
        super().begin()
        self._counts.started += 1

    def end(self) -> None:
        counts = self._counts
        counts.ended[self.outcome] += 1
        counts.tokens["input"] += self.input_tokens
        counts.tokens["output"] += self.output_tokens
        counts.duration.observe(self.seconds)
        if self.seconds_to_first_event is not None:
            counts.first_event.observe(self.seconds_to_first_event)


def _counters(each: Sequence[tuple[Mapping[str, str], _Counts]]) -> Iterator[str]:
    yield from metric(
        f"{_PREFIX}runs_started_total", "counter", "Runs that began.", ((of, c.started) for of, c in each)
    )
    yield from metric(
        f"{_PREFIX}runs_ended_total",
        "counter",
        "Runs that ended, by how they did.",
        (({**of, "outcome": outcome.value}, n) for of, c in each for outcome, n in c.ended.items()),
    )
    yield from metric(f"{_PREFIX}runs_in_flight", "gauge", "Runs under way.", ((of, c.in_flight) for of, c in each))
    yield from metric(
        f"{_PREFIX}tokens_total",
        "counter",
        "Tokens that runs told they used.",
        (({**of, "type": kind}, n) for of, c in each for kind, n in c.tokens.items()),
    )
