"""Answers that are given again: to the same request, or to one that means the same.

An answer is kept as what its endpoint said, and told in the form that a caller asks for: a chat that was streamed
answers a call that does not stream, and the other way round.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from types import TracebackType
from typing import Any, Literal, TypeAlias

import anyio
from typing_extensions import Self

from agentrun._core.values import is_list, is_object
from agentrun.gateway.cache.chat_answer import ChatJoin, UnknownPartError, chunks_of
from agentrun.gateway.cache.vectors import Vector, VectorIndex
from agentrun.gateway.call import Call, dump
from agentrun.gateway.plan import Plan
from agentrun.gateway.state.base import State
from agentrun.gateway.streaming.events import (
    DONE,
    EventSplitter,
    EventTooLongError,
    data_of,
    event_of,
    fields_of,
    rewritten,
)
from agentrun.model.policies import CachePolicy

_log = logging.getLogger(__name__)

CACHE_HEADER = "x-agentrun-cache"
LARGEST_ANSWER = 4 << 20
MOST_VECTORS = 1000

Outcome: TypeAlias = Literal["hit", "semantic", "miss"]
Embed: TypeAlias = Callable[[str], Awaitable[Sequence[float]]]

_CHAT = "chat/completions"
_RESPONSES = "responses"
# Who asks, how the answer travels and what it is filed under: nothing of it changes what a model says.
_NO_DIFFERENCE = frozenset(
    (
        "model",
        "stream",
        "stream_options",
        "user",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "service_tier",
    )
)
_WHOLE = frozenset(("stop", "length", "tool_calls", "function_call"))
_EMBED_SECONDS = 5.0
_MOST_TENANTS = 64
# So many events of a recording are read before others have their turn.
_EVENTS_PER_TURN = 64

# What a kept value is, by its first byte: a chat that can be told in both forms, one object, a stream of events.
_BOTH, _OBJECT, _EVENTS = b"c", b"j", b"e"


@dataclass(frozen=True)
class CachedAnswer:
    """An answer to be sent as it is, with status 200; its usage says that the whole prompt was cached."""

    body: bytes
    content_type: str
    outcome: Outcome


class AnswerCache:
    """The answers of one proxy; each tenant has its own.

    Vectors for finding answers by meaning are in this process, at most 1,000 for a tenant, also where the answers
    themselves are shared.
    """

    def __init__(self, plan_key: str, policy: CachePolicy, state: State, embed: Embed | None = None) -> None:
        self.plan_key = plan_key
        self.policy = policy
        self.state = state
        self.embed = embed if policy.semantic else None
        self._indexes: OrderedDict[str, VectorIndex] = OrderedDict()
        self._flights: dict[str, asyncio.Event] = {}

    @classmethod
    def of(cls, plan: Plan, state: State, embed: Embed | None = None) -> Self | None:
        """The cache of a proxy, None when it has none; `embed` asks the service that its policy names."""
        return cls(plan.key, plan.gateway.cache, state, embed) if plan.policies.cache else None

    def lookup(self, call: Call, model: str) -> Lookup:
        """What may be known of the answer to a call, to be used in a `with` block around the call."""
        return Lookup(self, call, model)

    def index(self, tenant: str) -> VectorIndex:
        """The vectors of a tenant; those of who has not called for longest are forgotten."""
        index = self._indexes.setdefault(tenant, VectorIndex(MOST_VECTORS))
        self._indexes.move_to_end(tenant)
        if len(self._indexes) > _MOST_TENANTS:
            self._indexes.popitem(last=False)
        return index

    async def join_flight(self, key: str) -> asyncio.Event | None:
        """Wait for the same call that is under way; when there is none, this is the one that others wait for."""
        if flight := self._flights.get(key):
            await flight.wait()
            return None
        return self._flights.setdefault(key, asyncio.Event())

    def land(self, key: str, flight: asyncio.Event) -> None:
        """Let those go on that wait for a call."""
        self._flights.pop(key, None)
        flight.set()


class Lookup:
    """One call and the cache; leaving its `with` block lets the same calls go on that wait for it."""

    def __init__(self, cache: AnswerCache, call: Call, model: str) -> None:
        self.cache = cache
        self.call = call
        self.outcome: Outcome = "miss"
        self.vector: Vector | None = None
        self._model = model
        self._flight: asyncio.Event | None = None
        said = {word.strip() for word in call.headers.get("cache-control", "").lower().split(",")}
        # A conversation that the endpoint keeps changes with each call.
        possible = call.fields.get("conversation") is None
        self.reads = possible and "no-cache" not in said
        self.keeps = possible and "no-store" not in said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._flight:
            self.cache.land(self.key, self._flight)

    @cached_property
    def key(self) -> str:
        """What the answer is kept under: the same for all requests that ask the same."""
        return self._key(self.call.fields)

    @cached_property
    def group(self) -> str:
        """The same for all requests that differ in the last words of the user alone."""
        last = self._messages[-1]
        parts = last["content"]
        rest = [part for part in parts if part.get("type") != "text"] if is_list(parts) else []
        return self._key({**self.call.fields, "messages": [*self._messages[:-1], {**last, "content": rest}]})

    @cached_property
    def words(self) -> str:
        """The last words of the user, empty when the chat does not end with them."""
        last: Any = self._messages[-1] if self._messages else None
        if not is_object(last) or last.get("role") != "user":
            return ""
        parts = last.get("content")
        if is_list(parts) and all(is_object(part) for part in parts):
            return "\n".join(str(part.get("text")) for part in parts if part.get("type") == "text")
        return parts if isinstance(parts, str) else ""

    async def find(self) -> CachedAnswer | None:
        """The answer, if one is kept; a call that does not stream waits for the same one that is under way."""
        if not self.reads:
            return None
        answer = await self._exact()
        if answer is None and self.keeps and not self.call.stream:
            self._flight = await self.cache.join_flight(self.key)
            answer = None if self._flight else await self._exact()
        if answer is None and self.cache.embed and self.words:
            answer = await self._alike(self.cache.embed)
        self.outcome = answer.outcome if answer else "miss"
        return answer

    def recorder(self) -> Recorder:
        """Keeps the answer as it passes."""
        return Recorder(self)

    @property
    def _messages(self) -> list[Any]:
        messages = self.call.fields.get("messages") if self.call.operation == _CHAT else None
        return messages if is_list(messages) else []

    def _key(self, fields: Mapping[str, Any]) -> str:
        asked = {name: value for name, value in fields.items() if value is not None and name not in _NO_DIFFERENCE}
        # Only a chat is known in both forms.
        form = False if self.call.operation == _CHAT else self.call.stream
        where = [self.cache.plan_key, self.call.caller.tenant, self.call.operation, self._model, form]
        return "answer:" + sha256(json.dumps([where, asked], sort_keys=True).encode()).hexdigest()

    async def _exact(self) -> CachedAnswer | None:
        return await self._told(self.key, "hit")

    async def _alike(self, embed: Embed) -> CachedAnswer | None:
        self.vector = await _vector(embed, self.words)
        semantic = self.cache.policy.semantic
        if self.vector is None or semantic is None:
            return None
        index = self.cache.index(self.call.caller.tenant)
        while (found := index.nearest(self.group, self.vector)) and found[1] >= semantic.threshold:
            if answer := await self._told(found[0], "semantic"):
                return answer
            # Its time is over, or it went to make room.
            index.remove(self.group, self.vector, found[0])
        return None

    async def _told(self, key: str, outcome: Outcome) -> CachedAnswer | None:
        try:
            kept = await self.cache.state.find(key)
        except Exception:
            # A call does not fail because nobody remembers the answer.
            _log.warning("A cached answer cannot be looked up", exc_info=True)
            return None
        return _told(kept, self.call, outcome) if kept else None


class Recorder:
    """Collects an answer as it passes, up to 4 MiB."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._pieces: list[bytes] = []
        self._room = min(LARGEST_ANSWER, lookup.cache.policy.max_bytes) if lookup.keeps else -1

    def feed(self, piece: bytes) -> None:
        """One more piece of what the endpoint sent."""
        self._room -= len(piece)
        if self._room >= 0:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    async def keep(self) -> None:
        """Keep the answer if it is whole; to be called when its status was 200 and its end has come."""
        value = await self._value() if self._room >= 0 else None
        if value is None:
            return
        cache, tenant = self._lookup.cache, self._lookup.call.caller.tenant
        group = f"answers:{cache.plan_key}:{tenant}"
        try:
            await cache.state.keep(
                self._lookup.key, value, cache.policy.ttl_seconds, group, group_bytes=cache.policy.max_bytes
            )
        except Exception:
            # The caller has the answer already.
            _log.warning("An answer cannot be cached", exc_info=True)
            return
        if cache.embed and self._lookup.words:
            await self._keep_vector(cache.embed, cache.index(tenant))

    async def _value(self) -> bytes | None:
        body = b"".join(self._pieces)
        self._pieces.clear()
        operation = self._lookup.call.operation
        if body.lstrip()[:1] == b"{":
            return _value_of_object(operation, fields_of(body))
        try:
            events = [event for event in EventSplitter().feed(body + b"\n\n") if data_of(event)]
            return await (_value_of_chat(events) if operation == _CHAT else _value_of_events(operation, events))
        except (EventTooLongError, UnknownPartError) as error:
            _log.debug("An answer is not cached: %s", error)
            return None

    async def _keep_vector(self, embed: Embed, index: VectorIndex) -> None:
        lookup = self._lookup
        lookup.vector = lookup.vector or await _vector(embed, lookup.words)
        if lookup.vector:
            index.add(lookup.group, lookup.vector, lookup.key)


