"""MCP servers that the emulator runs itself: spoken to by a foreign client, crashed, walled in and logged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from agentrun.emulator import Emulator
from tests.emulator import bodies
from tests.emulator.agents import wait_until
from tests.emulator.mcp_clients import BOTH, RawClient, begun, connected, messages_of, text_of
from tests.emulator.mcp_servers import LISTENING, PACKAGED, PLAIN, TOOLS, local, made, packaged, settled
from tests.emulator.signed import Account, account_of, refusal

PATH = "/tools/tool"


@pytest.fixture(scope="module")
def plain(emulator: Emulator, client: httpx.Client) -> Iterator[Account]:
    """An account with the plain server, for tests that do it no harm."""
    account = account_of(emulator, client)
    made(account, packaged(PLAIN, environmentVariables={"GREETING": "hello"}))
    yield account
    account.done("DELETE", f"{TOOLS}/tool")


# A foreign client


@pytest.mark.asyncio
@pytest.mark.parametrize("transport", ["mcp", "sse"])
async def test_the_mcp_package_uses_a_server_of_its_own_kind(account: Account, transport: str) -> None:
    made(account, packaged(PACKAGED))
    async with connected(account, f"{PATH}/{transport}") as session:
        listed = await session.list_tools()
        assert [tool.name for tool in listed.tools] == ["add", "fail"]
        assert text_of(await session.call_tool("add", {"a": 1, "b": 2})) == "3"
        assert "Error executing tool fail" in text_of(await session.call_tool("fail", {}))
        assert "buy milk" in str(await session.read_resource("note://today"))
        with pytest.raises(Exception, match="none"):  # The classes of errors differ between versions.
            await session.get_prompt("none", {})


@pytest.mark.asyncio
@pytest.mark.parametrize("transport", ["mcp", "sse"])
async def test_two_clients_have_two_servers(plain: Account, transport: str) -> None:
    path = f"{PATH}/{transport}"
    async with connected(plain, path) as one, connected(plain, path) as other:
        counted = [text_of(await one.call_tool("count", {})) for _ in range(3)]
        assert counted == ["1", "2", "3"]
        assert text_of(await other.call_tool("count", {})) == "1"
        assert text_of(await one.call_tool("pid", {})) != text_of(await other.call_tool("pid", {}))


@pytest.mark.asyncio
@pytest.mark.parametrize("transport", ["mcp", "sse"])
async def test_progress_arrives_before_the_result(plain: Account, transport: str) -> None:
    steps: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async with connected(plain, f"{PATH}/{transport}") as session:
        result = await session.call_tool("slowly", {"seconds": 0.3}, progress_callback=note)
        assert text_of(result) == '"done"'
    assert steps == [0, 1, 2]


@pytest.mark.asyncio
async def test_many_calls_at_once_find_their_answers(plain: Account) -> None:
    async with connected(plain, f"{PATH}/mcp") as session:
        results = await asyncio.gather(*(session.call_tool("echo", {"text": str(n)}) for n in range(50)))
    assert [json.loads(text_of(result)) for result in results] == [str(n) for n in range(50)]


@pytest.mark.asyncio
@pytest.mark.parametrize(("transport", "spoken"), [("mcp", "streamable-http"), ("sse", "sse")])
async def test_a_server_that_listens_itself_is_passed_on_to(account: Account, transport: str, spoken: str) -> None:
    made(account, packaged(LISTENING % spoken, port=8700))
    async with connected(account, f"{PATH}/{transport}") as session:
        assert text_of(await session.call_tool("greet", {"name": "you"})) == "hello you"


# Every byte of streamable HTTP


def test_a_session_by_hand(plain: Account) -> None:
    client = RawClient(plain, f"{PATH}/mcp")
    result = client.begin()
    assert result["serverInfo"] == {"name": "plain", "version": "1"}
    assert "echo" in {tool["name"] for tool in client.ask("tools/list")["tools"]}
    text = "é\n\u2028 " + "x" * 2**20
    assert client.call("echo", text=text) == text
    assert client.plain("DELETE").status_code == 200
    gone = client.send(client.request("tools/list"))
    assert gone.status_code == 404
    assert "begin with initialize" in gone.json()["error"]["message"]


def test_what_a_session_refuses(plain: Account) -> None:
    client = begun(plain, f"{PATH}/mcp")
    listing = client.request("tools/list")
    assert client.send(listing, accept="application/json").status_code == 406
    assert client.send(listing, content_type="text/plain").status_code == 415
    assert client.send(listing, mcp_protocol_version="1999-01-01").status_code == 400
    assert client.send(listing, mcp_protocol_version="2025-06-18").status_code == 200
    assert client.send(listing, mcp_session_id="0" * 32).status_code == 404
    assert client.plain("PUT").status_code == 405
    for wrong in (
        b"{",
        b"[]",
        b'{"jsonrpc":"2.0"}',
        b'{"id":1,"method":"x"}',
        b'{"jsonrpc":"2.0","id":[],"method":"x"}',
    ):
        answer = client.send(wrong)
        assert answer.status_code == 400, wrong
        assert answer.json()["error"]["message"]
    without = RawClient(plain, f"{PATH}/mcp").send(listing)
    assert (without.status_code, without.json()["id"]) == (400, listing["id"])


def test_a_page_of_the_web_is_refused(plain: Account) -> None:
    client = RawClient(plain, f"{PATH}/mcp")
    assert client.send(client.request("initialize"), origin="https://example.com").status_code == 403


def test_a_message_on_several_lines_is_one_message(plain: Account) -> None:
    client = begun(plain, f"{PATH}/mcp")
    message = json.dumps(client.request("tools/call", name="echo", arguments={"text": "a"}), indent=2)
    answer = client.send(message.encode())
    assert json.loads(answer.json()["result"]["content"][0]["text"]) == "a"


def test_a_session_has_one_stream_to_listen_on(plain: Account) -> None:
    client = begun(plain, f"{PATH}/mcp")
    headers = {"accept": "text/event-stream", "mcp-session-id": client.session}
    request = plain.data_request("GET", f"{PATH}/mcp", headers=headers)
    opened = plain.client.send(request, stream=True)
    try:
        assert opened.headers["content-type"] == "text/event-stream"
        assert client.plain("GET").status_code == 409
    finally:
        opened.close()

    def opens_again() -> bool:
        again = plain.client.send(plain.data_request("GET", f"{PATH}/mcp", headers=headers), stream=True)
        again.close()
        return again.status_code == 200

    wait_until(opens_again)


def test_a_slow_answer_comes_as_events_after_its_progress(plain: Account) -> None:
    client = begun(plain, f"{PATH}/mcp")
    message = client.request("tools/call", name="slowly", arguments={"seconds": 0.1}, _meta={"progressToken": "t"})
    answer = client.send(message)
    assert answer.headers["content-type"] == "text/event-stream"
    events = messages_of(answer)
    assert [event.get("method") for event in events] == ["notifications/progress"] * 3 + [None]
    assert events[-1]["id"] == message["id"]


def test_a_server_may_ask_its_client_while_it_works(plain: Account) -> None:
    client = begun(plain, f"{PATH}/mcp")
    message = client.request("tools/call", name="ask", arguments={})
    with _streamed(client, "POST", json.dumps(message).encode()) as events:
        question = next(events)
        assert (question["id"], question["method"]) == ("mine", "roots/list")
        reply = client.send({"jsonrpc": "2.0", "id": "mine", "result": {"roots": ["a"]}})
        assert reply.status_code == 202
        answer = next(events)
    assert answer["id"] == message["id"]
    assert json.loads(answer["result"]["content"][0]["text"]) == {"roots": ["a"]}


def test_what_a_server_says_unasked_waits_for_who_listens(plain: Account) -> None:
    client = begun(plain, f"{PATH}/mcp")
    assert client.call("announce") == "announced"
    with _streamed(client, "GET") as events:
        assert next(events)["method"] == "notifications/tools/list_changed"
        assert client.call("announce") == "announced"
        assert next(events)["method"] == "notifications/tools/list_changed"


@contextlib.contextmanager
def _streamed(client: RawClient, method: str, content: bytes = b"") -> Generator[Iterator[dict[str, Any]], None, None]:
    """The events of an answer as they come."""
    headers = {"accept": BOTH, "mcp-session-id": client.session}
    headers |= {"content-type": "application/json"} if content else {}
    request = client.account.data_request(method, client.path, content=content, headers=headers)
    answer = client.account.client.send(request, stream=True)
    try:
        assert answer.headers["content-type"] == "text/event-stream"
        yield (json.loads(line[5:]) for line in answer.iter_lines() if line.startswith("data:"))
    finally:
        answer.close()


def test_sessions_that_are_idle_end_with_their_servers(account: Account) -> None:
    rules = json.dumps({"sessionIdleTimeoutInSeconds": 1, "sessionConcurrencyPerInstance": 2})
    mark = f"mark-{account.key}"
    config = {"sessionAffinityConfig": rules}
    made(account, packaged(PLAIN, mcpConfig=config, environmentVariables={"MARK": mark}))
    before = len(_marked(mark))
    clients = [begun(account, f"{PATH}/mcp") for _ in range(2)]
    full = RawClient(account, f"{PATH}/mcp").send(clients[0].request("initialize"))
    assert full.status_code == 503
    assert "there are 2 sessions" in full.json()["error"]["message"]
    assert len(_marked(mark)) == before + 2
    wait_until(lambda: len(_marked(mark)) == before, 30)
    assert clients[0].send(clients[0].request("ping")).status_code == 404
    begun(account, f"{PATH}/mcp")


# Crash, restart, logs


def test_a_server_that_crashes_ends_its_session_and_the_next_one_works(account: Account) -> None:
    made(account, packaged(PLAIN))
    client, other = begun(account, f"{PATH}/mcp"), begun(account, f"{PATH}/mcp")
    assert other.call("count") == 1
    answer = client.send(client.request("tools/call", name="crash", arguments={}))
    assert answer.json()["error"]["message"] == "the server ended with exit code 3"
    assert client.send(client.request("ping")).status_code == 404
    assert other.call("count") == 2
    shown = account.done("GET", f"{TOOLS}/tool")
    assert (shown["status"], shown["statusReason"]) == ("READY", "the server ended with exit code 3")
    assert begun(account, f"{PATH}/mcp").call("count") == 1
    assert "statusReason" not in account.done("GET", f"{TOOLS}/tool")


def test_a_server_that_listens_itself_is_started_again(account: Account) -> None:
    source = "import sys\nprint('up', flush=True)\n" + LISTENING % "streamable-http"
    crash = "\nimport os\n@server.tool()\ndef crash() -> None:\n    os._exit(3)\n"
    source = source.replace("\nserver.run", f"{crash}\nserver.run")
    made(account, packaged(source, port=8700))
    client = begun(account, f"{PATH}/mcp")
    with pytest.raises(httpx.RemoteProtocolError):  # Its answer had begun.
        client.send(client.request("tools/call", name="crash", arguments={}))

    def greets() -> bool:
        client = RawClient(account, f"{PATH}/mcp")
        message = client.request(
            "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "n", "version": "1"}
        )
        return client.send(message).status_code == 200

    wait_until(greets, 60)
    lines = account.data("GET", "/tool-logs/tool").json()["lines"]
    assert lines.count("up") >= 2


def test_what_a_server_writes_is_its_log(plain: Account) -> None:
    client = begun(plain, f"{PATH}/mcp")
    client.call("print", text="this is no message")
    lines = plain.data("GET", "/tool-logs/tool").json()["lines"]
    assert "the server has started" in lines
    assert "this is no message" in lines
    assert len(plain.data("GET", "/tool-logs/tool", tail="1").json()["lines"]) == 1
    refusal(plain.data("GET", "/tool-logs/none"), 404)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise SystemExit('no key given')", "no key given"),
        ("import sys\nfor line in sys.stdin: sys.exit(4)", "the server ended with exit code 4 before it answered"),
        (
            'for line in __import__("sys").stdin:\n'
            '    print(\'{"jsonrpc":"2.0","id":0,"error":{"code":1,"message":"not today"}}\', flush=True)',
            "the server refuses to initialize: not today",
        ),
    ],
    ids=["ends", "ends when asked", "refuses"],
)
def test_a_server_that_does_not_come_up_fails_with_its_reason(account: Account, source: str, reason: str) -> None:
    account.done("POST", TOOLS, packaged(source))
    shown = settled(account, "tool")
    assert shown["status"] == "CREATE_FAILED"
    assert reason in shown["statusReason"]
    client = RawClient(account, f"{PATH}/mcp")
    assert reason in refusal(client.send(client.request("initialize")), 409)


def test_a_server_that_works_once_only_is_no_endless_loop(account: Account) -> None:
    once = "import os, sys\nif os.path.exists('tried'): sys.exit(5)\nopen('tried', 'w').close()\n"
    made(account, packaged(once + PLAIN))
    client = RawClient(account, f"{PATH}/mcp")
    for _ in range(3):
        answer = client.send(client.request("initialize", protocolVersion="2025-06-18"))
        assert answer.json()["error"]["message"] == "the server ended with exit code 5"
    shown = account.done("GET", f"{TOOLS}/tool")
    assert (shown["status"], shown["statusReason"]) == ("READY", "the server ended with exit code 5")
    assert len(account.data("GET", "/tool-logs/tool").json()["lines"]) == 1


def test_a_program_that_is_not_there(account: Account) -> None:
    tool = {"toolName": "tool", "toolType": "MCP", "createMethod": "MCP_LOCAL", "protocolSpec": local("nothing-here")}
    account.done("POST", TOOLS, tool)
    assert "cannot run 'nothing-here'" in settled(account, "tool")["statusReason"]


# Kinds


def test_a_local_server_has_the_environment_of_its_specification(account: Account) -> None:
    command = local("python3", "-c", PLAIN, WHERE="specification", BOTH="specification")
    tool = {"toolName": "tool", "toolType": "MCP", "createMethod": "MCP_LOCAL", "protocolSpec": command}
    made(account, {**tool, "environmentVariables": {"WHICH": "variables", "BOTH": "variables"}})
    seen = begun(account, f"{PATH}/mcp").call("environment")
    assert (seen["WHERE"], seen["WHICH"], seen["BOTH"]) == ("specification", "variables", "specification")
    assert not [name for name in seen if name.startswith("AGENTRUN_")]


def test_a_bundle_says_itself_how_it_is_started(account: Account) -> None:
    config = {"command": "python3", "args": ["${__dirname}/server/main.py"], "env": {"FROM": "manifest"}}
    manifest = {"manifest_version": "0.2", "server": {"type": "python", "mcp_config": config}}
    archive = bodies.zipped({"server/main.py": PLAIN, "manifest.json": json.dumps(manifest)})
    tool = {"toolName": "tool", "toolType": "MCP", "createMethod": "MCP_BUNDLE"}
    made(account, {**tool, "codeConfiguration": {"zipFile": bodies.code(archive)["zipFile"]}})
    client = begun(account, f"{PATH}/mcp")
    assert client.call("environment")["FROM"] == "manifest"
    assert client.call("folder") == ["manifest.json", "server"]


def test_an_update_starts_the_server_anew(account: Account) -> None:
    made(account, packaged(PLAIN, environmentVariables={"A": "1"}))
    before = begun(account, f"{PATH}/mcp")
    account.done("PUT", f"{TOOLS}/tool", {"environmentVariables": {"A": "2"}})
    assert settled(account, "tool")["status"] == "READY"
    assert before.send(before.request("ping")).status_code == 404
    assert begun(account, f"{PATH}/mcp").call("environment")["A"] == "2"


def test_nothing_of_a_deleted_tool_runs(account: Account) -> None:
    mark = f"mark-{account.key}"
    made(account, packaged(PLAIN, environmentVariables={"MARK": mark}))
    begun(account, f"{PATH}/mcp")
    assert _marked(mark)
    account.done("DELETE", f"{TOOLS}/tool")
    wait_until(lambda: not _marked(mark))
    refusal(account.data("POST", f"{PATH}/mcp"), 404)


def _marked(mark: str) -> list[int]:
    """The processes of this machine with a mark in their environment."""
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            if mark in process.environ().values():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


# Walls


def test_a_server_sees_nothing_of_the_machine(emulator: Emulator, plain: Account) -> None:
    client = begun(plain, f"{PATH}/mcp")
    assert client.call("read", path=str(emulator.platform.directory / "packages")) in (
        "FileNotFoundError",
        "PermissionError",
    )
    assert client.call("read", path="/etc/shadow") in ("FileNotFoundError", "PermissionError")
    with _listening() as port:
        assert client.call("connect", port=port) == "ConnectionRefusedError"


@contextlib.contextmanager
def _listening() -> Generator[int, None, None]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# Who calls


def test_who_does_not_sign_is_the_default_account(emulator: Emulator, plain: Account) -> None:
    initialize: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
    headers = {"accept": "application/json, text/event-stream"}
    answer = plain.client.post(f"{PATH}/mcp", json=initialize, headers=headers)
    assert "tool tool does not exist" in refusal(answer, 404)


def test_with_a_secret_of_its_own_the_emulator_wants_signatures() -> None:
    with Emulator(secret="s-of-our-own") as emulator, httpx.Client(base_url=emulator.url, trust_env=False) as client:
        assert "no Agentrun-Authorization signature" in refusal(client.post("/tools/tool/mcp", json={}), 401)


def test_an_access_token_opens_one_tool(plain: Account) -> None:
    query = {"resourceType": "tool", "resourceName": "tool"}
    token = plain.done("GET", "/2025-09-10/agents/accessToken", **query)["accessToken"]
    headers = {"authorization": f"Bearer {token}", "accept": "application/json, text/event-stream"}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert plain.client.post(f"{PATH}/mcp", json=message, headers=headers).status_code == 400
    refusal(plain.client.post("/tools/other/mcp", json=message, headers=headers), 403)


def test_twenty_clients_at_once(plain: Account) -> None:
    def counted(_: int) -> Any:
        client = begun(plain, f"{PATH}/mcp")
        numbers = [client.call("count") for _ in range(5)]
        client.plain("DELETE")
        return numbers

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(counted, range(20))) == [[1, 2, 3, 4, 5]] * 20
