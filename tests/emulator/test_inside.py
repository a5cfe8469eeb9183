"""The emulator as code reaches it that it runs itself: closed to whoever knows no more than what is public."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from agentrun._core.local import ACCESS_KEY_SECRET, PORT
from agentrun.emulator import Emulator
from tests.emulator import bodies
from tests.emulator.agents import deployed
from tests.emulator.inside import Inside, sandbox_of
from tests.emulator.mcp_servers import TOOLS, remote
from tests.emulator.signed import CREDENTIALS, MODEL_PROXIES, MODEL_SERVICES, RUNTIMES, Account, account_of, client_of

ADMIN = [("POST", "reset"), ("GET", "journal"), ("GET", "status"), ("GET", "health"), ("GET", "nothing")]
NOT_INSIDE = "InvalidAccessKeyId.Inactive"
WEBSOCKET = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
}

SEND = """
import http.client, json, sys

def send(port, method, path, headers, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return {"status": answer.status, "body": answer.read().decode()}
"""
PROGRAM = f"""{SEND}
print(json.dumps(send(*json.loads(sys.argv[1]))))
"""
AGENT = f"""{SEND}
import http.server, os

class Agent(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(dict(os.environ))

    def do_POST(self):
        self.answer(send(*json.loads(self.rfile.read(int(self.headers["content-length"])))))

    def answer(self, value):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

http.server.HTTPServer(("127.0.0.1", 9000), Agent).serve_forever()
"""
CALL = "/agent-runtimes/agent/endpoints/Default/invocations"


@dataclass(frozen=True)
class Answer:
    """What code inside was answered."""

    status: int
    body: str

    @property
    def code(self) -> str:
        """The code of the service."""
        return str(json.loads(self.body)["code"])

    @property
    def message(self) -> str:
        """The text of an error."""
        return str(json.loads(self.body)["message"])


@dataclass(frozen=True)
class Place:
    """Where code runs inside, in somebody's account; `run` sends what it is told from there."""

    account: Account
    run: Callable[[str], dict[str, Any]]

    @property
    def port(self) -> int:
        """Where the emulator is, inside as outside."""
        return self.account.client.base_url.port or 0

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: str | None = None) -> Answer:
        """Send a request from inside."""
        return Answer(**self.run(json.dumps([self.port, method, path, headers or {}, body])))

    def send(self, request: httpx.Request) -> Answer:
        """Send a request from inside that was signed before."""
        body = request.content.decode() or None
        return self.ask(request.method, request.url.raw_path.decode(), dict(request.headers), body)


def within(inside: Inside) -> Place:
    """A sandbox as such a place."""
    assert inside.call("POST", "files", {"path": "send.py", "content": PROGRAM}).status_code == 200
    return Place(inside.account, lambda sent: json.loads(inside.run(f"python3 send.py {shlex.quote(sent)}")))


@contextmanager
def sandbox_in(emulator: Emulator, client: httpx.Client) -> Generator[tuple[Place, Inside]]:
    """A sandbox in an emulator; skips where it shares the network of the machine."""
    if client.get("/_emulator/status").json()["isolation"] in ("landlock", "none"):
        pytest.skip("a sandbox has no network of its own here")
    with sandbox_of(account_of(emulator, client)) as inside:
        yield within(inside), inside


@contextmanager
def own_sandbox(unstarted: Emulator) -> Generator[tuple[Emulator, Place, Inside]]:
    """A sandbox in an emulator that runs for it alone, reached as its `config()` says."""
    with unstarted as emulator:
        transport = emulator.config().transport
        assert transport is None or isinstance(transport, httpx.BaseTransport)
        with (
            httpx.Client(base_url=emulator.url, transport=transport, timeout=60, trust_env=False) as client,
            sandbox_in(emulator, client) as (place, inside),
        ):
            yield emulator, place, inside


def agent_in(account: Account) -> Place:
    """An agent that sends what it is told."""
    code = bodies.code(bodies.zipped({"main.py": AGENT}))
    deployed(account, codeConfiguration=code)
    return Place(account, lambda sent: account.data("POST", CALL, sent.encode()).json())


def temporary(emulator: Emulator, account: Account) -> Account:
    """The account by a temporary key of the platform."""
    key = emulator.platform.auth.temporary_key(account.key)
    return replace(account, key=key.access_key_id, secret=key.access_key_secret, token=key.security_token)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Emulator, httpx.Client]]:
    """An emulator that may be reset, with a pair of its own beside the default secret."""
    pairs = {"mine": "my-secret", "careless": ACCESS_KEY_SECRET}
    with Emulator(access_keys=pairs) as emulator, client_of(emulator) as client:
        yield emulator, client


@pytest.fixture(scope="module")
def sandbox(served: tuple[Emulator, httpx.Client]) -> Iterator[tuple[Place, Inside]]:
    """A sandbox in it."""
    with sandbox_in(*served) as found:
        yield found


