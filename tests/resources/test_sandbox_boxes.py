"""Boxes: a session and a shell, the eleven tools for files, the workspace, MCP servers, and how a box lives."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agentrun import Config, InvalidInputError, Sandbox, SandboxError, SandboxTerminatedError, Template
from agentrun.emulator import Emulator
from agentrun.errors import ResourceNotExistError, UnsupportedError
from agentrun.sandbox.boxes import BaseSandbox, BaseSandboxAsync, FilesystemSandbox, FilesystemSandboxAsync
from agentrun.sandbox.boxes.edits import difference, edited
from agentrun.sandbox.boxes.workspace import real
from tests.resources.modes import Mode
from tests.resources.sandboxes import account

FILE_TOOLS = [
    *("read_file", "read_multiple_files", "write_file", "edit_file", "create_directory", "list_directory"),
    *("directory_tree", "move_file", "search_files", "get_file_info", "list_allowed_directories"),
]
# Speaks MCP as a server does, prints what is no message, and asks its client something on the way.
SERVER = r"""
import json, os, sys

def say(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

def text(value, wrong=False):
    return {"content": [{"type": "text", "text": value}], "isError": wrong}

TOOLS = [{"name": name, "description": f"Does {name}", "inputSchema": {"type": "object", "properties": {}}}
         for name in ("add", "fail", "die", "sleep", "secret", "big")]
print("this is no message", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["method"] == "initialize":
        say(id=1, method="ping")
        assert json.loads(sys.stdin.readline()) == {"jsonrpc": "2.0", "id": 1, "result": {}}
        say(id=2, method="sampling/createMessage", params={})
        assert json.loads(sys.stdin.readline())["error"]["code"] == -32601
        facts = {"name": "test", "version": "1"}
        say(id=asked["id"], result={"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": facts})
    elif asked["method"] == "tools/list":
        first = "cursor" not in asked["params"]
        say(id=asked["id"], result={"tools": TOOLS[:2], "nextCursor": "2"} if first else {"tools": TOOLS[2:]})
    elif asked["method"] == "tools/call":
        name, given = asked["params"]["name"], asked["params"]["arguments"]
        if name == "add":
            say(method="notifications/message", params={"level": "info", "data": "adding"})
            say(id=asked["id"], result=text(str(given["a"] + given["b"])))
        elif name == "fail":
            say(id=asked["id"], result=text("it failed", True))
        elif name == "secret":
            say(id=asked["id"], result=text(os.environ["SECRET"] + os.getcwd()))
        elif name == "big":
            say(id=asked["id"], result=text("x" * 300_000))
        elif name == "die":
            sys.exit("I am dying")
"""


@pytest.fixture(scope="module")
def config(emulator: Emulator) -> Iterator[Config]:
    with account(emulator) as settings:
        yield settings


@pytest.fixture(scope="module")
def box(config: Config) -> Iterator[FilesystemSandbox]:
    with FilesystemSandbox(config=config) as started:
        yield started


@pytest.fixture
def folder(box: FilesystemSandbox, tmp_path: Path) -> str:
    """An empty folder of the workspace for one test, called as the one that pytest would give it."""
    box.fs.mkdir(tmp_path.name)
    return f"/workspace/{tmp_path.name}"


def texts(answer: dict[str, Any]) -> dict[str | None, str]:
    """The texts of a result by what they are."""
    assert answer.keys() == {"meta", "content", "isError"}
    assert all(piece.keys() == {"type", "text", "annotations", "description"} for piece in answer["content"])
    return {piece["description"]: piece["text"] for piece in answer["content"]}


def text(answer: dict[str, Any]) -> str:
    """The only text of a result that is no error."""
    assert not answer["isError"], answer
    return texts(answer)[None]


def wrong(answer: dict[str, Any]) -> str:
    """The only text of a result that is an error."""
    assert answer["isError"], answer
    return texts(answer)[None]


# The session and the shell


def test_a_cell_keeps_its_variables_and_shows_its_value(box: FilesystemSandbox, call: Mode) -> None:
    first = call(box, "run_ipython_cell", "total = 40\nprint('out')")
    assert texts(first) == {"stdout": "out\n"}
    assert texts(call(box, "run_ipython_cell", "print('out', end='')\ntotal + 2")) == {"stdout": "out\n42"}
    assert first["isError"] is False


def test_only_code_that_fails_is_an_error(box: FilesystemSandbox, call: Mode) -> None:
    warned = call(box, "run_ipython_cell", "import sys\nprint('careful', file=sys.stderr)")
    assert (warned["isError"], texts(warned)["stderr"]) == (False, "careful\n")
    failed = call(box, "run_ipython_cell", "print('before')\n1 / 0")
    assert failed["isError"] is True
    assert texts(failed)["stdout"] == "before\n"
    assert "ZeroDivisionError" in texts(failed)["stderr"]


def test_only_a_command_that_fails_is_an_error(box: FilesystemSandbox, call: Mode) -> None:
    warned = call(box, "run_shell_command", "echo careful >&2")
    assert (warned["isError"], texts(warned)) == (False, {"stdout": "", "stderr": "careful\n", "returncode": "0"})
    failed = call(box, "run_shell_command", "echo silent; exit 3")
    assert (failed["isError"], texts(failed)) == (True, {"stdout": "silent\n", "returncode": "3"})


def test_both_work_in_the_workspace(box: FilesystemSandbox, call: Mode) -> None:
    call(box, "run_shell_command", f"echo hello > from-shell-{call.name}")
    seen = call(box, "run_ipython_cell", f"print(open('from-shell-{call.name}').read())")
    assert "hello" in texts(seen)["stdout"]
    assert text(call(box, "read_file", f"/workspace/from-shell-{call.name}")) == "hello\n"


def test_what_takes_too_long_is_an_error(config: Config) -> None:
    with BaseSandbox(timeout=1, config=config) as quick:
        cell, command = quick.run_ipython_cell("while True: pass"), quick.run_shell_command("echo first; sleep 9")
    assert cell["isError"]
    assert "1 s" in texts(cell)["stderr"]
    assert command["isError"]
    assert (texts(command)["stdout"], "too long" in texts(command)["stderr"]) == ("first\n", True)


# Tools by name


def test_tools_are_listed_by_group(box: FilesystemSandbox, call: Mode) -> None:
    listed = call(box, "list_tools")
    assert {group: sorted(tools) for group, tools in listed.items()} == {
        "generic": ["run_ipython_cell", "run_shell_command"],
        "filesystem": sorted(FILE_TOOLS),
    }
    assert call(box, "list_tools", "generic") == {"generic": listed["generic"]}
    assert call(box, "list_tools", "browser") == {"browser": {}}
    schema = json.loads(json.dumps(listed["filesystem"]["edit_file"]["json_schema"]))["function"]
    assert schema["parameters"]["required"] == ["path", "edits"]
    assert schema["parameters"]["properties"]["edits"]["items"]["required"] == ["oldText", "newText"]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("run_ipython_cell", {}, "needs the argument 'code'"),
        ("run_shell_command", {"command": "ls", "cwd": "/"}, "has no argument 'cwd'. It takes command (string)"),
        ("read_file", {"path": ["a"]}, "path must be a string"),
        ("edit_file", {"path": "a", "edits": [{"oldText": "a"}]}, "edits[0] needs the argument 'newText'"),
        ("edit_file", {"path": "a", "edits": ["a"]}, "edits[0] must be an object"),
        ("browser_navigate", {"url": "a"}, "there is no tool 'browser_navigate'. There are run_ipython_cell"),
    ],
)
def test_a_wrong_call_is_an_error_result(
    box: FilesystemSandbox, call: Mode, name: str, arguments: dict[str, Any], said: str
) -> None:
    assert said in wrong(call(box, "call_tool", name, arguments))


def test_a_plain_box_has_no_tools_for_files(config: Config) -> None:
    with BaseSandbox(config=config) as plain:
        assert list(plain.list_tools()) == ["generic"]
        assert "no tool 'read_file'" in wrong(plain.call_tool("read_file", {"path": "a"}))


# The eleven tools for files


def test_files_are_written_read_and_edited(box: FilesystemSandbox, call: Mode, folder: str) -> None:
    path = f"{folder}/deep/a.txt"
    assert path in text(call(box, "write_file", path, "eins\nzwei\ndrei\n"))
    edits = [{"oldText": "zwei", "newText": "two"}, {"oldText": "two\ndrei", "newText": "two\nthree"}]
    expected = f"--- a{path}\n+++ b{path}\n@@ -1,3 +1,3 @@\n eins\n-zwei\n-drei\n+two\n+three\n"
    assert text(call(box, "edit_file", path, edits, dry_run=True)) == f"```diff\n{expected}```\n"
    assert text(call(box, "read_file", path)) == "eins\nzwei\ndrei\n"
    assert text(call(box, "edit_file", path, edits)) == f"```diff\n{expected}```\n"
    assert text(call(box, "read_file", path)) == "eins\ntwo\nthree\n"


def test_an_edit_that_does_not_fit_changes_nothing(box: FilesystemSandbox, call: Mode, folder: str) -> None:
    call(box, "write_file", f"{folder}/a", "one two")
    edits = [{"oldText": "one", "newText": "1"}, {"oldText": "three", "newText": "3"}]
    assert "'three'" in wrong(call(box, "edit_file", f"{folder}/a", edits))
    assert text(call(box, "read_file", f"{folder}/a")) == "one two"


def test_an_edit_keeps_the_mode(box: FilesystemSandbox, folder: str) -> None:
    box.write_file(f"{folder}/run", "echo old")
    box.run_shell_command(f"chmod 755 .{folder.removeprefix('/workspace')}/run")
    box.edit_file(f"{folder}/run", [{"oldText": "old", "newText": "new"}])
    assert "mode: 0755" in text(box.get_file_info(f"{folder}/run"))


def test_several_files_are_read_at_once(box: FilesystemSandbox, call: Mode, folder: str) -> None:
    call(box, "write_file", f"{folder}/a", "A")
    answer = text(call(box, "read_multiple_files", [f"{folder}/a", f"{folder}/missing"]))
    assert answer.startswith(f"{folder}/a:\nA\n\n---\n{folder}/missing: Error - ")
    assert call(box, "read_multiple_files", [f"{folder}/missing"])["isError"]


def test_folders_are_made_listed_and_told_as_a_tree(box: FilesystemSandbox, call: Mode, folder: str) -> None:
    assert "Created" in text(call(box, "create_directory", f"{folder}/b/c"))
    assert "already" in text(call(box, "create_directory", f"{folder}/b/c"))
    call(box, "write_file", f"{folder}/b/d.txt", "")
    assert text(call(box, "list_directory", f"{folder}/b")) == "[DIR] c\n[FILE] d.txt"
    inner: list[Any] = [{"name": "c", "type": "directory", "children": []}, {"name": "d.txt", "type": "file"}]
    tree = json.loads(text(call(box, "directory_tree", folder)))
    assert tree == [{"name": "b", "type": "directory", "children": inner}]


def test_files_are_moved(box: FilesystemSandbox, call: Mode, folder: str) -> None:
    call(box, "write_file", f"{folder}/a", "A")
    call(box, "move_file", f"{folder}/a", f"{folder}/new/b")
    assert text(call(box, "read_file", f"{folder}/new/b")) == "A"
    assert call(box, "move_file", f"{folder}/a", f"{folder}/c")["isError"]


@pytest.mark.parametrize(
    ("pattern", "exclude", "found"),
    [
        ("MAIN", [], ["main.py", "src/main.py", "src/maintain.txt"]),
        ("*.py", [], ["main.py", "src/main.py"]),
        ("**/*.py", [], ["main.py", "src/main.py"]),
        ("src/*", [], ["src/main.py", "src/maintain.txt"]),
        ("main", ["src"], ["main.py"]),
        ("main", ["*.py"], ["src/maintain.txt"]),
        ("main", ["src/*.py"], ["main.py", "src/maintain.txt"]),
        ("nothing", [], []),
    ],
)
def test_files_are_found(box: FilesystemSandbox, pattern: str, exclude: list[str], found: list[str]) -> None:
    for name in ("main.py", "src/main.py", "src/maintain.txt", "other"):
        box.write_file(f"search/{name}", "")
    expected = "\n".join(f"/workspace/search/{name}" for name in found) or "No matches found"
    assert text(box.search_files("search", pattern, exclude)) == expected


def test_a_file_is_described(box: FilesystemSandbox, call: Mode, folder: str) -> None:
    call(box, "write_file", f"{folder}/a", "12345")
    facts = dict(line.split(": ", 1) for line in text(call(box, "get_file_info", f"{folder}/a")).splitlines())
    assert (facts["size"], facts["type"], facts["path"]) == ("5", "file", f"{folder}/a")
    assert text(call(box, "list_allowed_directories")) == "Allowed directories:\n/workspace"


def test_every_tool_is_a_method(box: FilesystemSandbox) -> None:
    assert [name for name in FILE_TOOLS if not callable(getattr(FilesystemSandboxAsync, name, None))] == []
    assert [name for name in FILE_TOOLS if not callable(getattr(box, f"{name}_async", None))] == []


@pytest.mark.parametrize("path", ["/etc/passwd", "../.bashrc", "/workspace/../a", "/workspacex", "/home/user/a", "/"])
def test_nothing_outside_the_workspace_is_reached(box: FilesystemSandbox, path: str) -> None:
    assert "outside /workspace" in wrong(box.read_file(path))
    with pytest.raises(InvalidInputError, match="outside /workspace"):
        box.fs.write(path, "x")


@pytest.mark.parametrize("path", ["a/b", "./a/b", "/workspace/a/b", "/home/user/workspace/a//b", "a/c/../b"])
def test_a_path_has_several_names(path: str) -> None:
    assert real(path) == "/home/user/workspace/a/b"


# Files of the workspace


def test_the_workspace_has_files(box: FilesystemSandbox, call: Mode, folder: str, tmp_path: Path) -> None:
    fs = box.fs
    entry = call(fs, "write", f"{folder}/a/b.txt", "grün")
    assert (entry["path"], entry["name"], entry["type"], entry["size"]) == (f"{folder}/a/b.txt", "b.txt", "file", 5)
    assert entry["mtime_ms"] > 1_700_000_000_000
    assert call(fs, "read", f"{folder}/a/b.txt") == "grün"
    assert call(fs, "read", f"{folder}/a/b.txt", "bytes") == "grün".encode()
    assert call(fs, "write", f"{folder}/a/raw", io.BytesIO(b"\xff" * 100_000))["size"] == 100_000
    with pytest.raises(InvalidInputError, match="bytes"):
        call(fs, "read", f"{folder}/a/raw")
    (tmp_path / "local").write_bytes(b"local")
    assert call(fs, "write_from_path", f"{folder}/new/local", str(tmp_path / "local"))["size"] == 5


def test_the_workspace_has_folders(box: FilesystemSandbox, call: Mode, folder: str) -> None:
    fs = box.fs
    written = call(fs, "write_many", [{"path": f"{folder}/{name}", "data": name} for name in ("a", "b/c")])
    assert [entry["path"] for entry in written] == [f"{folder}/a", f"{folder}/b/c"]
    assert [(entry["name"], entry["type"]) for entry in call(fs, "list", folder)] == [("a", "file"), ("b", "dir")]
    assert [entry["path"] for entry in call(fs, "list", folder, None)][-1] == f"{folder}/b/c"
    assert call(fs, "move", f"{folder}/a", f"{folder}/d/e")["path"] == f"{folder}/d/e"
    assert (call(fs, "exists", f"{folder}/a"), call(fs, "exists", f"{folder}/d/e")) == (False, True)
    assert (call(fs, "mkdir", f"{folder}/x"), call(fs, "mkdir", f"{folder}/x")) == (True, False)
    call(fs, "remove", f"{folder}/d")
    call(fs, "remove", f"{folder}/d")
    assert call(fs, "exists", f"{folder}/d") is False


def test_a_file_is_read_as_a_stream(box: FilesystemSandbox, folder: str) -> None:
    box.fs.write(f"{folder}/big", b"x" * 1_000_000)
    with box.fs.read(f"{folder}/big", "stream") as stream:
        assert sum(map(len, stream)) == 1_000_000


# MCP servers


@pytest.fixture
def mcp(box: FilesystemSandbox) -> Iterator[FilesystemSandbox]:
    box.fs.write("server.py", SERVER)
    box.add_mcp_servers(servers("test"), overwrite=True)
    yield box
    box._servers.clear()  # pyright: ignore[reportPrivateUsage]  # The box is shared by all tests.


def servers(name: str, **settings: Any) -> dict[str, Any]:
    server = {"command": "python3", "args": ["server.py"], "env": {"SECRET": "known "}}
    return {"mcpServers": {name: {**server, **settings}}}


def test_the_tools_of_an_mcp_server_are_called_like_the_others(mcp: FilesystemSandbox, call: Mode) -> None:
    assert text(call(mcp, "call_tool", "add", {"a": 40, "b": 2})) == "42"
    assert wrong(call(mcp, "call_tool", "fail")) == "it failed"
    assert text(call(mcp, "call_tool", "secret")) == "known /home/user/workspace"
    assert len(text(call(mcp, "call_tool", "big"))) == 300_000
    listed = call(mcp, "list_tools", "test")["test"]
    assert sorted(listed) == ["add", "big", "die", "fail", "secret", "sleep"]
    assert listed["add"]["json_schema"]["function"]["description"] == "Does add"


def test_an_mcp_server_serves_many_at_once(mcp: FilesystemSandbox) -> None:
    async def all_at_once() -> list[dict[str, Any]]:
        return await asyncio.gather(*(mcp.call_tool_async("add", {"a": each, "b": 0}) for each in range(8)))

    assert [text(answer) for answer in asyncio.run(all_at_once())] == [str(each) for each in range(8)]


def test_an_mcp_server_that_ends_is_an_error_result(mcp: FilesystemSandbox, call: Mode) -> None:
    said = wrong(call(mcp, "call_tool", "die"))
    assert "ended with exit code 1" in said
    assert "I am dying" in said
    assert call(mcp, "call_tool", "add", {"a": 1, "b": 1})["isError"]
    assert call(mcp, "list_tools")["test"] == {}
    call(mcp, "add_mcp_servers", servers("test"), True)
    assert text(call(mcp, "call_tool", "add", {"a": 1, "b": 1})) == "2"


def test_an_mcp_server_that_stays_silent_is_an_error_result(config: Config, call: Mode) -> None:
    with BaseSandbox(timeout=1, config=config) as quick:
        quick.fs.write("server.py", SERVER)
        call(quick, "add_mcp_servers", servers("test"))
        assert "did not answer tools/call within 1 s" in wrong(call(quick, "call_tool", "sleep"))
        assert text(call(quick, "call_tool", "add", {"a": 1, "b": 1})) == "2"


def test_an_mcp_server_is_replaced_only_when_asked(mcp: FilesystemSandbox) -> None:
    mcp.add_mcp_servers(servers("test", env={"SECRET": "new "}))
    assert text(mcp.call_tool("secret")) == "known /home/user/workspace"
    mcp.add_mcp_servers(servers("test", env={"SECRET": "new "}), overwrite=True)
    assert text(mcp.call_tool("secret")) == "new /home/user/workspace"


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"args": ["-c", "import sys; sys.exit('no way')"]}, SandboxError, "ended with exit code 1: no way"),
        ({"command": "no-such-program"}, Exception, "no-such-program"),
        ({"command": ""}, InvalidInputError, "needs a command"),
        ({"comand": "a"}, InvalidInputError, "no setting 'comand'"),
        ({"url": "http://localhost/mcp"}, UnsupportedError, "URL"),
    ],
)
def test_an_mcp_server_that_does_not_start_is_told(
    box: FilesystemSandbox, call: Mode, settings: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        call(box, "add_mcp_servers", servers("broken", **settings))
    assert "broken" not in box.list_tools()


def test_servers_have_their_usual_shape(box: FilesystemSandbox) -> None:
    with pytest.raises(InvalidInputError, match="mcpServers"):
        box.add_mcp_servers({"test": {"command": "python3"}})


# Its life


def test_a_box_is_started_and_closed(config: Config, call: Mode) -> None:
    box = BaseSandbox(config=config)
    with pytest.raises(InvalidInputError, match="with"):
        call(box, "run_ipython_cell", "1")
    assert call(box, "start") is box
    first = str(box.get_info()["sandbox_id"])
    assert call(box, "start").sandbox_id == first
    call(box, "close")
    call(box, "close")
    with pytest.raises(ResourceNotExistError):
        Sandbox.get_by_id(first, config)
    call(box, "start")
    assert box.get_info()["sandbox_id"] != first
    call(box, "close")


def test_its_info_holds_no_secret(box: FilesystemSandbox, call: Mode) -> None:
    info = call(box, "get_info")
    assert (info["sandbox_id"], info["sandbox_type"], info["state"]) == (box.sandbox_id, "filesystem", "READY")
    assert (info["template_name"], info["workspace"]) == ("agentrun-base", "/workspace")
    assert not [name for name in info if "token" in name]


def test_another_box_goes_on_in_the_same_sandbox(config: Config, call: Mode) -> None:
    first = BaseSandbox(config=config).start()
    first.run_ipython_cell("kept = 'still here'")
    second = FilesystemSandbox(first.sandbox_id, config=config)
    assert second.sandbox_id == first.sandbox_id
    call(second, "start")
    assert texts(call(second, "run_ipython_cell", "print(kept)"))["stdout"] == "still here\n"
    call(second, "close")
    with pytest.raises((SandboxTerminatedError, ResourceNotExistError)):
        first.run_ipython_cell("1")


def test_a_session_that_is_gone_is_told_and_replaced(config: Config) -> None:
    with BaseSandbox(config=config) as box:
        box.run_ipython_cell("kept = 1")
        for context in box.sandbox.context.list():
            box.sandbox.context.delete(context["id"])
        assert box.run_ipython_cell("kept")["isError"]
        assert "NameError" in texts(box.run_ipython_cell("kept"))["stderr"]


def test_many_boxes_at_once_make_one_template(emulator: Emulator) -> None:
    def start(_: int) -> BaseSandbox:
        return BaseSandbox(config=fresh).start()

    with emulator.config("boxes-at-once") as fresh, ThreadPoolExecutor(4) as pool:
        boxes = list(pool.map(start, range(4)))
        assert len({box.sandbox_id for box in boxes}) == 4
        assert [found.template_name for found in Template.list_all(config=fresh)] == ["agentrun-base"]
        for box in boxes:
            box.close()
    emulator.reset("boxes-at-once")


def test_awaited_boxes_have_the_names_of_the_others(config: Config) -> None:
    async def use() -> None:
        async with BaseSandboxAsync(config=config) as base:
            assert texts(await base.run_ipython_cell("6 * 7"))["stdout"] == "42"
            assert texts(await base.run_shell_command("echo hi"))["stdout"] == "hi\n"
        async with FilesystemSandboxAsync(config=config) as files:
            await files.write_file("a", "A")
            assert text(await files.read_file("a")) == "A"
            assert (await files.fs.list_async())[0]["name"] == "a"
            assert "generic" in await files.list_tools_async()

    asyncio.run(use())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"base_url": "http://localhost:8000"}, "base_url.*Config"),
        ({"bearer_token": "secret-token"}, "bearer_token.*Config"),
        ({"workspace_dir": "/tmp/mine"}, "workspace_dir.*write_from_path"),
        ({"sandbox_type": "browser"}, "'browser'"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "60"}, "timeout"),
    ],
)
def test_what_makes_no_sense_here_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        BaseSandbox(**arguments)
    assert "secret-token" not in str(caught.value)
    assert BaseSandbox(sandbox_type="base_async").sandbox_id is None


# Edits


def test_an_edit_replaces_the_first_place_only() -> None:
    assert edited("a a a", [{"oldText": "a", "newText": "b"}]) == "b a a"
    with pytest.raises(InvalidInputError, match="empty"):
        edited("a", [{"oldText": "", "newText": "b"}])


def test_a_difference_tells_of_a_missing_line_end() -> None:
    assert difference("/f", "a", "b") == (
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n"
    )
    assert difference("/f", "a", "a") == ""