async def _vector(embed: Embed, text: str) -> Vector | None:
    try:
        with anyio.fail_after(_EMBED_SECONDS):
            return Vector.of(await embed(text))
    except Exception:
        # Whatever is wrong with the embedding service, the call can be answered without it.
        _log.warning("The embedding service of a cache did not answer", exc_info=True)
        return None


def _told(kept: bytes, call: Call, outcome: Outcome) -> CachedAnswer | None:
    form, body = kept[:1], kept[1:]
    if form == _BOTH and call.stream:
        chunks = chunks_of(json.loads(body), with_usage=call.wants_usage)
        body = b"".join([*map(event_of, chunks), b"data: %b\n\n" % DONE])
    elif (form == _EVENTS) != call.stream:
        return None
    content_type = "text/event-stream; charset=utf-8" if call.stream else "application/json"
    return CachedAnswer(body, content_type, outcome)


def _value_of_object(operation: str, answer: dict[str, Any] | None) -> bytes | None:
    if answer is None or not _is_whole(operation, answer):
        return None
    form = _BOTH if operation == _CHAT and _can_be_chunks(answer) else _OBJECT
    return form + dump(_marked(answer))


async def _value_of_chat(events: Sequence[bytes]) -> bytes | None:
    join = ChatJoin()
    for number, event in enumerate(events, start=1):
        fields = fields_of(data := data_of(event))
        if fields is not None:
            join.add(fields)
        elif data != DONE:
            return None
        if number % _EVENTS_PER_TURN == 0:
            await asyncio.sleep(0)
    answer = join.whole()
    return _BOTH + dump(_marked(answer)) if _is_whole(_CHAT, answer) else None


