"""The pooled connections, against a real server on loopback."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrun._core.blocking import run
from agentrun._core.session import Content, Request, Session, Timeouts, session_for
from agentrun.config import Config
from agentrun.errors import (
    AgentRunError,
    BlockingError,
    ConfigError,
    ConnectError,
    Executed,
    InvalidInputError,
    RequestTimeoutError,
    TransportError,
)
from tests.unit.modes import both_modes, drive
from tests.unit.servers import (
    MISBEHAVIOURS,
    Behaviour,
    Server,
    after,
    answer,
    closed_port,
    head,
    raw,
    reset,
    serving,
    stream,
    trickle,
)

SHORT = Timeouts(total=0.6, connect=0.5, read=0.3)
SLOW_BODY = trickle([head(200, {"content-length": "1000"}), *[b"x"] * 200], 0.05)
SLOW_HEAD = trickle([b"HTTP/1.1 200 OK\r\nx: ", *[b"x"] * 200], 0.05)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(answer(b"{}")) as found:
        yield found


@pytest.fixture
def session() -> Iterator[Session]:
    found = Session()
    yield found
    found.close()


def request(server: Server, path: str = "/", *, method: str = "GET", timeouts: Timeouts = SHORT) -> Request:
    return Request(method, server.url + path, timeouts=timeouts)


# Reuse


def test_a_hundred_calls_use_one_connection(server: Server, session: Session) -> None:
    for _ in range(100):
        assert run(session.send(request(server))).status == 200
    assert (len(server.requests), server.accepted) == (100, 1)


def test_a_hundred_asynchronous_calls_use_one_connection(server: Server, session: Session) -> None:
    async def calls() -> None:
        for _ in range(100):
            await session.send(request(server))

    asyncio.run(calls())
    assert (len(server.requests), server.accepted) == (100, 1)


@both_modes
def test_errors_give_the_connection_back_too(server: Server, session: Session, mode: str) -> None:
    server.then(answer(b"nothing here", 404))

    async def calls() -> None:
        for _ in range(10):
            assert (await session.send(request(server))).status == 404
            assert await (await session.open(request(server))).read() == b"nothing here"

    drive(mode, calls())
    assert server.accepted == 1


def test_configs_share_their_connections() -> None:
    first, second = Config(access_key_id="a", access_key_secret="b"), Config.local(1234)
    assert first.session is second.session is Config().session
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    assert Config(transport=transport).session is not first.session


def test_connections_are_closed_and_opened_again(server: Server, session: Session) -> None:
    run(session.send(request(server)))
    session.close()
    session.close()
    run(session.send(request(server)))
    assert server.accepted == 2


def test_asynchronous_connections_are_closed_and_opened_again(server: Server, session: Session) -> None:
    async def calls() -> None:
        await session.send(request(server))
        await session.close_async()
        await session.close_async()
        await session.send(request(server))

    asyncio.run(calls())
    assert server.accepted == 2


def test_a_connection_that_the_server_closed_is_replaced(server: Server, session: Session) -> None:
    server.then(raw(head(200, {"content-length": "2"}) + b"{}"))
    for _ in range(5):
        run(session.send(request(server)))
        wait_for_lines(server, 0)
    assert server.accepted == 5


def wait_for_lines(server: Server, count: int) -> None:
    deadline = time.monotonic() + 5
    while server.open_lines != count:
        assert time.monotonic() < deadline, f"{server.open_lines} connections are open, not {count}"
        time.sleep(0.005)


# Loops, threads, processes


def test_several_loops_one_after_the_other_leave_nothing_open(server: Server, session: Session) -> None:
    async def twice() -> None:
        await session.send(request(server))
        await session.send(request(server))

    for _ in range(5):
        asyncio.run(twice())
    assert server.accepted == 5
    wait_for_lines(server, 0)


def test_a_loop_that_ends_with_an_open_stream_leaves_nothing_open(server: Server, session: Session) -> None:
    server.then(stream(*[b"x"] * 200, pause=0.05))

    async def leave() -> None:
        body = await session.open(request(server))
        async for _ in body:
            return

    asyncio.run(leave())
    wait_for_lines(server, 0)


def test_loops_in_threads_at_the_same_time(server: Server, session: Session) -> None:
    async def calls() -> None:
        await asyncio.gather(*(session.send(request(server)) for _ in range(5)))

    in_threads(lambda: asyncio.run(calls()), 8)
    assert len(server.requests) == 40


def test_twenty_threads_at_once(server: Server, session: Session) -> None:
    def calls() -> None:
        for _ in range(10):
            assert run(session.send(request(server))).content == b"{}"

    in_threads(calls, 20)
    assert len(server.requests) == 200
    assert server.accepted <= 20


def in_threads(work: Callable[[], None], count: int) -> None:
    """Run `work` in this many threads at once; its first error is raised."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def guarded() -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.asyncio
