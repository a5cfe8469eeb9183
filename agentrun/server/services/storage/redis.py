"""Shelves in Redis 5 or newer, or in what speaks like it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, TimeoutError
from redis.retry import Retry
from typing_extensions import TypedDict, Unpack

from agentrun.errors import ConfigError, StorageError
from agentrun.server.services.storage.base import Entry, Place, Shelf

DEFAULT_URL = "redis://localhost:6379/0"
_SCRIPTS = Path(__file__).with_name("lua")
_NAMES = ("append", "delete", "drop", "find", "put", "read", "read_all", "shelves")


class RedisConnection(TypedDict, total=False):
    """How Redis is reached; times are in seconds."""

    redis_client: Any  # A redis.Redis of the caller, who closes it.
    socket_timeout: float | None
    socket_connect_timeout: float | None
    max_connections: int | None
    retry_on_timeout: bool  # Reading only: what was written may be there although the answer is not.
    health_check_interval: float
    socket_keepalive: bool
    prefix: str  # What all keys begin with.


class RedisStorage:
    """Shelves in Redis, each operation one script there; `url` is redis://, rediss:// or unix://.

    All keys of an owner are in one slot of a cluster.
    """

    waits = True

    def __init__(
        self, url: str = DEFAULT_URL, ttl_seconds: float | None = None, **connection: Unpack[RedisConnection]
    ) -> None:
        self._prefix = connection.pop("prefix", "agentrun:")
        self._attempts = 2 if connection.pop("retry_on_timeout", True) else 1
        self._ttl = 0 if ttl_seconds is None else max(1, round(ttl_seconds * 1000))
        client = connection.pop("redis_client", None)
        self._own = client is None
        self._client: Any = _connect(url, connection) if client is None else client
        if not isinstance(self._client, Redis):
            raise ConfigError(
                f"redis_client is a {type(client).__name__}",
                hint="Give a redis.Redis, or leave it out and give the URL",
            )
        head = (_SCRIPTS / "shelf.lua").read_text()
        self._scripts = {
            name: cast(Any, self._client).register_script(head + (_SCRIPTS / f"{name}.lua").read_text())
            for name in _NAMES
        }

    def open(self) -> None:
        """See that Redis answers."""
        self.ping()

    def close(self) -> None:
        """Give up the connections."""
        if self._own:
            self._client.close()

    def ping(self) -> None:
        """Raise StorageError unless Redis answers."""
        with _told():
            self._client.ping()

    def create(self, shelf: Shelf) -> None:
        """Make a shelf; one that exists stays as it is."""
        self._write("put", shelf, 0)

    def append(self, shelf: Shelf, values: Sequence[str], most: int | None = None) -> int:
        """Add entries after the last one, and say the number of the new last one; the oldest over `most` go."""
        return int(self._write("append", shelf, -1 if most is None else most, *values))

    def put(self, shelf: Shelf, entries: Mapping[str, str], *, replace: bool = True) -> None:
        """Set entries; without `replace` those that exist stay as they are."""
        self._write("put", shelf, int(replace), *[part for entry in entries.items() for part in entry])

    def find(self, shelf: Shelf, key: str | None = None) -> Entry | None:
        """An entry, the last one without a key."""
        found = self._read("find", shelf, key or "")
        return Entry(_text(found[0]), _text(found[1])) if found else None

    def read(self, shelf: Shelf) -> list[Entry] | None:
        """All entries in order, None when there is no such shelf."""
        return _entries(self._read("read", shelf))

    def read_all(self, kind: str, owner: str) -> dict[str, list[Entry]]:
        """The entries of all shelves of an owner, in the order in which the shelves were made."""
        found = self._read("read_all", Shelf(kind, owner, ""))
        named = zip(map(_name, found[::2]), map(_entries, found[1::2]), strict=True)
        return {name: entries for name, entries in named if entries is not None}

    def drop(self, shelf: Shelf, keys: Sequence[str]) -> None:
        """Remove entries."""
        self._write("drop", shelf, *keys)

    def delete(self, shelf: Shelf) -> None:
        """Remove a shelf and what is on it."""
        self._write("delete", shelf)

    def shelves(self, kind: str, owner: str, after: int = 0, limit: int = 100) -> list[Place]:
        """The next shelves of an owner behind a position."""
        found = self._read("shelves", Shelf(kind, owner, ""), after, limit)
        return [Place(int(position), _name(name)) for position, name in zip(found[::2], found[1::2], strict=True)]

    def owners(self, kind: str) -> list[str]:
        """Who has shelves of a kind, in no order."""
        head = f"{self._prefix}{kind}:{{"
        pattern = "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in head) + "*}"
        with _told():
            keys = {_text(key) for key in self._client.scan_iter(match=pattern, count=1000)}
        owners = [unquote(key[len(head) : -1]) for key in keys]
        return [owner for owner in owners if self.shelves(kind, owner, limit=1)]

    def _write(self, script: str, shelf: Shelf, *arguments: str | int) -> Any:
        with _told():
            return self._run(script, shelf, arguments)

    def _read(self, script: str, shelf: Shelf, *arguments: str | int) -> Any:
        with _told():
            for _ in range(1, self._attempts):
                try:
                    return self._run(script, shelf, arguments)
                except TimeoutError:
                    continue
            return self._run(script, shelf, arguments)

    def _run(self, script: str, shelf: Shelf, arguments: Sequence[str | int]) -> Any:
        index, name = f"{self._prefix}{shelf.kind}:{{{quote(shelf.owner, safe='')}}}", quote(shelf.name, safe="")
        keys = [index, f"{index}:e:{name}", f"{index}:o:{name}"]
        return self._scripts[script](keys=keys, args=[name, self._ttl, *arguments])


def _connect(url: str, connection: Mapping[str, Any]) -> Redis:
    defaults = {
        "socket_timeout": 5.0,
        "socket_connect_timeout": 5.0,
        "health_check_interval": 30.0,
        "socket_keepalive": True,
    }
    options = {**defaults, **connection}
    if url.startswith("unix:"):
        options.pop("socket_keepalive")
        options.pop("socket_connect_timeout")
    try:
        # Not sent again by the client: what was appended already would be there twice.
        return cast(Redis, cast(Any, Redis).from_url(url, retry=Retry(NoBackoff(), 0), **options))
    except ValueError:
        # Not with the text of the error: the URL may hold a password.
        raise ConfigError("the URL of Redis cannot be read", hint=f"Write it as in {DEFAULT_URL}") from None


@contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise StorageError(f"Redis cannot do it: {error}", hint="Check its URL, and that it runs") from None


def _text(answer: Any) -> str:
    """A text of Redis, whatever a client of the caller makes of it."""
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def _name(answer: Any) -> str:
    return unquote(_text(answer))


def _entries(answer: Any) -> list[Entry] | None:
    """Keys and values in turn; None when not even the empty key is there, which every shelf has."""
    if not answer:
        return None
    texts = list(map(_text, answer))
    return sorted(Entry(key, value) for key, value in zip(texts[::2], texts[1::2], strict=True) if key)
