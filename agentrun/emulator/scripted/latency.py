"""How fast a model answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    """A model's speed: `Latency(first_token=0.2, tokens_per_second=50)`.

    `first_token` is in seconds until the first event of a stream; without `tokens_per_second` the rest comes at once.
    A token is a piece of the stream, so an answer that does not stream takes as long as its stream would. Raises
    ValueError for a negative time or a rate that is not positive.
    """

    first_token: float = 0.0
    tokens_per_second: float | None = None

    def __post_init__(self) -> None:
        if self.first_token < 0:
            raise ValueError(f"first_token={self.first_token}: a time is 0 or more seconds")
        if self.tokens_per_second is not None and self.tokens_per_second <= 0:
            raise ValueError(f"tokens_per_second={self.tokens_per_second}: a rate is more than 0")

    def due(self, tokens: int) -> float:
        """Return the seconds until a token that has so many before it."""
        return self.first_token + (tokens / self.tokens_per_second if self.tokens_per_second else 0.0)