async def test_both_modes_side_by_side_on_one_thread(server: Server, session: Session) -> None:
    await session.send(request(server))
    assert run(session.send(request(server))).status == 200
    await session.send(request(server))
    assert server.accepted == 2


FORK = """
import asyncio, os, sys
from agentrun._core.blocking import run
from agentrun._core.session import Request
from agentrun.config import Config

session, url = Config().session, sys.argv[1]
ask = lambda who: run(session.send(Request("GET", f"{url}/{who}"))).status
assert ask("parent") == 200
child = os.fork()
if child == 0:
    code = 0 if ask("child") == 200 and asyncio.run(session.send(Request("GET", f"{url}/loop"))).status == 200 else 1
    session.close()
    os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert ask("parent") == 200
"""


def test_a_forked_child_has_connections_of_its_own(server: Server) -> None:
    subprocess.run([sys.executable, "-c", FORK, server.url], check=True, timeout=30)
    assert [received.path for received in server.requests] == ["/parent", "/child", "/loop", "/parent"]
    # One of the parent, which the child did not disturb, and one for each mode in the child.
    assert server.accepted == 3


def test_a_fork_while_another_thread_holds_the_lock_does_not_hang(server: Server) -> None:
    code = FORK.replace("child = os.fork()", "session.wire._lock.acquire()\nchild = os.fork()", 1).replace(
        "assert os.waitstatus", "session.wire._lock.release()\nassert os.waitstatus", 1
    )
    subprocess.run([sys.executable, "-c", code, server.url], check=True, timeout=30)


# Time


@both_modes
@pytest.mark.parametrize("behaviour", [SLOW_BODY, SLOW_HEAD], ids=["body", "head"])
def test_a_trickling_answer_ends_with_the_whole_time(session: Session, mode: str, behaviour: Behaviour) -> None:
    with serving(behaviour) as server:
        took, error = timed(mode, session, request(server))
    assert isinstance(error, RequestTimeoutError)
    assert error.executed is Executed.UNKNOWN
    assert SHORT.total * 0.9 <= took < SHORT.total + 0.5


@both_modes
def test_silence_ends_with_the_reading_time(session: Session, mode: str) -> None:
    with serving(after(30, answer())) as server:
        took, error = timed(mode, session, request(server, timeouts=Timeouts(10, 1, 0.2)))
    assert isinstance(error, RequestTimeoutError)
    assert 0.2 <= took < 1


@both_modes
def test_silence_in_the_middle_of_a_body_ends_with_the_reading_time(session: Session, mode: str) -> None:
    with serving(trickle([head(200, {"content-length": "9"}), b"x"], 0.05), after(30, answer())) as server:
        took, error = timed(mode, session, request(server, timeouts=Timeouts(10, 1, 0.2)))
    assert isinstance(error, RequestTimeoutError)
    assert 0.2 <= took < 1


@both_modes
def test_connecting_ends_with_its_own_time(session: Session, mode: str) -> None:
    with full_backlog() as url:
        took, error = timed(mode, session, Request("GET", url, timeouts=Timeouts(10, 0.2, 10)))
    assert isinstance(error, ConnectError)
    assert error.executed is Executed.NO
    assert 0.2 <= took < 1