async def _value_of_events(operation: str, events: Sequence[bytes]) -> bytes | None:
    last = fields_of(data_of(events[-1])) if events else None
    answer: Any = last.get("response") if last else None
    # Of other streams, only this one says at its end that it is whole.
    if operation != _RESPONSES or last is None or not is_object(answer) or not _is_whole(operation, answer):
        return None
    marked = rewritten(events[-1], {**last, "response": _marked(answer)})
    return _EVENTS + b"".join([*events[:-1], marked])


def _is_whole(operation: str, answer: Mapping[str, Any]) -> bool:
    if answer.get("error"):
        return False
    if operation == _RESPONSES:
        return answer.get("status") == "completed"
    if not operation.endswith("completions"):
        # Errors have many shapes. Embeddings are `data`, what rerank and moderations find are `results`.
        return any(is_list(answer.get(name)) for name in ("data", "results"))
    choices: Any = answer.get("choices")
    return is_list(choices) and bool(choices) and all(_is_finished(choice) for choice in choices)


def _is_finished(choice: Any) -> bool:
    return is_object(choice) and choice.get("finish_reason") in _WHOLE


def _can_be_chunks(answer: Mapping[str, Any]) -> bool:
    try:
        return bool(list(chunks_of(answer, with_usage=True)))
    except UnknownPartError:
        return False


def _marked(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    usage = answer.get("usage")
    if not is_object(usage):
        return answer
    for kind in ("prompt_tokens", "input_tokens"):
        if isinstance(tokens := usage.get(kind), int):
            details: dict[str, Any] = {**(usage.get(f"{kind}_details") or {}), "cached_tokens": tokens}
            return {**answer, "usage": {**usage, f"{kind}_details": details}}
    return answer
