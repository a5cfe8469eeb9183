"""The span of a question to a model, by the conventions for generative AI; texts of messages are not in it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agentrun._core.streams import Stream
from agentrun._core.tracing import MODEL_OPERATIONS, begin
from agentrun._core.values import is_object

if TYPE_CHECKING:
    from agentrun._core.openai import Question


class ModelCall:
    """A question to a model; its span ends with the answer, or with the last piece of a stream."""

    def __init__(self, question: Question, asked: Mapping[str, Any], provider: str, url: str) -> None:
        path = question.path.strip("/")
        operation, model, place = MODEL_OPERATIONS.get(path, path), asked.get("model"), urlsplit(url)
        attributes = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.request.stream": True if asked.get("stream") else None,
            "server.address": place.hostname,
            "server.port": place.port,
        }
        self._span = begin(f"{operation} {model}" if model else operation, attributes, "CLIENT")
        self._headers: Mapping[str, str] | None = asked.get("extra_headers")
        self._began = time.perf_counter()
        self._has_begun = False

    async def run(self, ask: Callable[[Mapping[str, str] | None], Awaitable[Any]]) -> Any:
        """What `ask` answers; it is given the headers to send."""
        if not self._span.is_recording:
            return await ask(self._headers)
        try:
            with self._span.current():
                answer = await ask({**self._span.headers, **(self._headers or {})})
        except BaseException as error:
            self._span.end(error)
            raise
        stream: Any = answer
        if isinstance(answer, Stream):
            stream.watch(self._read, self._span.end)
        else:
            self._tell(stream)
            self._span.end()
        return stream

    def _read(self, piece: Any) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._span.set({"gen_ai.response.time_to_first_chunk": time.perf_counter() - self._began})
            self._tell(piece)
        elif getattr(_inner(piece), "usage", None):
            self._tell(piece)

    def _tell(self, answer: Any) -> None:
        """Take what an answer or a piece of it says about itself."""
        found = _inner(answer)
        model, usage = getattr(found, "model", None), getattr(found, "usage", None)
        self._span.set({"gen_ai.response.model": model, "gen_ai.response.id": getattr(found, "id", None)})
        if usage:
            self._span.set(
                {
                    "gen_ai.usage.input_tokens": _first(usage, "prompt_tokens", "input_tokens"),
                    "gen_ai.usage.output_tokens": _first(usage, "completion_tokens", "output_tokens"),
                }
            )


def _inner(answer: Any) -> Any:
    """What says something about itself: events of the responses protocol carry it."""
    return getattr(answer, "response", None) or answer


def _first(usage: object, *names: str) -> int | None:
    values = (usage.get(name) if is_object(usage) else getattr(usage, name, None) for name in names)
    return next((value for value in values if isinstance(value, int)), None)
