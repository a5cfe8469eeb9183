"""Websockets through the gateway: who may open one, what travels, how each side's end reaches the other."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from agentrun import __version__
from agentrun.emulator import Emulator
from agentrun.emulator.data.websockets import sendable, shortened
from tests.emulator.agents import wait_until
from tests.emulator.inside import WEBSOCKET_SERVER, Inside, journalled, new_sandbox, sandbox_of
from tests.emulator.signed import Account, account_of

PORT = "ports/8002"
LARGE = 4 * 2**20


@pytest.fixture(scope="module")
def inside(emulator: Emulator, client: httpx.Client) -> Iterator[Inside]:
    """A sandbox with a websocket server on port 8002."""
    with sandbox_of(account_of(emulator, client)) as inside:
        inside.serve(WEBSOCKET_SERVER, 8002)
        yield inside


@pytest.fixture
def own(account: Account) -> Iterator[Inside]:
    """A sandbox with a websocket server that a test may harm."""
    with sandbox_of(account) as inside:
        inside.serve(WEBSOCKET_SERVER, 8002)
        yield inside


def refused(caught: pytest.ExceptionInfo[InvalidStatus], status: int) -> dict[str, Any]:
    answer = caught.value.response
    assert answer.status_code == status, answer.body
    assert answer.headers["x-agentrun-emulator"] == __version__
    body: dict[str, Any] = json.loads(answer.body or b"")
    assert body["requestId"] == answer.headers["x-acs-request-id"]
    return body


# Who may


def test_a_signature_opens_it(inside: Inside) -> None:
    with inside.websocket(f"{PORT}/some/path", query=[("a", "b c")]) as websocket:
        seen = json.loads(websocket.recv(5))
        assert websocket.response is not None
        assert websocket.response.headers["x-agentrun-emulator"] == __version__
        assert websocket.response.headers["x-acs-request-id"]
    assert seen["path"] == "/some/path?a=b+c"
    assert seen["headers"]["host"] == "localhost:8002"
    assert seen["headers"]["x-forwarded-prefix"] == f"{inside.path}/{PORT}"
    assert not [name for name in seen["headers"] if name.startswith(("agentrun-auth", "x-acs-"))]


def test_an_access_token_opens_it(emulator: Emulator, inside: Inside) -> None:
    query = {"resourceType": "sandbox", "resourceId": inside.id}
    token = inside.account.done("GET", "/2025-09-10/agents/accessToken", **query)["accessToken"]
    address = f"ws://127.0.0.1:{emulator.port}{inside.path}/{PORT}/"
    with connect(address, additional_headers={"authorization": f"Bearer {token}"}, proxy=None) as websocket:
        assert "authorization" not in json.loads(websocket.recv(5))["headers"]


def test_without_a_signature_it_stays_closed(emulator: Emulator, inside: Inside) -> None:
    address = f"ws://127.0.0.1:{emulator.port}{inside.path}/{PORT}/?tenantId=1"
    with pytest.raises(InvalidStatus) as caught:
        connect(address, proxy=None)
    assert refused(caught, 401)["code"] == "MissingAuthorization"


def test_another_account_opens_nothing(inside: Inside, account: Account) -> None:
    with pytest.raises(InvalidStatus) as caught:
        Inside(account, inside.id).websocket(f"{PORT}/")
    assert refused(caught, 404)["code"] == "ERR_NOT_FOUND"


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_web_page_opens_nothing(inside: Inside, origin: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        inside.websocket(f"{PORT}/", origin=origin)
    assert refused(caught, 403)["code"] == "ERR_ORIGIN_REFUSED"


@pytest.mark.parametrize("below", ["contexts", "health", "processes", "processes/tty/x"])
def test_only_terminals_and_ports_are_websockets(inside: Inside, below: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        inside.websocket(below)
    assert "websockets are processes/tty and ports/" in refused(caught, 404)["message"]


@pytest.mark.parametrize("path", ["/2025-09-10/agents/runtimes", "/_emulator/journal", "/scripted/v1/models"])
def test_other_planes_have_no_websockets(emulator: Emulator, path: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://127.0.0.1:{emulator.port}{path}", proxy=None)
    assert caught.value.response.status_code == 404


def test_nothing_listens(inside: Inside) -> None:
    with pytest.raises(InvalidStatus) as caught:
        inside.websocket("ports/8003/")
    body = refused(caught, 502)
    assert (body["code"], body["executed"]) == ("ERR_PORT_CLOSED", "no")


def test_a_refusal_of_the_server_is_passed_on(inside: Inside) -> None:
    with pytest.raises(InvalidStatus) as caught:
        inside.websocket(f"{PORT}/refused")
    assert caught.value.response.status_code == 418
    assert caught.value.response.body == b"no tea here"


# What travels


def test_text_and_bytes_of_any_size_come_back(inside: Inside) -> None:
    with inside.websocket(f"{PORT}/", max_size=None) as websocket:
        websocket.recv(5)
        for message in ("", "é🎉", b"", b"\x00\xff", "x" * LARGE, bytes(LARGE)):
            websocket.send(message)
            assert websocket.recv(10) == message


def test_a_subprotocol_is_agreed_with_the_server(inside: Inside) -> None:
    with inside.websocket(f"{PORT}/", subprotocols=["other", "chat"]) as websocket:
        assert websocket.subprotocol == "chat"


def test_a_ping_is_answered(inside: Inside) -> None:
    with inside.websocket(f"{PORT}/") as websocket:
        assert websocket.ping().wait(5)


def test_who_reads_slowly_does_not_fill_the_emulator(inside: Inside) -> None:
    process = psutil.Process()
    with inside.websocket(f"{PORT}/", max_size=None) as websocket:
        websocket.recv(5)
        before = process.memory_info().rss
        websocket.send("flood")  # 256 MiB, of which nothing is read for a while
        time.sleep(0.5)
        assert process.memory_info().rss - before < 64 * 2**20
        assert sum(len(websocket.recv(10)) for _ in range(4096)) == 4096 * 65536
        assert websocket.recv(10) == "flood"


def test_many_at_once_do_not_mix(inside: Inside) -> None:
    def talk(number: int) -> bool:
        with inside.websocket(f"{PORT}/{number}") as websocket:
            first = json.loads(websocket.recv(5))["path"] == f"/{number}"
            websocket.send(str(number))
            return first and websocket.recv(5) == str(number)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(talk, range(24)))


# How it ends


def test_the_server_closes_with_code_and_reason(inside: Inside) -> None:
    with inside.websocket(f"{PORT}/") as websocket:
        websocket.recv(5)
        websocket.send("close")
        with pytest.raises(ConnectionClosed):
            websocket.recv(5)
        assert (websocket.close_code, websocket.close_reason) == (4321, "as asked")


def test_the_caller_closes_with_code_and_reason(inside: Inside) -> None:
    inside.run("rm -f closed")
    with inside.websocket(f"{PORT}/") as websocket:
        websocket.recv(5)
        websocket.close(4001, "enough")
    inside.run("timeout 5 bash -c 'until [ -s closed ]; do sleep 0.02; done'")
    assert inside.run("cat closed") == "4001 enough"


def test_a_caller_that_vanishes_is_gone_inside_too(inside: Inside) -> None:
    inside.run("rm -f closed")
    with inside.websocket(f"{PORT}/") as websocket:
        websocket.recv(5)
        websocket.socket.shutdown(socket.SHUT_RDWR)
    inside.run("timeout 5 bash -c 'until [ -s closed ]; do sleep 0.02; done'")
    assert inside.run("cat closed").startswith("1001")


def test_too_large_a_message_closes_with_its_code(emulator: Emulator, inside: Inside) -> None:
    with inside.websocket(f"{PORT}/large") as websocket:
        websocket.recv(5)
        with contextlib.suppress(ConnectionClosed):
            websocket.send(bytes(17 * 2**20))
        with pytest.raises(ConnectionClosed):
            websocket.recv(10)
    # The caller may still be sending when the connection is cut, and then never sees the code.
    remarks = wait_until(lambda: journalled(emulator, inside, f"{PORT}/large"))[0][2]
    assert "1009" in remarks[0]


def test_the_journal_notes_it_at_its_end(emulator: Emulator, inside: Inside) -> None:
    with inside.websocket(f"{PORT}/noted") as websocket:
        websocket.recv(5)
        assert not journalled(emulator, inside, f"{PORT}/noted")
        time.sleep(0.2)
    status, duration, remarks = wait_until(lambda: journalled(emulator, inside, f"{PORT}/noted"))[0]
    assert status == 101
    assert 200 <= duration < 5000
    assert remarks == ("closed by the caller: 1000",)


def test_the_end_of_the_sandbox_closes_it_with_the_reason(own: Inside) -> None:
    with own.websocket(f"{PORT}/") as websocket:
        websocket.recv(5)
        own.account.data("POST", f"{own.path}/stop")
        with pytest.raises(ConnectionClosed):
            websocket.recv(5)
        assert websocket.close_code == 1011
        assert "is TERMINATED: stopped" in (websocket.close_reason or "")


def test_an_emulator_that_stops_leaves_nobody_waiting() -> None:
    with Emulator() as emulator, httpx.Client(base_url=emulator.url, trust_env=False, timeout=60) as client:
        inside = new_sandbox(account_of(emulator, client))
        inside.serve(WEBSOCKET_SERVER, 8002)
        with inside.websocket(f"{PORT}/") as websocket:
            websocket.recv(5)
            emulator.stop()
            with pytest.raises(ConnectionClosed):
                websocket.recv(5)


@pytest.mark.parametrize(
    ("code", "sent"),
    [(1000, 1000), (1001, 1001), (1005, 1000), (1006, 1011), (1009, 1009), (1015, 1011), (3000, 3000), (2999, 1011)],
)
def test_which_code_is_sent_on(code: int, sent: int) -> None:
    assert sendable(code) == sent


def test_a_reason_fits_into_its_frame() -> None:
    assert shortened("short") == "short"
    assert len(shortened("é" * 100).encode()) == 122


# Terminals


def test_a_terminal_answers(inside: Inside) -> None:
    query = [("protocol", "text"), ("tenantId", "1")]
    with inside.websocket("processes/tty", query=query) as websocket:
        websocket.send("echo $((6 * 7))\n")
        seen = ""
        while "42" not in seen:
            message = websocket.recv(5)
            seen += message if isinstance(message, str) else message.decode()
