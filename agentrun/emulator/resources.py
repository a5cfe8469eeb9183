"""The resources of one kind: found, created, changed and deleted the same way whatever the kind.

A kind is described by data; the files in `control/` add what is particular to it. Secrets are sealed on the way into
the store and opened on the way out, so nothing between knows them by accident.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentrun.emulator.auth import Tenant
from agentrun.emulator.clock import Clock, iso
from agentrun.emulator.lifecycle import CREATE, DELETE, UPDATE, Lifecycle
from agentrun.emulator.references import names
from agentrun.emulator.store import GONE, REFERENCES, NameTaken, Record, Scope, Store
from agentrun.emulator.vault import MASK, Vault, at_paths
from agentrun.emulator.wire.envelope import already_exists, conflict, invalid, not_found
from agentrun.emulator.wire.table import CONTRACT, table, whole_number

Filters = Iterable[tuple[str, tuple[Any, ...]]]

_LONGEST_NAME = 128
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Kind:
    """What is particular to a kind of resource.

    `noun` is the word in messages, `fields` the schema of the `contract` that its answers follow, `secrets` the dotted
    paths of what must never be written down or listed, `references` those of the texts that may name credentials.
    """

    name: str
    noun: str
    fields: str
    id_field: str
    name_field: str
    prefix: str
    updated_field: str = "lastUpdatedAt"
    secrets: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    by_name: bool = False
    contract: str = CONTRACT


def ulid() -> str:
    """A sortable id of 26 characters: 48 bits of time in milliseconds, 80 random bits."""
    number = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


class Resources:
    """All resources of one kind, in the scope of whoever asks."""

    def __init__(self, kind: Kind, store: Store, lifecycle: Lifecycle, vault: Vault, clock: Clock) -> None:
        self.kind = kind
        self.store = store
        self.clock = clock
        self._lifecycle = lifecycle
        self._vault = vault
        self._shown = frozenset(table(kind.contract).fields(kind.fields))

    # Finding

    def get(self, scope: Scope, label: str) -> Record:
        """A resource by what its path names: its name or its id, depending on the kind. Raises ServiceError (404)."""
        found = self.find_by_name(scope, label) if self.kind.by_name else self.find(scope, label)
        if found is None:
            raise not_found(self.kind.noun, label)
        return found

    def find(self, scope: Scope, id: str) -> Record | None:
        """A resource by its id, None when there is none."""
        return self._opened(self.store.get(scope, self.kind.name, id))

    def find_by_name(self, scope: Scope, name: str, parent: str = "") -> Record | None:
        """A resource by its name, None when there is none."""
        return self._opened(self.store.get_by_name(scope, self.kind.name, name, parent))

    def page(self, scope: Scope, query: Mapping[str, str], filters: Filters = (), parent: str = "") -> dict[str, Any]:
        """The data of a list's answer: items, page number, page size, total; secrets are masked."""
        number = whole_number(query, "pageNumber", 1, most=10**6)
        size = whole_number(query, "pageSize", 10, most=100)
        records, total, _ = self.store.page(
            scope, self.kind.name, parent=parent, filters=filters, limit=size, offset=(number - 1) * size
        )
        items = [self.shown(self._masked(record)) for record in records]
        return {"items": items, "pageNumber": number, "pageSize": size, "total": total}

    def children(self, scope: Scope, parent: str) -> list[Record]:
        """Everything of this kind below one parent."""
        return self.store.page(scope, self.kind.name, parent=parent, limit=-1)[0]

    def every_secret(self) -> list[str]:
        """The secrets of all resources of this kind, in every account."""
        found: list[str] = []

        def note(sealed: str) -> str:
            found.append(self._vault.open(sealed))
            return sealed

        for record in self.store.every(self.kind.name):
            at_paths(record.document, self.kind.secrets, note)
        return found

    # Changing

    def create(self, tenant: Tenant, name: str, document: Mapping[str, Any], parent: str = "") -> Record:
        """Add a resource in its first state. Raises ServiceError: a bad name (400), a taken one (409)."""
        self._check_name(name)
        now = iso(self.clock.now())
        id = f"{self.kind.prefix}-{secrets.token_hex(10)}"
        whole = {
            **document,
            self.kind.id_field: id,
            self.kind.name_field: name,
            "createdAt": now,
            self.kind.updated_field: now,
        }
        record = self._lifecycle.begin(Record(tenant.scope, self.kind.name, id, name, "", whole, parent), CREATE)
        try:
            self.store.insert(self._sealed(record))
        except NameTaken as error:
            raise already_exists(self.kind.noun, name) from error
        return record

    def update(self, record: Record, changes: Mapping[str, Any]) -> Record:
        """Change what is given and begin the update's way through its states.

        Raises ServiceError: a bad name (400), a taken one or a resource that is not READY for it (409).
        """
        if record.status in ("CREATING", "UPDATING"):
            raise conflict(f"{self.kind.noun} {record.name} is {record.status}; wait until it is READY")
        later = max(iso(self.clock.now()), record.document.get(self.kind.updated_field, ""))
        name = changes.get(self.kind.name_field, record.name)
        self._check_name(name)
        document = {**record.document, **changes, self.kind.updated_field: later}
        changed = self._lifecycle.begin(replace(record, name=name, document=document), UPDATE)
        try:
            self.save(changed)
        except NameTaken as error:
            raise already_exists(self.kind.noun, name) from error
        return changed

    def _check_name(self, name: str) -> None:
        if not name.strip() or len(name) > _LONGEST_NAME:
            raise invalid(f"{self.kind.name_field} must have 1 to {_LONGEST_NAME} characters")

    def save(self, record: Record) -> None:
        """Write a record as it is."""
        self.store.save(self._sealed(record))

    def delete(self, record: Record) -> Record:
        """Begin the end of a resource; it is gone at once where its kind has no DELETING."""
        leaving = self._lifecycle.begin(record, DELETE)
        if leaving.status == GONE:
            self.store.delete(record)
            return record
        self.save(leaving)
        return leaving

    def hold(self, record: Record) -> Record:
        """Keep a record in its present state until `finish` moves it on: real work decides when."""
        held = replace(record, next_status=None, due=None)
        self.save(held)
        return held

    def least_duration(self, verb: str) -> float:
        """Seconds that the profile lets a verb take, even when the real work is quicker."""
        return self._lifecycle.duration(self.kind.name, verb)

    def finish(self, record: Record, status: str, reason: str | None = None) -> None:
        """Move a resource to the state that real work came to, if it is still there and not on its way out."""
        current = self.find(record.scope, record.id)
        if current is None or current.status == "DELETING":
            return
        moved = self._lifecycle.arrived(replace(current, next_status=status, due=None))
        self.save(moved.with_document(statusReason=reason))

    # Showing

    def shown(self, record: Record) -> dict[str, Any]:
        """A record as an answer shows it: the contract's fields, with its status."""
        fields = {key: value for key, value in record.document.items() if key in self._shown and value is not None}
        if "status" in self._shown and record.status:
            fields["status"] = record.status
        return fields

    def _masked(self, record: Record) -> Record:
        return replace(record, document=at_paths(record.document, self.kind.secrets, lambda secret: MASK))

    def _sealed(self, record: Record) -> Record:
        return self._secrets(self._referring(record), self._vault.seal)

    def _referring(self, record: Record) -> Record:
        """The record with the names of the credentials in its texts, which nobody finds once they are sealed."""
        if not self.kind.references:
            return record
        found: set[str] = set()

        def note(text: str) -> str:
            found.update(names(text))
            return text

        at_paths(record.document, self.kind.references, note)
        return record.with_document(**{REFERENCES: sorted(found) or None})

    def _opened(self, record: Record | None) -> Record | None:
        return record and self._secrets(record, self._vault.open)

    def _secrets(self, record: Record, change: Callable[[str], str]) -> Record:
        if not self.kind.secrets:
            return record
        return replace(record, document=at_paths(record.document, self.kind.secrets, change))