@pytest.fixture(scope="module")
def agent(served: tuple[Emulator, httpx.Client]) -> Place:
    """A running agent in it."""
    return agent_in(account_of(*served))


@pytest.fixture(params=["sandbox", "agent"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each place from which code can call."""
    found: Any = request.getfixturevalue(request.param)
    return found if isinstance(found, Place) else found[0]


# The emulator's own interface


@pytest.mark.parametrize(("method", "name"), ADMIN)
def test_the_emulators_own_interface_is_closed(place: Place, method: str, name: str) -> None:
    account = replace(place.account, key=f"key-{uuid4().hex}")
    account.done("POST", CREDENTIALS, bodies.credential())
    answer = place.ask(method, f"/_emulator/{name}")
    assert (answer.status, answer.code) == (403, "ERR_INSIDE_REFUSED")
    assert "call it from outside" in answer.message
    assert account.done("GET", CREDENTIALS)["total"] == 1


def test_nothing_that_is_sent_makes_it_a_client(place: Place) -> None:
    claims = {"x-forwarded-for": "192.0.2.1", "forwarded": "for=192.0.2.1", "agentrun.inside": ""}
    assert place.ask("GET", "/_emulator/journal", claims).status == 403


# Access keys


@pytest.mark.parametrize("key", ["local", "somebody-else", "careless", "its own"])
def test_the_public_secret_opens_nothing(place: Place, key: str) -> None:
    account = Account(place.account.client, place.account.key if key == "its own" else key)
    assert account.call("GET", CREDENTIALS).status_code == 200
    for request in (account.control_request("GET", CREDENTIALS), account.data_request("GET", "/sandboxes/absent")):
        answer = place.send(request)
        assert (answer.status, answer.code) == (403, NOT_INSIDE)
        assert all(word in answer.message for word in (account.key, "temporary key", "access token", "--access-key"))


def test_a_secret_of_its_own_is_accepted(place: Place) -> None:
    mine = Account(place.account.client, "mine", "my-secret")
    assert place.send(mine.control_request("GET", CREDENTIALS)).status == 200
    answer = place.send(mine.data_request("GET", "/sandboxes/absent"))
    assert (answer.status, "does not exist" in answer.message) == (404, True)
    for wrong in (ACCESS_KEY_SECRET, "wrong"):
        answer = place.send(replace(mine, secret=wrong).control_request("GET", CREDENTIALS))
        assert (answer.status, answer.code) == (401, "SignatureDoesNotMatch")


def test_a_temporary_key_is_accepted(
    served: tuple[Emulator, httpx.Client], sandbox: tuple[Place, Inside], place: Place
) -> None:
    lent = temporary(served[0], sandbox[1].account)
    assert place.send(lent.control_request("GET", CREDENTIALS)).status == 200
    assert place.send(lent.data_request("GET", sandbox[1].path)).status == 200
    forged = replace(lent, secret=ACCESS_KEY_SECRET)
    assert place.send(forged.control_request("GET", CREDENTIALS)).status == 401


@pytest.mark.parametrize("url", ["http://127.0.0.1:22/v1", "http://169.254.169.254/latest", "https://example.com/v1"])
def test_the_gateway_of_models_is_no_way_out(
    served: tuple[Emulator, httpx.Client], sandbox: tuple[Place, Inside], place: Place, url: str
) -> None:
    lent = temporary(served[0], sandbox[1].account)
    endpoint = {"endpoints": [{"baseUrl": url, "modelNames": ["m"]}]}
    made = {
        MODEL_SERVICES: bodies.model_service(f"m-{uuid4().hex}", providerSettings={"baseUrl": url}),
        MODEL_PROXIES: bodies.model_proxy(f"p-{uuid4().hex}", proxyConfig=endpoint),
    }
    for path, body in made.items():
        answer = place.send(lent.control_request("POST", path, content=json.dumps(body).encode()))
        assert (answer.status, answer.code) == (403, "ERR_INSIDE_REFUSED")
        assert "outside of them" in answer.message


@pytest.mark.parametrize("url", ["http://127.0.0.1:22/", "https://example.com/v1", "http://127.0.0.1:{port}/tools/x"])
def test_tools_are_no_way_out(
    served: tuple[Emulator, httpx.Client], sandbox: tuple[Place, Inside], place: Place, url: str
) -> None:
    lent, url = temporary(served[0], sandbox[1].account), url.format(port=place.port)
    api = json.dumps({"openapi": "3.0.0", "paths": {}, "servers": [{"url": url}]})
    mcp, name = remote(url), f"t-{uuid4().hex}"
    detail = {"schema": {"type": "MCP", "detail": mcp}}
    made: list[tuple[str, dict[str, Any]]] = [
        (TOOLS, {"toolType": "MCP", "createMethod": "MCP_REMOTE", "toolName": name, "protocolSpec": mcp}),
        (TOOLS, {"toolType": "FUNCTIONCALL", "createMethod": "OPENAPI_IMPORT", "toolName": name, "protocolSpec": api}),
        (TOOLS, {"toolType": "MCP", "createMethod": "MCP_LOCAL", "toolName": name, "protocolSpec": mcp}),
        ("/2023-07-14/toolsets", {"name": name, "spec": detail}),
    ]
    for path, body in made:
        answer = place.send(lent.control_request("POST", path, content=json.dumps(body).encode()))
        assert (answer.status, answer.code) == (403, "ERR_INSIDE_REFUSED")
        assert "outside of them" in answer.message


def test_a_call_of_a_tool_from_inside_is_signed(place: Place) -> None:
    for path in ("/tools/x/mcp", "/templates/x/mcp", "/toolsets/x/mcp", "/tool-logs/x"):
        assert place.ask("POST", path).status == 401


def test_the_emulators_own_models_may_be_named_inside(
    served: tuple[Emulator, httpx.Client], sandbox: tuple[Place, Inside], place: Place
) -> None:
    lent = temporary(served[0], sandbox[1].account)
    settings = {"baseUrl": f"http://127.0.0.1:{place.port}/scripted/v1"}
    body = bodies.model_service(f"m-{uuid4().hex}", providerSettings=settings)
    assert place.send(lent.control_request("POST", MODEL_SERVICES, content=json.dumps(body).encode())).status == 200


def test_an_access_token_is_accepted(sandbox: tuple[Place, Inside], place: Place) -> None:
    inside = sandbox[1]
    query = {"resourceType": "sandbox", "resourceName": inside.id}
    token = inside.account.done("GET", "/2025-09-10/agents/accessToken", **query)["accessToken"]
    bearer = {"authorization": f"Bearer {token}"}
    assert place.ask("GET", inside.path, bearer).status == 200
    assert place.ask("GET", "/sandboxes/another", bearer).status == 403


def test_websockets_are_no_way_around(served: tuple[Emulator, httpx.Client], sandbox: tuple[Place, Inside]) -> None:
    place, inside = sandbox
    path = f"{inside.path}/processes/tty"
    refused = place.send(inside.account.data_request("GET", path, headers=WEBSOCKET))
    assert (refused.status, refused.code) == (403, NOT_INSIDE)
    opened = place.send(temporary(served[0], inside.account).data_request("GET", path, headers=WEBSOCKET))
    assert opened.status == 101


def test_an_agent_works_with_what_the_platform_gave_it(agent: Place) -> None:
    given = agent.account.data("GET", CALL).json()
    own = Account(
        agent.account.client,
        given["AGENTRUN_ACCESS_KEY_ID"],
        given["AGENTRUN_ACCESS_KEY_SECRET"],
        given["AGENTRUN_SECURITY_TOKEN"],
    )
    answer = agent.send(own.control_request("GET", RUNTIMES))
    assert answer.status == 200
    assert [item["agentRuntimeName"] for item in json.loads(answer.body)["data"]["items"]] == ["agent"]


def test_without_verification_the_inside_is_verified_all_the_same() -> None:
    with own_sandbox(Emulator(verify_signatures=False)) as (emulator, place, inside):
        assert place.account.client.get(CREDENTIALS).status_code == 200
        assert place.ask("GET", CREDENTIALS).code == "MissingAuthorization"
        assert place.ask("GET", inside.path).code == "MissingAuthorization"
        assert place.send(inside.account.data_request("GET", inside.path)).code == NOT_INSIDE
        assert place.send(temporary(emulator, inside.account).data_request("GET", inside.path)).status == 200


def test_an_emulator_with_a_secret_of_its_own_takes_it() -> None:
    with own_sandbox(Emulator(secret="nobody knows")) as (_, place, inside):
        assert place.send(inside.account.data_request("GET", inside.path)).status == 200
        public = replace(inside.account, secret=ACCESS_KEY_SECRET)
        assert place.send(public.data_request("GET", inside.path)).status == 401


# Clients of this machine


@pytest.mark.parametrize("choices", [{"port": None}, {"tls": True}], ids=["no port", "tls"])
def test_the_host_stays_a_client(choices: dict[str, Any], tmp_path: Path) -> None:
    with own_sandbox(Emulator(state=tmp_path, **choices)) as (_, place, inside):
        client = place.account.client
        assert client.get("/_emulator/health").json() == {"status": "ok"}
        assert place.ask("GET", "/_emulator/journal").status == 403
        assert place.send(inside.account.data_request("GET", inside.path)).code == NOT_INSIDE
        assert client.post("/_emulator/reset").status_code == 200


def test_without_a_port_nobody_inside_sees_the_way_of_clients() -> None:
    with own_sandbox(Emulator(port=None)) as (emulator, place, inside):
        way = emulator.platform.client_socket
        assert way.is_socket()
        assert way.parent.stat().st_mode & 0o777 == 0o700
        assert place.port == PORT
        assert inside.run(f"test -e {way} || echo nothing") == "nothing\n"


def test_with_a_port_there_is_no_other_way(emulator: Emulator) -> None:
    assert not emulator.platform.client_socket.exists()
