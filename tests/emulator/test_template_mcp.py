"""Templates as MCP servers: their tools work in a sandbox that comes with the first call and goes with the session."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrun.emulator import Emulator
from tests.emulator import bodies
from tests.emulator.agents import wait_until
from tests.emulator.mcp_clients import RawClient, begun, connected
from tests.emulator.signed import API, TEMPLATES, Account, account_of, client_of, refusal

SANDBOXES = f"{API}/sandboxes"
PATH = "/templates/python"
# As the platform's documents name them.
NAMES = {
    *("health", "run_code", "list_contexts", "create_context", "get_context", "delete_context", "read_file"),
    *("write_file", "file_system_list", "file_system_stat", "file_system_mkdir", "file_system_move"),
    *("file_system_remove", "process_exec_cmd", "process_list", "process_stat", "process_kill"),
}


@pytest.fixture
def active(account: Account) -> Account:
    """An account with a template that is an MCP server."""
    return activated(account)


def activated(account: Account, **changes: Any) -> Account:
    account.done("POST", TEMPLATES, bodies.template(**changes))
    account.done("PATCH", f"{TEMPLATES}/python/mcp/activate", {})
    return account


def running(account: Account) -> int:
    """How many sandboxes of an account are there and have not ended."""
    return sum(each["status"] != "TERMINATED" for each in account.done("GET", SANDBOXES)["items"])


def value_of(result: Any) -> Any:
    """What a tool gave, from a result of the `mcp` package."""
    return json.loads(result.content[0].text)


@pytest.mark.asyncio
@pytest.mark.parametrize("transport", ["mcp", "sse"])
async def test_an_agent_works_in_the_sandbox_of_its_session(active: Account, transport: str) -> None:
    async with connected(active, f"{PATH}/{transport}") as session:
        assert {tool.name for tool in (await session.list_tools()).tools} == NAMES
        assert running(active) == 0
        assert value_of(await session.call_tool("health", {}))["status"] == "ok"
        assert running(active) == 1
        context = value_of(await session.call_tool("create_context", {}))["context_id"]
        await session.call_tool("run_code", {"code": "x = 20", "context_id": context})
        code = "print('hi'); x + 1"
        ran = value_of(await session.call_tool("run_code", {"code": code, "context_id": context}))
        assert (ran["stdout"], ran["result"], ran["exit_code"]) == ("hi\n", "21", 0)
        failed = value_of(await session.call_tool("run_code", {"code": "1 / 0"}))
        assert (failed["exit_code"], failed["error"]) == (1, "ZeroDivisionError: division by zero")
        assert value_of(await session.call_tool("get_context", {"context_id": context}))["language"] == "python"
        assert len(value_of(await session.call_tool("list_contexts", {}))["contexts"]) == 1
        assert value_of(await session.call_tool("delete_context", {"context_id": context}))["success"]
        assert running(active) == 1
    wait_until(lambda: running(active) == 0)


@pytest.mark.asyncio
async def test_files_and_processes(active: Account) -> None:
    async with connected(active, f"{PATH}/mcp") as session:

        async def call(name: str, **arguments: Any) -> Any:
            return value_of(await session.call_tool(name, arguments))

        await call("write_file", path="/home/user/a/b.txt", content="häh")
        assert (await call("read_file", path="/home/user/a/b.txt"))["content"] == "häh"
        assert (await call("file_system_stat", path="/home/user/a/b.txt"))["size"] == 4
        await call("file_system_mkdir", path="/home/user/c/d")
        await call("file_system_move", source="/home/user/a/b.txt", destination="/home/user/c/d/e.txt")
        listed = await call("file_system_list", path="/home/user/c", depth=2)
        assert "e.txt" in json.dumps(listed)
        assert (await call("file_system_remove", path="/home/user/c"))["success"]
        ran = await call("process_exec_cmd", command="echo out; echo err >&2; exit 7")
        assert (ran["stdout"], ran["stderr"], ran["exit_code"]) == ("out\n", "err\n", 7)
        await call("process_exec_cmd", command="sleep 100 >/dev/null 2>&1 &")
        found = [each for each in (await call("process_list"))["items"] if "sleep" in each["command"]]
        pid = str(found[0]["processId"])
        assert "sleep" in (await call("process_stat", pid=pid))["command"]
        await call("process_kill", pid=pid)


@pytest.mark.asyncio
async def test_two_sessions_have_two_sandboxes(active: Account) -> None:
    async with connected(active, f"{PATH}/mcp") as one, connected(active, f"{PATH}/mcp") as other:
        await one.call_tool("write_file", {"path": "/home/user/mine", "content": "1"})
        seen = await other.call_tool("read_file", {"path": "/home/user/mine"})
        assert "mine" in value_of(seen)["error"]
        assert running(active) == 2
    wait_until(lambda: running(active) == 0)


@pytest.mark.asyncio
async def test_calls_run_side_by_side_in_one_sandbox(active: Account) -> None:
    async with connected(active, f"{PATH}/mcp") as session:
        results = await asyncio.gather(
            *(session.call_tool("run_code", {"code": f"import time; time.sleep(0.2); {n}"}) for n in range(8))
        )
        assert [value_of(result)["result"] for result in results] == [str(n) for n in range(8)]
        assert running(active) == 1


def test_a_chart_comes_as_a_picture(active: Account) -> None:
    client = begun(active, f"{PATH}/mcp")
    code = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
    result = client.ask("tools/call", name="run_code", arguments={"code": code})
    pictures = [part for part in result["content"] if part["type"] == "image"]
    assert [(part["mimeType"], part["data"][:5]) for part in pictures] == [("image/png", "iVBOR")]
    client.plain("DELETE")


def test_what_a_tool_refuses_is_its_result(active: Account) -> None:
    client = begun(active, f"{PATH}/mcp")

    def error(name: str, **arguments: Any) -> str:
        result = client.ask("tools/call", name=name, arguments=arguments)
        assert result["isError"] is True
        text: str = json.loads(result["content"][0]["text"])["error"]
        return text

    assert "needs the argument 'code'" in error("run_code")
    assert "no argument 'cod'" in error("run_code", cod="1")
    assert running(active) == 0
    assert "nothing" in error("read_file", path="/home/user/nothing")
    unknown = client.send(client.request("tools/call", name="run_cod", arguments={}))
    assert "Unknown tool: run_cod" in unknown.json()["error"]["message"]
    assert client.send(client.request("no/such")).json()["error"]["code"] == -32601
    assert client.ask("ping") == {}


def test_a_sandbox_that_has_ended_is_not_replaced(active: Account) -> None:
    client = begun(active, f"{PATH}/mcp")
    client.ask("tools/call", name="health", arguments={})
    sandbox = active.done("GET", SANDBOXES)["items"][0]["sandboxId"]
    active.done("POST", f"{SANDBOXES}/{sandbox}/stop")
    result = client.ask("tools/call", name="health", arguments={})
    assert result["isError"]
    assert "is TERMINATED" in result["content"][0]["text"]
    client.plain("DELETE")
    assert active.done("GET", SANDBOXES)["items"] == []


def test_a_call_can_be_cancelled(active: Account) -> None:
    client = begun(active, f"{PATH}/mcp")
    client.ask("tools/call", name="health", arguments={})
    message = client.request("tools/call", name="run_code", arguments={"code": "import time; time.sleep(60)"})
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    headers |= {"mcp-session-id": client.session}
    request = active.data_request("POST", f"{PATH}/mcp", content=json.dumps(message).encode(), headers=headers)
    request.extensions["timeout"] = {"read": 1.0, "connect": 60.0, "write": 60.0, "pool": 60.0}
    with pytest.raises(httpx.ReadTimeout):
        active.client.send(request)
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": message["id"]}}
    assert client.send(cancelled).status_code == 202
    assert client.plain("DELETE").status_code == 200
    assert running(active) == 0


def test_an_idle_session_ends_with_its_sandbox(account: Account) -> None:
    activated(account, sandboxIdleTimeoutInSeconds=1)
    client = begun(account, f"{PATH}/mcp")
    client.ask("tools/call", name="health", arguments={})
    assert running(account) == 1
    wait_until(lambda: account.done("GET", SANDBOXES)["items"] == [], 30)
    assert client.send(client.request("ping")).status_code == 404


@pytest.mark.parametrize("how", ["stop", "activate", "delete"])
def test_the_end_of_the_server_ends_its_sandboxes(active: Account, how: str) -> None:
    client = begun(active, f"{PATH}/mcp")
    client.ask("tools/call", name="health", arguments={})
    if how == "delete":
        active.done("DELETE", f"{TEMPLATES}/python")
    else:
        active.done("PATCH", f"{TEMPLATES}/python/mcp/{how}", {} if how == "activate" else None)
    assert running(active) == 0
    status = {"stop": 409, "activate": 404, "delete": 404}[how]
    answer = client.send(client.request("ping"))
    assert answer.status_code == status, answer.text


def test_no_sandbox_outlives_the_emulator(tmp_path: Path) -> None:
    with Emulator(state=tmp_path) as emulator, client_of(emulator) as client:
        account = activated(account_of(emulator, client))
        begun(account, f"{PATH}/mcp").ask("tools/call", name="health", arguments={})
    with Emulator(state=tmp_path) as emulator, client_of(emulator) as client:
        again = account_of(emulator, client, account.key)
        assert running(again) == 0
        state = again.done("GET", f"{TEMPLATES}/python")["mcpState"]
        assert state == {"status": "READY", "accessEndpoint": f"{emulator.url}{PATH}/mcp"}
        assert begun(again, f"{PATH}/mcp").ask("tools/call", name="health", arguments={})["isError"] is False


# Control


def test_a_template_tells_about_its_server(account: Account) -> None:
    account.done("POST", TEMPLATES, bodies.template())
    assert "mcpState" not in account.done("GET", f"{TEMPLATES}/python")
    assert "is no MCP server" in refusal(account.data("POST", f"{PATH}/mcp"), 409)
    body = {"enabledTools": ["run_code", "list_directory"], "transport": "sse"}
    shown = account.done("PATCH", f"{TEMPLATES}/python/mcp/activate", body)
    assert shown["mcpOptions"] == body
    assert shown["mcpState"]["status"] == "READY"
    assert shown["mcpState"]["accessEndpoint"] == f"{account.client.base_url}{PATH}/sse"
    tools = begun(account, f"{PATH}/mcp").ask("tools/list")["tools"]
    assert {tool["name"] for tool in tools} == {"run_code", "list_directory"}
    assert account.done("GET", TEMPLATES)["items"][0]["mcpState"] == shown["mcpState"]
    stopped = account.done("PATCH", f"{TEMPLATES}/python/mcp/stop")
    assert stopped["mcpState"] == {"status": "STOPPED"}


@pytest.mark.parametrize(
    ("template", "body", "status", "text"),
    [
        ({}, {"enabledTools": ["run_cod"]}, 400, "there is no tool run_cod: did you mean run_code?"),
        ({}, {"enabledTools": "run_code"}, 400, "must be a list of the names"),
        ({}, {"enabledTools": ["process_tty"]}, 501, "a terminal is a websocket"),
        ({}, {"transport": "pigeon"}, 400, "transport must be sse or streamable-http"),
        ({}, {"transports": "sse"}, 400, "transports is not a field"),
        ({"templateType": "Browser", "diskSize": 10240}, {}, 501, "a Browser template is no MCP server"),
    ],
)
def test_what_cannot_be_activated(
    account: Account, template: dict[str, Any], body: dict[str, Any], status: int, text: str
) -> None:
    account.done("POST", TEMPLATES, bodies.template(**template))
    assert text in account.refused(status, "PATCH", f"{TEMPLATES}/python/mcp/activate", body)


def test_a_template_that_is_not_there(account: Account) -> None:
    for verb in ("activate", "stop"):
        assert "does not exist" in account.refused(404, "PATCH", f"{TEMPLATES}/none/mcp/{verb}")
    refusal(account.data("POST", "/templates/none/mcp"), 404)


def test_a_session_belongs_to_its_account(active: Account, emulator: Emulator, client: httpx.Client) -> None:
    mine = begun(active, f"{PATH}/mcp")
    other = activated(account_of(emulator, client))
    theirs = RawClient(other, f"{PATH}/mcp", session=mine.session)
    assert theirs.send(theirs.request("ping")).status_code == 404
    assert mine.ask("ping") == {}
