"""Counts in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from agentrun._serving.histogram import BOUNDS, Histogram

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Each fourth bound is shown: finer than anybody looks, and a quarter of the text.
_SHOWN = range(3, len(BOUNDS), 4)


def metric(name: str, kind: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Iterator[str]:
    """The lines of a counter or a gauge: a value for each set of labels."""
    yield from _head(name, kind, text)
    for labels, value in samples:
        yield f"{name}{_written(labels)} {value}"


def histogram(name: str, text: str, each: Iterable[tuple[Mapping[str, str], Histogram]]) -> Iterator[str]:
    """The lines of a histogram: its buckets, sum and count for each set of labels."""
    yield from _head(name, "histogram", text)
    for labels, found in each:
        sums = list(accumulate(found.counts))
        for number in _SHOWN:
            yield f"{name}_bucket{_written({**labels, 'le': f'{BOUNDS[number]:.6g}'})} {sums[number]}"
        yield f"{name}_bucket{_written({**labels, 'le': '+Inf'})} {sums[-1]}"
        yield f"{name}_sum{_written(labels)} {found.sum:.9g}"
        yield f"{name}_count{_written(labels)} {sums[-1]}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _written(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


_ESCAPES: Mapping[int, str] = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n"}


def _escaped(value: str) -> str:
    return value.translate(_ESCAPES)