@contextmanager
def full_backlog() -> Generator[str, None, None]:
    """Where somebody listens and never accepts: further connections wait for ever."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for each in waiting:
            each.close()


@both_modes
def test_a_stream_may_take_longer_than_the_whole_time(session: Session, mode: str) -> None:
    async def read(server: Server) -> bytes:
        return await (await session.open(request(server, timeouts=Timeouts(0.3, 1, 0.3)))).read()

    with serving(stream(*[b"x"] * 8, pause=0.1)) as server:
        assert drive(mode, read(server)) == b"x" * 8


@both_modes
def test_the_head_of_a_stream_must_come_in_the_whole_time(session: Session, mode: str) -> None:
    with serving(after(30, answer())) as server:
        started = time.monotonic()
        with pytest.raises(RequestTimeoutError):
            drive(mode, session.open(request(server, timeouts=Timeouts(0.3, 1, 30))))
    assert time.monotonic() - started < 1


def timed(mode: str, session: Session, what: Request) -> tuple[float, BaseException]:
    started = time.monotonic()
    with pytest.raises(AgentRunError) as caught:
        drive(mode, session.send(what))
    return time.monotonic() - started, caught.value


# What must not travel


@both_modes
def test_cookies_are_not_kept(session: Session, mode: str) -> None:
    async def twice(server: Server) -> None:
        await session.send(request(server))
        await session.send(request(server))

    with serving(answer(b"{}", headers={"set-cookie": "session=stolen; path=/"})) as server:
        drive(mode, twice(server))
    assert [received.headers.get("cookie") for received in server.requests] == [None, None]


@both_modes
def test_loopback_is_reached_without_a_proxy(
    server: Server, session: Session, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    for host in ("127.0.0.1", "localhost"):
        url = server.url.replace("127.0.0.1", host)
        assert drive(mode, session.send(Request("GET", url, timeouts=SHORT))).status == 200


@both_modes
def test_other_hosts_are_reached_through_the_proxy(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    session = Session()
    with serving(answer(b"{}")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        drive(mode, session.send(Request("GET", "http://agentrun.example.com/x", timeouts=SHORT)))
    session.close()
    assert proxy.requests[0].path == "http://agentrun.example.com/x"


@both_modes
def test_redirects_are_not_followed(session: Session, mode: str) -> None:
    with serving(answer(b"", 302, {"location": "/elsewhere"}), answer(b"{}")) as server:
        assert drive(mode, session.send(request(server))).status == 302
    assert len(server.requests) == 1


def test_the_log_has_no_query_and_no_header(server: Server, session: Session, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="agentrun")
    what = request(server, "/path?token=hidden")
    what.headers["authorization"] = "hidden"
    run(session.send(what))
    assert "/path" in caplog.text
    assert "hidden" not in "".join(record.getMessage() for record in caplog.records if record.name == "agentrun")


# Transports that are handed in


@both_modes
def test_a_transport_replaces_the_network(mode: str) -> None:
    transport = httpx.MockTransport(lambda asked: httpx.Response(200, text=asked.url.path))
    reply = drive(mode, Config(transport=transport).session.send(Request("GET", "http://nowhere.invalid/here")))
    assert reply.content == b"/here"


class OnlyAsync(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200)


@pytest.mark.parametrize(
    ("mode", "transport"), [("sync", OnlyAsync()), ("async", httpx.HTTPTransport())], ids=["sync", "async"]
)
def test_a_transport_of_the_wrong_kind_is_named(mode: str, transport: httpx.BaseTransport | OnlyAsync) -> None:
    with pytest.raises(InvalidInputError, match=f"cannot make {mode}hronous calls"):
        drive(mode, session_for(transport).send(Request("GET", "http://127.0.0.1")))


# Contents


CONTENTS: dict[str, Callable[[], Content]] = {
    "bytes": lambda: b"abc",
    "list": lambda: [b"a", b"bc"],
    "generator": lambda: (part for part in (b"a", b"bc")),
}


@both_modes
@pytest.mark.parametrize("kind", CONTENTS)
def test_contents_of_every_kind(server: Server, session: Session, mode: str, kind: str) -> None:
    drive(mode, session.send(Request("POST", server.url, content=CONTENTS[kind]())))
    expected = b"abc" if kind == "bytes" else b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
    assert server.requests[0].body == expected


async def asynchronous_parts() -> AsyncIterator[bytes]:
    yield b"abc"


@pytest.mark.asyncio
async def test_asynchronous_content(server: Server, session: Session) -> None:
    await session.send(Request("POST", server.url, content=asynchronous_parts()))
    assert server.requests[0].body == b"3\r\nabc\r\n0\r\n\r\n"


def test_asynchronous_content_in_a_synchronous_call_is_refused(server: Server, session: Session) -> None:
    with pytest.raises(BlockingError, match="content"):
        run(session.send(Request("POST", server.url, content=asynchronous_parts())))


# Errors


@both_modes
def test_a_refused_connection_was_not_executed(session: Session, mode: str) -> None:
    with pytest.raises(ConnectError, match=r"cannot reach http://127\.0\.0\.1:\d+") as caught:
        drive(mode, session.send(Request("POST", f"http://127.0.0.1:{closed_port()}")))
    assert caught.value.executed is Executed.NO
    assert caught.value.status_code == 0


@both_modes
def test_a_reset_answer_may_have_been_executed(session: Session, mode: str) -> None:
    with serving(reset(head(200, {"content-length": "9"}))) as server, pytest.raises(TransportError) as caught:
        drive(mode, session.send(request(server, method="POST")))
    assert caught.value.executed is Executed.UNKNOWN


async def sent(session: Session, what: Request) -> None:
    await session.send(what)


async def streamed(session: Session, what: Request) -> None:
    body = await session.open(what)
    if "for-ever" in what.url:
        await body.close()  # A stream may go on for as long as something comes.
    else:
        await body.read()


@both_modes
@pytest.mark.parametrize("name", MISBEHAVIOURS)
@pytest.mark.parametrize("call", [sent, streamed])
def test_only_transport_errors_come_out(
    session: Session, mode: str, name: str, call: Callable[[Session, Request], Coroutine[Any, Any, None]]
) -> None:
    with serving(MISBEHAVIOURS[name]) as server:
        path = "/for-ever" if name == "trickles its body" else "/"
        with suppress(TransportError):
            drive(mode, call(session, request(server, path, timeouts=Timeouts(0.3, 0.3, 0.3))))
        assert drive(mode, answers(session, server)), "it still works after all that"


async def answers(session: Session, server: Server) -> bool:
    server.then(answer(b"fine"))
    return (await session.send(request(server))).content == b"fine"


@both_modes
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:port/", "http://[::1", "ftp://127.0.0.1/", "http:///path", "http://\udcff/", "nothing"]
)
def test_urls_that_cannot_be_called(session: Session, mode: str, url: str) -> None:
    with pytest.raises((InvalidInputError, ConnectError)) as caught:
        drive(mode, session.send(Request("GET", url)))
    assert caught.value.executed is Executed.NO


@both_modes
@pytest.mark.parametrize("value", ["a\r\nb", "a\0b", "snow ☃"])
def test_headers_that_cannot_be_sent(server: Server, session: Session, mode: str, value: str) -> None:
    with pytest.raises((InvalidInputError, TransportError)) as caught:
        drive(mode, session.send(Request("POST", server.url, {"x-name": value})))
    assert caught.value.executed is Executed.NO
    assert server.requests == []


@both_modes
def test_certificates_that_cannot_be_read(mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        drive(mode, Session().send(Request("GET", "https://127.0.0.1:1")))


@both_modes
def test_a_proxy_that_cannot_be_used(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://proxy:70")
    with pytest.raises(ConfigError, match="PROXY"):
        drive(mode, Session().send(Request("GET", "http://agentrun.invalid")))


@pytest.mark.asyncio
async def test_a_cancelled_call_leaves_the_session_usable(server: Server, session: Session) -> None:
    server.then(after(30, answer()))
    task = asyncio.ensure_future(session.send(request(server, timeouts=Timeouts(30, 1, 30))))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.then(answer(b"{}"))
    assert (await session.send(request(server))).status == 200


def test_the_process_ends_quietly_with_connections_open(server: Server) -> None:
    code = """
import asyncio, sys
from agentrun._core.blocking import run
from agentrun._core.session import Request
from agentrun.config import Config
run(Config().session.send(Request("GET", sys.argv[1])))
asyncio.run(Config().session.send(Request("GET", sys.argv[1])))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, server.url], check=True, capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
