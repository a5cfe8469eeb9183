"""When a request is sent again: counted by a real server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentrun._core import retry
from agentrun._core.api import ControlAPI, DataAPI, Operation
from agentrun._core.session import ByteStream
from agentrun.config import Config
from agentrun.errors import (
    AgentRunError,
    ConnectError,
    HTTPError,
    InvalidResponseError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    TransportError,
)
from tests.unit.modes import both_modes, drive
from tests.unit.servers import Behaviour, Server, after, answer, closed_port, raw, reset, serving, serving_late, success

READ = Operation("GetThing", "GET", "/things/{name}")
CREATE = Operation("CreateThing", "POST", "/things")
DELETE = Operation("DeleteThing", "DELETE", "/things/{name}")
WAIT = {"retry-after": "0"}

# What fails once: how often a read and a create reach the server when it works the second time.
FAILURES: dict[str, tuple[Behaviour, int, int]] = {
    "500": (answer(b"", 500), 2, 1),
    "502": (answer(b"", 502), 2, 1),
    "503": (answer(b"", 503), 2, 1),
    "504": (answer(b"", 504), 2, 1),
    "503 with retry-after": (answer(b"", 503, WAIT), 2, 2),
    "429": (answer(b"", 429), 2, 2),
    "429 with retry-after": (answer(b"", 429, WAIT), 2, 2),
    "500 with retry-after": (answer(b"", 500, WAIT), 2, 1),
    "a reset": (reset(), 2, 1),
    "a closed connection": (raw(b""), 2, 1),
    "a broken body": (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"), 2, 1),
    "nonsense": (raw(b"nonsense\r\n\r\n"), 2, 1),
    "silence": (after(20, answer()), 2, 1),
    "400": (answer(b"", 400), 1, 1),
    "401": (answer(b"", 401), 1, 1),
    "404": (answer(b"", 404), 1, 1),
    "409": (answer(b"", 409), 1, 1),
    "501": (answer(b"", 501), 1, 1),
}


class Things(ControlAPI):
    kind = "Thing"

    async def read(self, config: Config) -> dict[str, Any]:
        return await self._call(READ, "x", config=config)

    async def create(self, config: Config) -> dict[str, Any]:
        return await self._call(CREATE, body={"name": "x"}, config=config)

    async def delete(self, config: Config) -> dict[str, Any]:
        return await self._call(DELETE, "x", config=config)


class Running(DataAPI):
    async def read(self, config: Config) -> Any:
        return await self._call("GET", "/x", config=config)

    async def post(self, config: Config) -> Any:
        return await self._call("POST", "/x", body={}, config=config)

    async def upload(self, parts: Iterator[bytes], config: Config) -> ByteStream:
        return await self._open("POST", "/x", content=parts, config=config)

    async def open(self, method: str, config: Config) -> ByteStream:
        return await self._open(method, "/x", config=config)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE_DELAY", 0.005)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


def config(server: Server, **changes: Any) -> Config:
    return Config.local(int(server.url.rpartition(":")[2])).replace(read_timeout=0.25, **changes)


def attempts(mode: str, server: Server, failure: Behaviour, call: Callable[[Config], Any]) -> int:
    server.then(failure, success({}))
    try:
        drive(mode, call(config(server)))
    except AgentRunError:
        assert len(server.requests) == 1, "what was repeated must have succeeded"
    return len(server.requests)


@both_modes
@pytest.mark.parametrize("name", FAILURES)
def test_reads(server: Server, mode: str, name: str) -> None:
    failure, reads, _ = FAILURES[name]
    assert attempts(mode, server, failure, Things().read) == reads


@both_modes
@pytest.mark.parametrize("name", FAILURES)
def test_creates(server: Server, mode: str, name: str) -> None:
    failure, _, creates = FAILURES[name]
    assert attempts(mode, server, failure, Things().create) == creates


@both_modes
@pytest.mark.parametrize("name", FAILURES)
def test_reads_of_the_data_plane(server: Server, mode: str, name: str) -> None:
    failure, reads, _ = FAILURES[name]
    assert attempts(mode, server, failure, Running("things").read) == reads


@both_modes
@pytest.mark.parametrize("name", ["500", "503 with retry-after", "a reset"])
def test_posts_deletes_and_streams(server: Server, mode: str, name: str) -> None:
    failure, reads, creates = FAILURES[name]
    calls: list[tuple[Callable[[Config], Any], int]] = [
        (Running("things").post, creates),
        (Things().delete, creates),
        (lambda found: opened("GET", found), reads),
        (lambda found: opened("POST", found), creates),
    ]
    for call, expected in calls:
        server.requests.clear()
        assert attempts(mode, server, failure, call) == expected


async def opened(method: str, settings: Config) -> bytes:
    return await (await Running("things").open(method, settings)).read()


@both_modes
@pytest.mark.parametrize("call", [Things().read, Things().create, Things().delete])
def test_a_refused_connection_is_tried_again(
    mode: str, call: Callable[[Config], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BASE_DELAY", 0.4)
    with serving_late(0.1, success({"ok": True})) as server:
        assert drive(mode, call(config(server))) == {"ok": True}
    assert len(server.requests) == 1


@both_modes
def test_a_refused_connection_is_an_error_in_the_end(mode: str) -> None:
    started = time.monotonic()
    with pytest.raises(ConnectError):
        drive(mode, Things().create(Config.local(closed_port())))
    assert time.monotonic() - started >= 0.005 * 0.5 * 3, "two pauses, of at least a half and a whole base delay"


# How often


@both_modes
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_are_counted(server: Server, mode: str, retries: int) -> None:
    server.then(answer({"message": "still broken"}, 502))
    with pytest.raises(ServerError, match="still broken") as caught:
        drive(mode, Things().read(config(server, max_retries=retries)))
    assert len(server.requests) == retries + 1
    assert caught.value.status_code == 502


@both_modes
def test_the_last_error_is_raised(server: Server, mode: str) -> None:
    server.then(reset(), answer(b"", 503), answer({"code": "ERR_LAST", "message": "last"}, 500))
    with pytest.raises(ServerError, match="ERR_LAST"):
        drive(mode, Things().read(config(server)))
    assert len(server.requests) == 3


@both_modes
def test_a_transport_error_comes_out_as_itself(server: Server, mode: str) -> None:
    server.then(reset())
    with pytest.raises(TransportError) as caught:
        drive(mode, Things().read(config(server)))
    assert not isinstance(caught.value, (ConnectError, RequestTimeoutError, InvalidResponseError))
    assert len(server.requests) == 3


@both_modes
def test_content_that_cannot_be_sent_again_is_sent_once(server: Server, mode: str) -> None:
    server.then(answer(b"", 429), answer(b"{}"))

    async def upload() -> None:
        parts = iter([b"a", b"b"])
        await Running("files").upload(parts, config(server))

    with pytest.raises(RateLimitError):
        drive(mode, upload())
    assert len(server.requests) == 1


@both_modes
def test_every_attempt_has_a_nonce_and_a_signature_of_its_own(server: Server, mode: str) -> None:
    server.then(answer(b"", 503), answer(b"", 503), success({}))
    drive(mode, Things().read(config(server)))
    for name in ("x-acs-signature-nonce", "authorization"):
        assert len({received.headers[name] for received in server.requests}) == 3


@both_modes
def test_repeated_answers_give_their_connection_back(server: Server, mode: str) -> None:
    server.then(answer(b"x" * 1000, 503), answer(b"x" * 1000, 503), success({}))
    drive(mode, Things().read(config(server)))
    server.then(answer(b"x" * 1000, 503), answer(b"{}"))
    drive(mode, opened("GET", config(server)))
    assert server.accepted == (1 if mode == "sync" else 2), "one for each loop"


# How long


@both_modes
def test_retry_after_is_waited_for(server: Server, mode: str) -> None:
    server.then(answer(b"", 429, {"retry-after": "0.3"}), success({}))
    started = time.monotonic()
    drive(mode, Things().create(config(server)))
    assert 0.3 <= time.monotonic() - started < 0.8


@both_modes
def test_nobody_waits_beyond_the_whole_time(server: Server, mode: str) -> None:
    server.then(answer(b"", 429, {"retry-after": "5"}), success({}))
    started = time.monotonic()
    with pytest.raises(RateLimitError) as caught:
        drive(mode, Things().create(config(server, timeout=2)))
    assert time.monotonic() - started < 1, "waiting would have been in vain"
    assert caught.value.retry_after == 5
    assert len(server.requests) == 1


@both_modes
def test_a_long_retry_after_is_the_caller_s_to_wait(server: Server, mode: str) -> None:
    server.then(answer(b"", 429, {"retry-after": "3600"}), success({}))
    with pytest.raises(RateLimitError) as caught:
        drive(mode, Things().create(config(server)))
    assert caught.value.retry_after == 3600
    assert len(server.requests) == 1


@both_modes
def test_all_attempts_share_the_whole_time(server: Server, mode: str) -> None:
    server.then(after(30, answer()))
    started = time.monotonic()
    with pytest.raises(RequestTimeoutError):
        drive(mode, Things().read(config(server, timeout=0.6, max_retries=10)))
    assert time.monotonic() - started < 1.2


# The decisions themselves


@dataclass
class Answered:
    status: int
    headers: dict[str, str] = field(default_factory=dict[str, str])


def test_pauses_double_with_jitter_and_end_at_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE_DELAY", 0.2)
    broken = Answered(502)
    for attempt in range(1, 12):
        whole = min(retry.LONGEST_DELAY, 0.2 * 2 ** (attempt - 1))
        pauses = {retry.delay(broken, attempt) for _ in range(200)}
        assert all(min(0.1 * 2 ** (attempt - 1), retry.LONGEST_DELAY) <= pause <= whole for pause in pauses)
        assert len(pauses) > 1 or whole == retry.LONGEST_DELAY


def test_what_was_asked_for_is_never_undercut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE_DELAY", 0.2)
    asked = Answered(429, {"retry-after": "7"})
    assert all(7 <= retry.delay(asked, attempt) <= 7.2 for attempt in range(1, 100))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("", None), ("soon", None), ("-1", None), ("²", None), ("1e3", None), ("inf", None)],
)
def test_retry_after_as_written(value: str, seconds: float | None) -> None:
    assert retry.retry_after(Answered(429, {"retry-after": value})) == seconds


def test_errors_that_are_not_about_transport_are_not_repeated() -> None:
    assert not retry.may_repeat(AgentRunError("x"), reads_only=True)
    assert not retry.may_repeat(HTTPError(500, "x"), reads_only=True)
    assert retry.may_repeat(ConnectError("x"), reads_only=False)
