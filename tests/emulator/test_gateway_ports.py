"""Servers inside a sandbox, reached through the gateway; what its end tells those who wait."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from agentrun import __version__
from agentrun.emulator import Emulator
from agentrun.emulator.data.ports import Destination, destination, public
from agentrun.emulator.wire.envelope import ServiceError
from tests.emulator.agents import wait_until
from tests.emulator.inside import HTTP_SERVER, Inside, sandbox_of
from tests.emulator.signed import CREDENTIALS, Account, account_of, refusal

PORT = "ports/8000"


@pytest.fixture(scope="module")
def inside(emulator: Emulator, client: httpx.Client) -> Iterator[Inside]:
    """A sandbox with a server on port 8000."""
    with sandbox_of(account_of(emulator, client)) as inside:
        inside.serve(HTTP_SERVER, 8000)
        yield inside


@pytest.fixture
def own(account: Account) -> Iterator[Inside]:
    """A sandbox that a test may harm."""
    with sandbox_of(account) as inside:
        yield inside


# Requests


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_any_method_reaches_the_server(inside: Inside, method: str) -> None:
    answer = inside.account.data(method, f"{inside.path}/{PORT}/a/b%2Fc", b"content", q="1 2")
    assert answer.status_code == 201
    seen = answer.json()
    assert (seen["method"], seen["path"]) == (method, "/a/b%2Fc?q=1+2")
    assert seen["body"] == "content"
    assert answer.headers["x-inside"] == "yes"
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_a_head_request_has_no_body(inside: Inside) -> None:
    answer = inside.call("HEAD", f"{PORT}/x")
    assert answer.status_code == 201
    assert int(answer.headers["content-length"]) > 0
    assert answer.content == b""


@pytest.mark.parametrize("below", [PORT, f"{PORT}/"])
def test_the_root_of_the_server(inside: Inside, below: str) -> None:
    assert inside.call("GET", below).json()["path"] == "/"


def test_the_server_sees_itself_and_how_it_was_called(inside: Inside) -> None:
    request = inside.account.data_request("GET", f"{inside.path}/{PORT}/x")
    request.headers["cookie"] = "session=1"
    request.headers["authorization"] = "Basic eDp5"
    request.headers["x-forwarded-host"] = "evil.example"
    seen = inside.account.client.send(request).json()["headers"]
    headers = {name.lower(): value for name, value in seen.items()}
    assert headers["host"] == "localhost:8000"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-host"] == request.url.netloc.decode()
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-prefix"] == f"{inside.path}/{PORT}"
    assert (headers["cookie"], headers["authorization"]) == ("session=1", "Basic eDp5")
    assert not [name for name in headers if name.startswith(("agentrun-auth", "x-acs-"))]


def test_our_own_access_token_stays_outside(inside: Inside) -> None:
    query = {"resourceType": "sandbox", "resourceId": inside.id}
    token = inside.account.done("GET", "/2025-09-10/agents/accessToken", **query)["accessToken"]
    answer = inside.account.client.get(f"{inside.path}/{PORT}/x", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 201
    assert "authorization" not in {name.lower() for name in answer.json()["headers"]}


def test_a_large_body_in_pieces_arrives_whole(inside: Inside) -> None:
    request = inside.account.data_request("POST", f"{inside.path}/{PORT}/x")
    size = 3 * 2**20
    headers = {**dict(request.headers), "content-length": str(size)}
    pieces = (b"x" * 2**16 for _ in range(size // 2**16))
    answer = inside.account.client.post(f"{inside.path}/{PORT}/x", content=pieces, headers=headers)
    assert len(answer.json()["body"]) == size


def test_an_answer_arrives_piece_by_piece_and_ends_when_the_caller_leaves(emulator: Emulator, inside: Inside) -> None:
    request = inside.account.data_request("GET", f"{inside.path}/{PORT}/stream")
    with httpx.Client(base_url=emulator.url, trust_env=False) as client:
        answer = client.send(request, stream=True)
        lines = answer.iter_lines()
        began = time.monotonic()
        assert [next(lines) for _ in range(20)] == [str(number) for number in range(20)]
        assert time.monotonic() - began < 3
        answer.close()
        left = time.time()
    gone = wait_until(lambda: inside.call("GET", f"{PORT}/gone").json(), 3)
    assert gone[0] - left < 0.5


def test_many_call_at_once(inside: Inside) -> None:
    def call(number: int) -> httpx.Response:
        return inside.call("GET", f"{PORT}/{number}")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(40)))
    assert [answer.json()["path"] for answer in answers] == [f"/{number}" for number in range(40)]


# Redirects


def test_a_redirect_stays_in_public(inside: Inside) -> None:
    answer = inside.call("GET", f"{PORT}/redirect", to="http://localhost:8000/next?a=1")
    assert answer.status_code == 302
    assert answer.headers["location"] == f"{inside.path}/{PORT}/next?a=1"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://localhost:80/a?b=c", "/sandboxes/s%2F1/ports/80/a?b=c"),
        ("http://127.0.0.1:80", "/sandboxes/s%2F1/ports/80/"),
        ("http://[::1]:80?a=1", "/sandboxes/s%2F1/ports/80?a=1"),
        ("/login", "/sandboxes/s%2F1/ports/80/login"),
        ("/sandboxes/s%2F1/ports/80/login", "/sandboxes/s%2F1/ports/80/login"),
        ("next", "next"),
        ("//cdn.example/x", "//cdn.example/x"),
        ("http://localhost:8080/x", "http://localhost:8080/x"),
        ("https://example.com/x", "https://example.com/x"),
    ],
)
def test_where_a_redirect_leads(location: str, expected: str) -> None:
    assert public(location.encode(), Destination("s/1", 80, "/")) == expected.encode()


# What cannot be reached


def test_nothing_listens(inside: Inside) -> None:
    answer = inside.call("GET", "ports/8001/x")
    message = refusal(answer, 502)
    assert "nothing answers on port 8001" in message
    assert "python3 -m http.server 8001" in message
    assert (answer.json()["code"], answer.json()["executed"]) == ("ERR_PORT_CLOSED", "no")


def test_a_server_that_hangs_up(inside: Inside) -> None:
    answer = inside.call("GET", f"{PORT}/die")
    assert "the server on port 8000" in refusal(answer, 502)
    assert answer.json()["executed"] == "unknown"
    assert inside.call("GET", f"{PORT}/x").status_code == 201


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "8000x", "", "%38", "٣", "9" * 6])
def test_what_is_no_port(port: str) -> None:
    if port == "%38":
        assert destination("s", f"ports/{port}/x") == Destination("s", 8, "/x")
        return
    with pytest.raises(ServiceError, match="a number from 1 to 65535") as caught:
        destination("s", f"ports/{port}/x")
    assert caught.value.status == 400


def test_another_account_reaches_nothing(inside: Inside, account: Account) -> None:
    assert "does not exist" in refusal(account.data("GET", f"{inside.path}/{PORT}/x"), 404)
    refusal(account.client.get(f"{inside.path}/{PORT}/x"), 401)


# The end of a sandbox


def waiting(inside: Inside) -> dict[str, Any]:
    return {"code": "import time\nopen('began', 'w').close()\ntime.sleep(8)", "timeout": 8}


@pytest.mark.parametrize(("method", "below", "reason"), [("POST", "/stop", "stopped"), ("DELETE", "", "deleted")])
def test_who_waits_learns_at_once_that_the_sandbox_ended(own: Inside, method: str, below: str, reason: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(own.call, "POST", "contexts/execute", waiting(own))
        wait_until(lambda: own.call("GET", "files", path="began").status_code == 200)
        began = time.monotonic()
        assert own.account.data(method, f"{own.path}{below}").status_code == 200
        answer = call.result(5)
        assert time.monotonic() - began < 3
    assert reason in refusal(answer, 410)
    assert (answer.json()["code"], answer.json()["executed"]) == ("ERR_SANDBOX_TERMINATED", "unknown")


def test_who_comes_late_learns_that_nothing_was_done(own: Inside) -> None:
    own.account.data("POST", f"{own.path}/stop")
    answer = own.call("POST", "contexts/execute", {"code": "1"})
    assert "stopped" in refusal(answer, 410)
    assert (answer.json()["code"], answer.json()["executed"]) == ("ERR_SANDBOX_TERMINATED", "no")


# The mark of the emulator


@pytest.mark.parametrize("path", ["/_emulator/health", "/scripted/v1/models", CREDENTIALS, "/nowhere", "/sandboxes/x"])
def test_every_answer_is_marked(client: httpx.Client, path: str) -> None:
    assert client.get(path).headers.get_list("x-agentrun-emulator") == [__version__]


def test_a_passed_on_answer_is_marked(inside: Inside) -> None:
    for below in (f"{PORT}/x", f"{PORT}/stream", "health", "files?path=absent"):
        request = inside.account.data_request("GET", f"{inside.path}/{below}".partition("?")[0])
        answer = inside.account.client.send(request, stream=True)
        assert answer.headers.get_list("x-agentrun-emulator") == [__version__]
        answer.close()


# Management


def test_a_path_of_management_takes_its_own_methods_only(inside: Inside) -> None:
    assert "does not take GET" in refusal(inside.call("GET", "stop"), 405)
    assert "does not take PUT" in refusal(inside.account.data("PUT", inside.path), 405)
    assert "must be an object" in refusal(inside.account.data("POST", f"{inside.path}/pause", b"[1]"), 400)


def test_pause_and_resume_are_on_the_data_plane_too(own: Inside) -> None:
    assert own.call("POST", "pause").json()["data"]["status"] == "PAUSED"
    assert own.call("POST", "resume").json()["data"]["status"] == "READY"


def test_an_owner_is_a_field_of_a_creation(account: Account) -> None:
    body = {"templateName": "absent", "owner": {"pid": 1, "startTime": 1}, "metadata": {"a": "b"}}
    # The template comes next: what goes before it was taken.
    message = refusal(account.data("POST", "/sandboxes", json.dumps(body).encode()), 404)
    assert "template absent" in message
    wrong = {"templateName": "absent", "meta": "x"}
    assert "meta is not a field" in refusal(account.data("POST", "/sandboxes", json.dumps(wrong).encode()), 400)
