"""Who has used which credential, and when: counted in memory, and written down now and then.

A call costs an entry in a dictionary. What was not written when the process is killed is lost, which is a few seconds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, NamedTuple

from agentrun.emulator.clock import Clock, iso
from agentrun.emulator.store import Record, Scope, Store

KIND = "CredentialUsage"
_FLUSH_SECONDS = 5.0
# Resources come and go; of those that have used a credential, the latest are remembered.
_MOST_USERS = 1000


class User(NamedTuple):
    """A resource that uses a credential: what the service calls its kind, its id and its name."""

    kind: str
    id: str
    name: str


# What the service calls the kinds of resources that use credentials.
WORDS = {
    "AgentRuntime": "runtime",
    "KnowledgeBase": "knowledgebase",
    "MemoryCollection": "memory_collection",
    "ModelProxy": "model_proxy",
    "ModelService": "model_service",
    "Sandbox": "sandbox",
    "Template": "template",
    "Tool": "tool",
    "Toolset": "toolset",
}


def user(record: Record) -> User:
    """A resource as a user of credentials."""
    return User(WORDS[record.kind], record.id, record.name)


@dataclass
class Count:
    """How often a resource has used a credential, and when it last did, in seconds since 1970."""

    calls: int = 0
    last: float = 0.0


class Usage:
    """The uses of all credentials."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._fresh: dict[tuple[Scope, str], dict[User, Count]] = {}

    def note(self, scope: Scope, credential_id: str, user: User) -> None:
        """A resource has used a credential just now."""
        users = self._fresh.setdefault((scope, credential_id), {})
        count = users.get(user)
        if count is None:
            count = users[user] = Count()
        count.calls += 1
        count.last = self._clock.now()

    def of(self, scope: Scope, credential_id: str) -> dict[str, Any]:
        """The uses of a credential as they travel, the latest first."""
        self.flush()
        record = self._store.get(scope, KIND, credential_id)
        users = sorted(_stored(record).items(), key=lambda entry: -entry[1].last)
        shown = [
            {
                "resourceType": user.kind,
                "resourceId": user.id,
                "resourceName": user.name,
                "calls": count.calls,
                "lastUsedAt": iso(count.last),
            }
            for user, count in users
        ]
        return {**({"lastUsedAt": shown[0]["lastUsedAt"]} if shown else {}), "users": shown}

    def forget(self, scope: Scope, credential_id: str) -> None:
        """A credential is gone."""
        self._fresh.pop((scope, credential_id), None)
        if record := self._store.get(scope, KIND, credential_id):
            self._store.delete(record)

    def clear(self, account: str | None = None) -> None:
        """Forget what was not written yet, of one account or of all."""
        for key in [key for key in self._fresh if account in (None, key[0].account)]:
            del self._fresh[key]

    def flush(self) -> None:
        """Write down what is new."""
        fresh, self._fresh = self._fresh, {}
        for (scope, credential_id), users in fresh.items():
            record = self._store.get(scope, KIND, credential_id)
            content = _document(_added(_stored(record), users))
            if record is None:
                self._store.insert(Record(scope, KIND, credential_id, credential_id, "", content))
            else:
                self._store.save(Record(scope, KIND, credential_id, credential_id, "", content))

    async def keep(self) -> None:
        """Write down what is new, again and again."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            self.flush()


def _added(known: dict[User, Count], fresh: dict[User, Count]) -> dict[User, Count]:
    for user, count in fresh.items():
        before = known.get(user, Count())
        known[user] = Count(before.calls + count.calls, max(before.last, count.last))
    latest = sorted(known, key=lambda user: -known[user].last)[:_MOST_USERS]
    return {user: known[user] for user in latest}


def _stored(record: Record | None) -> dict[User, Count]:
    rows = record.document["users"] if record else ()
    return {User(*row[:3]): Count(*row[3:]) for row in rows}


def _document(users: dict[User, Count]) -> dict[str, Any]:
    return {"users": [[*user, count.calls, count.last] for user, count in users.items()]}
