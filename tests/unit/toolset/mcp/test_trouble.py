"""What goes wrong: servers that restart, break off, refuse or are no MCP servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentrun.errors import (
    AgentRunError,
    AuthenticationError,
    ConnectError,
    Executed,
    InvalidResponseError,
    RequestTimeoutError,
    ServerError,
    ToolError,
    TransportError,
)
from agentrun.toolset.mcp import McpClient
from tests.unit.servers import Behaviour, Line, Received, Server, after, answer, closed_port, page, raw, reset
from tests.unit.servers import serving as answering
from tests.unit.toolset.mcp.mcp_servers import PROGRAM, McpServer, serving, until
from tests.unit.toolset.mcp.speaking import speaking

pytestmark = pytest.mark.xdist_group("mcp")

STDIO: dict[str, Any] = {"command": sys.executable, "args": [str(PROGRAM), "stdio"], "timeout": 60}


# Servers that restart


@pytest.mark.parametrize("kind", [("http",), ("http", "json"), ("http", "stateless"), ("sse",)], ids=" ".join)
def test_a_server_that_restarted_is_called_over_a_new_session(tmp_path: Path, kind: tuple[str, ...]) -> None:
    with serving(tmp_path, *kind) as server, McpClient(server.url, transport=server.transport, timeout=60) as client:
        first = client.call_tool("process").text
        server.stop()
        server.start()
        assert client.call_tool("process").text != first


def test_many_callers_get_over_a_restart_together(server: McpServer) -> None:
    with McpClient(server.url, timeout=60) as client, ThreadPoolExecutor(20) as threads:
        client.ping()
        server.stop()
        server.start()
        calls = [threads.submit(client.call_tool, "echo", {"text": str(number)}) for number in range(20)]
        assert [call.result().text for call in calls] == [str(number) for number in range(20)]
    assert server.count("initialize") == 2


def test_tools_are_asked_for_again_when_the_server_restarted(server: McpServer) -> None:
    with McpClient(server.url, timeout=60) as client:
        client.call_tool("grow", {"name": "fresh"})
        until(lambda: "fresh" in {tool["name"] for tool in client.list_tools()}, "the new tool")
        server.stop()
        server.start()
        until(lambda: "fresh" not in {tool["name"] for tool in client.list_tools()}, "the tools of the new process")


@pytest.mark.parametrize("kind", ["http", "sse"])
def test_a_call_that_may_have_been_carried_out_is_not_made_again(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, kind) as server, McpClient(server.url, transport=server.transport, timeout=60) as client:
        with pytest.raises(TransportError) as caught:
            client.call_tool("leave")
        assert caught.value.executed is Executed.UNKNOWN
        assert server.count("tools/call") == 1
        server.stop()
        with pytest.raises(ConnectError):
            client.call_tool("echo", {"text": "x"})
        server.start()
        assert client.call_tool("echo", {"text": "x"}).text == "x"


# Servers that are none


@pytest.fixture
def make_server() -> Iterator[Callable[..., Server]]:
    """Starts servers that behave as told."""
    with ExitStack() as stack:
        yield lambda *behaviours: stack.enter_context(answering(*behaviours))


NO_SERVERS: dict[str, tuple[Behaviour, type[AgentRunError], str]] = {
    "a page": (page(200), InvalidResponseError, "is no MCP server"),
    "other JSON": (answer({"hello": 1}, headers={"content-type": "application/json"}), InvalidResponseError, "no MCP"),
    "nothing": (answer(b"", 202), InvalidResponseError, "no content"),
    "not found": (answer(b"", 404), AgentRunError, "does not take MCP requests"),
    "not allowed": (answer(b"", 405), AgentRunError, "does not take MCP requests"),
    "who are you": (answer({"message": "who are you"}, 401), AuthenticationError, "who are you"),
    "a failure": (page(502), ServerError, "502"),
    "elsewhere": (answer(b"", 307, {"location": "http://127.0.0.1:9/x"}), InvalidResponseError, "redirects to"),
    "a reset": (reset(), TransportError, "broke"),
    "another protocol": (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), TransportError, ""),
}


@pytest.mark.parametrize("transport", ["streamable_http", "sse"])
@pytest.mark.parametrize("name", NO_SERVERS)
def test_what_is_no_server_is_said_clearly(make_server: Callable[..., Server], name: str, transport: str) -> None:
    behaviour, kind, text = NO_SERVERS[name]
    server = make_server(behaviour)
    secret = {"Authorization": "Bearer hidden"}
    client = McpClient(f"{server.url}/mcp", transport=transport, headers=secret, timeout=60)
    with pytest.raises(kind) as caught:
        client.list_tools()
    assert text in str(caught.value)
    assert "hidden" not in str(caught.value)
    client.close()


def test_nobody_there_is_a_connect_error() -> None:
    with pytest.raises(ConnectError) as caught:
        McpClient(f"http://127.0.0.1:{closed_port()}/mcp", timeout=60).list_tools()
    assert caught.value.executed is Executed.NO


def test_a_silent_server_runs_out_of_time(make_server: Callable[..., Server]) -> None:
    server = make_server(after(60, raw(b"")))
    client = McpClient(f"{server.url}/mcp", timeout=0.5)
    with pytest.raises(RequestTimeoutError):
        client.list_tools()
    client.close()


def test_a_redirect_on_the_same_host_is_followed(make_server: Callable[..., Server]) -> None:
    def behave(line: Line, request: Received) -> bool:
        if request.path == "/mcp":
            return answer(b"", 307, {"location": "/mcp/"})(line, request)
        return speaking()(line, request)

    with McpClient(f"{make_server(behave).url}/mcp", timeout=60) as client:
        assert [tool["name"] for tool in client.list_tools()] == ["tool-0", "tool-1", "tool-2"]


def test_all_pages_are_followed_and_kinds_that_a_server_lacks_are_empty(make_server: Callable[..., Server]) -> None:
    with McpClient(f"{make_server(speaking()).url}/mcp", timeout=60) as client:
        assert [tool["name"] for tool in client.list_tools()] == ["tool-0", "tool-1", "tool-2"]
        assert client.list_prompts() == client.list_resources() == []
        with pytest.raises(ToolError) as caught:
            client.call_tool("tool-0")
        assert caught.value.executed is Executed.NO
        assert caught.value.error_code == "-32601"


# Servers that are processes


def test_a_command_is_started_with_its_environment_and_folder(tmp_path: Path) -> None:
    with McpClient(**STDIO, env={"GIVEN": "yes"}, cwd=tmp_path) as client:
        pid, folder, given = client.call_tool("process").text.split()
        assert (folder, given) == (str(tmp_path), "yes")
        assert client.call_tool("echo", {"text": "a\nb"}).text == "a\nb"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_process_that_ended_is_started_again() -> None:
    with McpClient(**STDIO) as client:
        first = client.call_tool("process").text
        with pytest.raises(TransportError) as caught:
            client.call_tool("leave")
        assert caught.value.executed is Executed.UNKNOWN
        assert client.call_tool("process").text != first


def test_a_killed_process_is_started_again() -> None:
    with McpClient(**STDIO) as client:
        pid = int(client.call_tool("process").text.split()[0])
        os.kill(pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes(), "end")
        time.sleep(0.3)
        assert int(client.call_tool("process").text.split()[0]) != pid


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"command": "no-such-program-anywhere"}, "there is no program"),
        ({"command": sys.executable, "args": ["-c", "raise SystemExit('all is lost')"]}, "all is lost"),
        ({"command": sys.executable, "cwd": "/no/such/folder"}, "there is no folder"),
    ],
)
def test_a_command_that_cannot_serve_says_why(arguments: dict[str, Any], text: str) -> None:
    client = McpClient(**arguments, timeout=60)
    with pytest.raises(ConnectError, match=text):
        client.list_tools()
    client.close()


def test_a_process_is_told_that_nobody_waits(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    with McpClient(**STDIO, env={"SEEN": str(seen)}) as client:
        with pytest.raises(RequestTimeoutError):
            client.call_tool("slow", {"seconds": 30, "steps": 300}, timeout=0.5)
        until(lambda: seen.exists() and "cancelled" in seen.read_text(), "the call is cancelled")


# A whole program


def program(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "default::ResourceWarning", "-c", textwrap.dedent(source), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("kind", ["http", "sse", "stdio"])
def test_a_program_that_closes_nothing_ends_without_noise(tmp_path: Path, kind: str) -> None:
    source = """
        import sys
        from agentrun.toolset.mcp import McpClient
        given = dict(zip(("url", "transport"), sys.argv[1:])) if sys.argv[1] != "stdio" else dict(
            command=sys.executable, args=[sys.argv[2], "stdio"])
        client = McpClient(**given, timeout=60)
        print(client.call_tool("process").text.split()[0])
    """
    if kind == "stdio":
        done = program(source, "stdio", str(PROGRAM))
        until(lambda: not Path(f"/proc/{done.stdout.strip()}").exists(), "the process ends")
    else:
        with serving(tmp_path, kind) as server:
            done = program(source, server.url, server.transport)
            if kind == "http":
                assert server.count("DELETE") == 1
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_is_loaded_with_the_first_session_only() -> None:
    done = program("""
        import sys
        from agentrun.toolset.mcp import McpClient
        McpClient("http://127.0.0.1:9/mcp")
        print([name for name in sys.modules if name.partition(".")[0] in ("mcp", "mcp_types", "httpx2")])
    """)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_the_package_one_line_names_the_extra() -> None:
    done = program("""
        import sys
        sys.modules["mcp"] = None
        from agentrun.errors import ConfigError
        from agentrun.toolset.mcp import McpClient
        try:
            McpClient("http://127.0.0.1:9/mcp").list_tools()
        except ConfigError as error:
            print(error)
    """)
    assert done.stdout.splitlines() == [
        "MCP needs the mcp package, which is not installed. Run: pip install 'agentrun[tools]'"
    ]
