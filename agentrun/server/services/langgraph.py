"""The services as what LangGraph keeps its threads in."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from agentrun.errors import InvalidInputError
from agentrun.server.services.base import Service, identifier
from agentrun.server.services.storage.base import Entry, Shelf

try:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        WRITES_IDX_MAP,
        BaseCheckpointSaver,
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        get_checkpoint_id,
        get_checkpoint_metadata,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("langchain_core", "langgraph"):
        raise
    raise ImportError(f"{__name__} needs langgraph: pip install 'agentrun[langgraph]'", name=error.name) from None

__all__ = ["LangGraphSaver"]

# Checkpoints by thread and namespace; what tasks wrote by thread and checkpoint; and which checkpoints a run has made.
_CHECKPOINTS, _WRITES, _RUNS = "checkpoint", "checkpoint-writes", "checkpoint-runs"
# Numbers of writes that have a meaning are below zero; as keys all have to be in order.
_LOWEST = 1000


class _Spot(NamedTuple):
    """Where a checkpoint is; without an id it is the latest one."""

    thread: str
    namespace: str
    id: str | None

    @classmethod
    def of(cls, config: RunnableConfig) -> _Spot:
        configurable = config.get("configurable", {})
        thread = str(configurable.get("thread_id") or "")
        return cls(
            identifier(thread, "thread_id"), configurable.get("checkpoint_ns") or "", get_checkpoint_id(config) or None
        )

    @property
    def shelf(self) -> Shelf:
        return Shelf(_CHECKPOINTS, self.thread, f"/{self.namespace}")  # A name is never empty, a namespace may be.

    @property
    def writes(self) -> Shelf:
        return Shelf(_WRITES, self.thread, f"{self.id}/{self.namespace}")

    @property
    def config(self) -> RunnableConfig:
        return {
            "configurable": {
                "thread_id": self.thread, "checkpoint_ns": self.namespace, "checkpoint_id": self.id
            }
        }  # fmt: skip


def _run_shelf(run_id: str, spot: _Spot) -> Shelf:
    return Shelf(_RUNS, run_id, json.dumps([spot.thread, spot.namespace]))


class LangGraphSaver(BaseCheckpointSaver[int]):
    """A checkpointer of LangGraph that keeps threads where a service keeps what is its own.

    The service, any of state, history or memory, is started and stopped by who has made it. Threads expire with it.
    """

    def __init__(self, service: Service, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._service = service
        self._storage = service.storage

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """A checkpoint with what was written since, the latest of its thread unless `config` names one."""
        spot = _Spot.of(config)
        entry = self._storage.find(spot.shelf, spot.id)
        return self._tuple(spot, entry) if entry else None

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """A checkpoint with what was written since, the latest of its thread unless `config` names one."""
        return await self._service.run(self.get_tuple, config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """The checkpoints of a thread, of all threads without one, the newest first."""
        end = get_checkpoint_id(before) if before else None
        found = [(spot, entry) for spot, entry in self._candidates(config) if not end or entry.key < end]
        found.sort(key=lambda each: each[1].key, reverse=True)
        for spot, entry in found:
            if limit is not None and limit <= 0:
                return
            metadata: Mapping[str, Any] = self._load(json.loads(entry.value)["metadata"])
            if all(metadata.get(name) == value for name, value in (filter or {}).items()):
                limit = None if limit is None else limit - 1
                yield self._tuple(spot, entry)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The checkpoints of a thread, of all threads without one, the newest first."""
        checkpoints = self.list(config, filter=filter, before=before, limit=limit)
        # One at a time, each in a thread: who needs only the first does not wait for all.
        while (checkpoint := await self._service.run(next, checkpoints, None)) is not None:
            yield checkpoint

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint, whose parent is the one that `config` names."""
        parent = _Spot.of(config)
        spot = parent._replace(id=checkpoint["id"])
        whole: Any = get_checkpoint_metadata(config, metadata)
        kept = {
            "checkpoint": self._dump(checkpoint),
            "metadata": self._dump(whole),
            "parent": parent.id,
            "run": whole.get("run_id"),
        }
        self._keep(spot, Entry(checkpoint["id"], json.dumps(kept)))
        return spot.config

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint, whose parent is the one that `config` names."""
        return await self._service.run(self.put, config, checkpoint, metadata, new_versions)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep what a task has written since a checkpoint; what is there already stays, but for what has a meaning."""
        shelf = _Spot.of(config).writes
        numbered = [
            (WRITES_IDX_MAP.get(channel, number), channel, value) for number, (channel, value) in enumerate(writes)
        ]
        for replace in (False, True):
            entries = {
                f"{task_id}/{number + _LOWEST:08d}": json.dumps(
                    [task_path, task_id, number, channel, self._dump(value)]
                )
                for number, channel, value in numbered
                if (number < 0) is replace
            }
            if entries:
                self._storage.put(shelf, entries, replace=replace)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep what a task has written since a checkpoint; what is there already stays, but for what has a meaning."""
        await self._service.run(self.put_writes, config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        """Forget a thread."""
        for spot, entry in list(self._of_thread(thread_id)):
            self._drop(spot, [entry])
        for kind in (_CHECKPOINTS, _WRITES):
            while places := self._storage.shelves(kind, thread_id):
                for place in places:
                    self._storage.delete(Shelf(kind, thread_id, place.name))

    async def adelete_thread(self, thread_id: str) -> None:
        """Forget a thread."""
        await self._service.run(self.delete_thread, thread_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Forget the checkpoints that runs have made, and what was written since."""
        for run_id in run_ids:
            for name, made in self._storage.read_all(_RUNS, run_id).items():
                thread, namespace = json.loads(name)
                spot = _Spot(thread, namespace, None)
                found = (self._storage.find(spot.shelf, each.key) for each in made)
                self._drop(spot, [entry for entry in found if entry])
                self._storage.delete(Shelf(_RUNS, run_id, name))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Forget the checkpoints that runs have made, and what was written since."""
        await self._service.run(self.delete_for_runs, run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Keep all of a thread under another id as well."""
        for spot, entry in list(self._of_thread(source_thread_id)):
            self._keep(spot._replace(thread=target_thread_id), entry)
        for name, entries in self._storage.read_all(_WRITES, source_thread_id).items():
            self._storage.put(Shelf(_WRITES, target_thread_id, name), dict(entries))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Keep all of a thread under another id as well."""
        await self._service.run(self.copy_thread, source_thread_id, target_thread_id)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the latest checkpoint of each namespace, and what its values are made from; or nothing with `delete`."""
        if strategy not in ("keep_latest", "delete"):
            raise InvalidInputError(
                f"there is no strategy {strategy!r}", field="strategy", hint="keep_latest or delete"
            )
        prune: Callable[[str], None] = self.delete_thread if strategy == "delete" else self._keep_latest
        for thread_id in thread_ids:
            prune(thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the latest checkpoint of each namespace, and what its values are made from; or nothing with `delete`."""
        await self._service.run(self.prune, thread_ids, strategy=strategy)

    def _keep_latest(self, thread_id: str) -> None:
        for name, entries in self._storage.read_all(_CHECKPOINTS, thread_id).items():
            needed = self._needed({entry.key: json.loads(entry.value) for entry in entries})
            spot = _Spot(thread_id, name[1:], None)
            self._drop(spot, [entry for entry in entries if entry.key not in needed])

    def _needed(self, kept: Mapping[str, dict[str, Any]]) -> set[str]:
        """The latest checkpoint, and those before it back to where each channel that is told in steps is whole."""
        needed: set[str] = set()
        if not kept:
            return needed
        id = max(kept)
        in_steps = set(self._load(kept[id]["metadata"]).get("counters_since_delta_snapshot") or ())
        while id in kept and id not in needed:
            needed.add(id)
            in_steps -= set(self._load(kept[id]["checkpoint"])["channel_values"])
            id = kept[id]["parent"] if in_steps else ""
        return needed

    def _keep(self, spot: _Spot, entry: Entry) -> None:
        self._storage.put(spot.shelf, {entry.key: entry.value})
        if run := json.loads(entry.value)["run"]:
            self._storage.put(_run_shelf(run, spot), {entry.key: ""})

    def _drop(self, spot: _Spot, entries: Sequence[Entry]) -> None:
        self._storage.drop(spot.shelf, [entry.key for entry in entries])
        for entry in entries:
            self._storage.delete(spot._replace(id=entry.key).writes)
            if run := json.loads(entry.value)["run"]:
                self._storage.drop(_run_shelf(run, spot), [entry.key])

    def _candidates(self, config: RunnableConfig | None) -> Iterator[tuple[_Spot, Entry]]:
        """What a configuration may mean, in no order."""
        if config is None:
            for thread in self._storage.owners(_CHECKPOINTS):
                yield from self._of_thread(thread)
            return
        wanted = _Spot.of(config)
        any_namespace = "checkpoint_ns" not in config.get("configurable", {})
        for spot, entry in self._of_thread(wanted.thread):
            if (any_namespace or spot.namespace == wanted.namespace) and wanted.id in (None, entry.key):
                yield spot, entry

    def _of_thread(self, thread: str) -> Iterator[tuple[_Spot, Entry]]:
        for name, entries in self._storage.read_all(_CHECKPOINTS, thread).items():
            for entry in entries:
                yield _Spot(thread, name[1:], None), entry

    def _tuple(self, spot: _Spot, entry: Entry) -> CheckpointTuple:
        kept = json.loads(entry.value)
        spot = spot._replace(id=entry.key)
        writes = sorted(map(json.loads, [each.value for each in self._storage.read(spot.writes) or ()]))
        return CheckpointTuple(
            config=spot.config,
            checkpoint=self._load(kept["checkpoint"]),
            metadata=self._load(kept["metadata"]),
            parent_config=spot._replace(id=kept["parent"]).config if kept["parent"] else None,
            pending_writes=[(task_id, channel, self._load(value)) for _, task_id, _, channel, value in writes],
        )

    def _dump(self, value: Any) -> tuple[str, str]:
        kind, content = self.serde.dumps_typed(value)
        return kind, base64.b64encode(content).decode()

    def _load(self, dumped: Sequence[str]) -> Any:
        return self.serde.loads_typed((dumped[0], base64.b64decode(dumped[1])))
