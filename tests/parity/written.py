"""Follows one resource through its life: what was written last must be what is read, by whatever operation."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from tests.parity.generated import Generated, Refused
from tests.parity.kinds import (
    CREDENTIAL,
    ENDPOINT,
    KNOWLEDGE_BASE,
    MODEL_PROXY,
    MODEL_SERVICE,
    RUNTIME,
    TEMPLATE,
    TOOL,
    Kind,
)
from tests.parity.streams import is_object

T = TypeVar("T")

PATIENCE_SECONDS = 20.0
PAGE: Mapping[str, int] = {"pageNumber": 1, "pageSize": 10}
# The credential that other resources name.
KEY: Mapping[str, Any] = {**CREDENTIAL.given, "credentialName": "key"}
# What a template names: one for callers, since a sandbox gets no outbound one without allowed hosts, which are not in
# the contract.
INBOUND_KEY: Mapping[str, Any] = {**KEY, "credentialSourceType": "internal", "enabled": True}
# What moves by itself between two looks at the same resource.
_MOVING = ("status", "lastUpdatedAt")


class Written:
    """A resource as its client knows it. `above` are the names in its path before its own."""

    def __init__(self, client: Generated, kind: Kind, above: tuple[str, ...] = ()) -> None:
        self._client = client
        self._kind = kind
        self._above = above
        self._fields: dict[str, Any] = {}
        self.shown: dict[str, Any] = {}

    @property
    def label(self) -> str:
        """What its path names."""
        label: str = self.shown[self._kind.label]
        return label

    async def create(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Create it and wait until it is ready; what the creation answered must still be true then."""
        created = await self._write("Create", given)
        settled = await self.settled()
        assert _still(created) == _still(settled)
        assert settled["createdAt" if self._kind.updated else self._kind.label]
        return created

    async def update(self, changes: Mapping[str, Any]) -> None:
        """Change it; its label and the time of its creation stay, the time of its last change moves on."""
        before = self.shown
        changed = await self._write("Update", changes, self.label)
        settled = await self.settled()
        assert _still(changed) == _still(settled)
        assert (settled[self._kind.label], settled.get("createdAt")) == (self.label, before.get("createdAt"))
        if self._kind.updated:
            assert settled[self._kind.updated] > before[self._kind.updated]

    async def delete(self) -> Refused:
        """Delete it; the answer shows what it was, and in the end it is not found."""
        self.assert_shown(await self._call("Delete", self.label))
        return await poll(self._refusal)

    async def settled(self) -> dict[str, Any]:
        """It, read once it is READY, or at once when it has no status."""
        self.shown = await poll(self._ready)
        self.assert_shown(self.shown)
        return self.shown

    async def listed(self, **filters: Any) -> bool:
        """Whether a list shows it, alone and as a get does."""
        page = await self._client.call(self._kind.actions["List"], *self._above, **{**PAGE, **filters})
        assert page["total"] == len(page["items"]) <= 1
        assert (page["pageNumber"], page["pageSize"]) == (1, 10)
        for item in page["items"]:
            self.assert_shown(item, self._kind.unlisted)
            whole = without(item, self._kind.unlisted)
            assert whole == {name: without(self.shown, self._kind.unlisted).get(name) for name in whole} | _extra(item)
        return bool(page["items"])

    def assert_shown(self, shown: Mapping[str, Any], unseen: tuple[str, ...] = ()) -> None:
        """What was written is in an answer, and what the table says is never shown is not."""
        kept = without(self._fields, (*self._kind.unseen, *unseen))
        kept |= {name: str(kept[name]) for name in self._kind.as_text}
        assert part_of(kept, shown) == kept
        present = [name for name in self._kind.unseen if "." not in name and name in shown]
        assert not present, f"said to be unseen, but shown: {present}"

    async def _write(self, verb: str, body: Mapping[str, Any], *label: str) -> dict[str, Any]:
        answer = await self._call(verb, *label, body=body)
        self._fields |= body
        self.assert_shown(answer)
        return answer

    async def _call(self, verb: str, *label: str, **given: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self._client.call(self._kind.actions[verb], *self._above, *label, **given)
        if verb == "Create":
            self.shown = answer
        return answer

    async def _ready(self) -> dict[str, Any] | None:
        shown = await self._call("Get", self.label)
        assert not shown.get("status", "").endswith("FAILED"), shown
        return shown if shown.get("status", "READY") == "READY" else None

    async def _refusal(self) -> Refused | None:
        try:
            shown = await self._call("Get", self.label)
        except Refused as refused:
            return refused
        assert shown["status"] == "DELETING"
        return None


async def make(client: Generated, kind: Kind, echo_zip: str) -> Written:
    """A resource as the table gives it, with what it needs; `echo_zip` is the code of runtimes."""
    above: tuple[str, ...] = ()
    if kind in (KNOWLEDGE_BASE, MODEL_SERVICE, TEMPLATE, RUNTIME, TOOL):
        await client.call("CreateCredential", body=INBOUND_KEY if kind is TEMPLATE else KEY)
    if kind is MODEL_PROXY:
        await make(client, MODEL_SERVICE, echo_zip)
    if kind is ENDPOINT:
        runtime = await make(client, RUNTIME, echo_zip)
        await client.call("PublishRuntimeVersion", runtime.label, body={"description": "first"})
        above = (runtime.label,)
    resource = Written(client, kind, above)
    given: dict[str, Any] = json.loads(json.dumps(kind.given).replace("{echo_zip}", echo_zip))
    await resource.create(given)
    return resource


async def poll(look: Callable[[], Awaitable[T | None]]) -> T:
    """What a look finds, as soon as it finds something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if (found := await look()) is not None:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"nothing was found for {PATIENCE_SECONDS} s by {look.__qualname__}")


def without(fields: Mapping[str, Any], paths: tuple[str, ...] | Mapping[str, Any]) -> dict[str, Any]:
    """The fields that no dotted path names."""
    kept: dict[str, Any] = {}
    for name, value in fields.items():
        below = tuple(path.partition(".")[2] for path in paths if path.startswith(f"{name}."))
        if name not in paths:
            kept[name] = without(value, below) if below else value
    return kept


def part_of(wanted: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of the wanted fields; an answer may have more of them."""
    found: dict[str, Any] = {}
    for name, value in wanted.items():
        inside = shown.get(name)
        found[name] = part_of(value, inside) if is_object(value) and is_object(inside) else inside
    return found


def _still(shown: Mapping[str, Any]) -> dict[str, Any]:
    return without(shown, _MOVING)


def _extra(item: Mapping[str, Any]) -> dict[str, Any]:
    """What only lists have: how many resources name a credential."""
    return {name: item[name] for name in ("relatedResourceCount",) if name in item}
