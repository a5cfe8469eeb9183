"""The services as what LangGraph keeps in common for all threads."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from agentrun.errors import InvalidInputError
from agentrun.server.services.base import Service, identifier, to_json
from agentrun.server.services.storage.base import Entry, Shelf
from agentrun.server.services.words import ranked

try:
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        Item,
        ListNamespacesOp,
        MatchCondition,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
    )
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langgraph":
        raise
    raise ImportError(f"{__name__} needs langgraph: pip install 'agentrun[langgraph]'", name=error.name) from None

__all__ = ["LangGraphStore"]

_KIND = "store"
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq, "$ne": operator.ne, "$gt": operator.gt,
    "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le,
}  # fmt: skip
Namespace = tuple[str, ...]


class LangGraphStore(BaseStore):
    """A store of LangGraph that keeps items where a service keeps what is its own; a query finds words in values.

    The service, any of state, history or memory, is started and stopped by who has made it. Namespaces expire with it.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._storage = service.storage

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations, one after the other."""
        return [self._perform(op) for op in ops]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations, one after the other."""
        return await self._service.run(self.batch, list(ops))

    def _perform(self, op: Op) -> Result:
        if isinstance(op, GetOp):
            entry = self._storage.find(_shelf(op.namespace), _key(op.key))
            return Item(**_item(op.namespace, entry)) if entry else None
        if isinstance(op, SearchOp):
            return self._search(op)
        if isinstance(op, ListNamespacesOp):
            return self._namespaces(op)
        self._put(op)
        return None

    def _put(self, op: PutOp) -> None:
        shelf, key = _shelf(op.namespace), _key(op.key)
        if op.value is None:
            self._storage.drop(shelf, [key])
            return
        now = datetime.now(timezone.utc).isoformat()
        known = self._storage.find(shelf, key)
        created = json.loads(known.value)["created_at"] if known else now
        item = {"key": op.key, "value": op.value, "created_at": created, "updated_at": now}
        self._storage.put(shelf, {key: to_json(item, "value")})

    def _search(self, op: SearchOp) -> list[SearchItem]:
        """What is below a namespace, the newest first; with a query what holds its words, the best first."""
        items = [
            item
            for namespace, entries in self._below(op.namespace_prefix)
            for item in (_item(namespace, entry) for entry in entries)
            if _matches(item["value"], op.filter or {})
        ]
        items.sort(key=lambda item: item["updated_at"])
        scores: list[tuple[float | None, int]] = [(None, place) for place in reversed(range(len(items)))]
        if op.query:
            scores = list(ranked(["\n".join(_texts(item["value"])) for item in items], op.query))
        return [SearchItem(**items[place], score=score) for score, place in scores[op.offset : op.offset + op.limit]]

    def _namespaces(self, op: ListNamespacesOp) -> list[Namespace]:
        conditions = op.match_conditions or ()
        found = {
            namespace[: op.max_depth]
            for namespace, entries in self._below(())
            if entries and all(_is_matched(namespace, condition) for condition in conditions)
        }
        return sorted(found)[op.offset : op.offset + op.limit]

    def _below(self, prefix: Namespace) -> Iterator[tuple[Namespace, list[Entry]]]:
        """The namespaces that begin with a prefix, and what is in them."""
        for owner in [prefix[0]] if prefix else self._storage.owners(_KIND):
            for name, entries in self._storage.read_all(_KIND, owner).items():
                namespace = tuple(json.loads(name))
                if namespace[: len(prefix)] == prefix:
                    yield namespace, entries


def _shelf(namespace: Namespace) -> Shelf:
    # What begins alike is with one owner, so that not everything is looked through.
    labels = [identifier(label, "namespace") for label in namespace]
    return Shelf(_KIND, identifier(labels[0] if labels else "", "namespace"), json.dumps(labels))


def _key(key: str) -> str:
    # A key of an item may be of any length, and hold any letter.
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def _item(namespace: Namespace, entry: Entry) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(entry.value)
    times = {name: datetime.fromisoformat(item[name]) for name in ("created_at", "updated_at")}
    return {**item, **times, "namespace": namespace}


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _matches(value: Any, wanted: Any) -> bool:
    """Whether a value is as a filter wants it: equal, or for a dict in all that the filter names."""
    if not isinstance(wanted, Mapping):
        return bool(value == wanted)
    if any(name.startswith("$") for name in wanted):
        return all(_compare(name, value, other) for name, other in wanted.items())
    return isinstance(value, dict) and all(_matches(value.get(name), other) for name, other in wanted.items())


def _compare(name: str, value: Any, other: Any) -> bool:
    if name not in _OPERATORS:
        raise InvalidInputError(f"there is no operator {name}", field="filter", hint=f"Use {', '.join(_OPERATORS)}")
    try:
        return _OPERATORS[name](value, other)
    except TypeError:
        return False  # What has no order is neither more nor less.


def _is_matched(namespace: Namespace, condition: MatchCondition) -> bool:
    path = tuple(condition.path)
    if condition.match_type not in ("prefix", "suffix"):
        raise InvalidInputError(f"there is no match type {condition.match_type!r}", field="match_conditions")
    if len(path) > len(namespace):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for label, wanted in zip(part, path, strict=True))
