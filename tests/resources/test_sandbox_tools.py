"""The tools of a sandbox: what models are told, correct results, one sandbox however many ask, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agentrun import (
    CodeInterpreterSandbox,
    Config,
    ConnectError,
    Executed,
    InvalidInputError,
    Sandbox,
    SandboxError,
    SandboxTerminatedError,
    TemplateType,
)
from agentrun.emulator import Emulator
from agentrun.errors import BlockingError, PermissionDeniedError, ResourceNotExistError
from agentrun.sandbox.toolset import SandboxTool, SandboxToolSet
from agentrun.sandbox.toolset.once import Once
from tests.resources.modes import Mode
from tests.resources.sandboxes import TEMPLATE, account, created

# As wire/agentrun.md has them: required arguments are marked with `*`.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "health": {},
    "run_code": {
        "code*": "string",
        "language": ("string", "python"),
        "timeout": ("integer", 60),
        "context_id": "string",
    },
    "execute_code": {"code*": "string", "language": ("string", "python"), "timeout": ("integer", 60)},
    "list_contexts": {},
    "create_context": {"language": ("string", "python"), "cwd": ("string", "/home/user")},
    "get_context": {"context_id*": "string"},
    "delete_context": {"context_id*": "string"},
    "read_file": {"path*": "string"},
    "write_file": {
        "path*": "string",
        "content*": "string",
        "mode": ("string", "644"),
        "encoding": ("string", "utf-8"),
    },
    "file_system_list": {"path": ("string", "/"), "depth": "integer"},
    "list_directory": {"path": ("string", "/")},
    "file_system_stat": {"path*": "string"},
    "file_system_mkdir": {"path*": "string", "parents": ("boolean", True), "mode": ("string", "0755")},
    "file_system_move": {"source*": "string", "destination*": "string"},
    "file_system_remove": {"path*": "string"},
    "process_exec_cmd": {"command*": "string", "cwd": ("string", "/home/user"), "timeout": ("integer", 30)},
    "process_list": {},
    "process_stat": {"pid*": "string"},
    "process_kill": {"pid*": "string"},
}


@pytest.fixture(scope="module")
def config(emulator: Emulator) -> Iterator[Config]:
    with account(emulator) as settings:
        yield settings


@pytest.fixture(scope="module")
def tools(config: Config) -> Iterator[SandboxToolSet]:
    with SandboxToolSet.of_template(TEMPLATE, config=config) as made:
        yield made


def arguments_of(tool: SandboxTool) -> dict[str, Any]:
    """A tool's schema, written as in ARGUMENTS."""
    found: dict[str, Any] = {}
    for name, schema in tool.parameters["properties"].items():
        mark = "*" if name in tool.parameters["required"] else ""
        found[name + mark] = (schema["type"], schema["default"]) if "default" in schema else schema["type"]
    return found


def live(config: Config) -> int:
    """How many sandboxes of the account can be used."""
    return len(list(Sandbox.list_all(status="READY", template_name=TEMPLATE, config=config)))


# What models are told


def test_names_arguments_and_defaults_are_those_of_the_platform(tools: SandboxToolSet) -> None:
    assert {tool.name: arguments_of(tool) for tool in tools.tools()} == ARGUMENTS
    assert len(tools.tools()) == 19


def test_a_tool_is_told_as_a_function_in_json(tools: SandboxToolSet) -> None:
    tool = next(tool for tool in tools.tools() if tool.name == "read_file")
    told = json.loads(json.dumps(tool.function_schema))
    assert told["type"] == "function"
    assert told["function"]["name"] == "read_file"
    assert told["function"]["parameters"]["type"] == "object"
    assert all(tool.description and tool.parameters["type"] == "object" for tool in tools.tools())


def test_changing_a_schema_changes_it_for_nobody_else(tools: SandboxToolSet) -> None:
    tools.tools()[1].parameters["properties"].clear()
    assert tools.tools()[1].parameters["properties"]


def test_a_tool_can_be_called_by_itself(tools: SandboxToolSet, call: Mode) -> None:
    tool = next(tool for tool in tools.tools() if tool.name == "run_code")
    assert call(tool, "call", code="6 * 7")["result"] == "42"


# Code


def test_code_gives_what_it_printed_and_its_value(tools: SandboxToolSet, call: Mode) -> None:
    code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7"
    answer = call(tools, "call", "run_code", {"code": code})
    assert (answer["stdout"], answer["stderr"], answer["result"]) == ("out\n", "err\n", "42")
    assert (answer["exit_code"], answer["error"]) == (0, None)


def test_code_that_fails_says_how(tools: SandboxToolSet, call: Mode) -> None:
    answer = call(tools, "call", "execute_code", {"code": "print('before')\nint('x')"})
    assert answer["exit_code"] == 1
    assert answer["stdout"] == "before\n"
    assert answer["error"].startswith("ValueError: invalid literal")
    assert "Traceback" in answer["traceback"]


def test_code_that_takes_too_long_is_stopped(tools: SandboxToolSet, call: Mode) -> None:
    answer = call(tools, "call", "run_code", {"code": "while True: pass", "timeout": 1})
    assert answer["exit_code"] == 124
    assert "1 s" in answer["error"]


def test_the_language_counts(tools: SandboxToolSet, call: Mode) -> None:
    assert call(tools, "call", "run_code", {"code": "echo $((6*7))", "language": "bash"})["stdout"] == "42\n"
    wrong = call(tools, "call", "run_code", {"code": "1", "language": "klingon"})
    assert "klingon" in wrong["error"]
    assert "python" in wrong["error"]


def test_a_context_keeps_variables_and_nothing_else_does(tools: SandboxToolSet, call: Mode) -> None:
    context = call(tools, "call", "create_context")["context_id"]
    call(tools, "call", "run_code", {"code": "total = 40", "context_id": context})
    assert call(tools, "call", "run_code", {"code": "total + 2", "context_id": context})["result"] == "42"
    assert "NameError" in call(tools, "call", "run_code", {"code": "total"})["error"]
    assert call(tools, "call", "get_context", {"context_id": context})["language"] == "python"
    assert context in [each["context_id"] for each in call(tools, "call", "list_contexts")["contexts"]]
    assert call(tools, "call", "delete_context", {"context_id": context})["success"] is True
    assert call(tools, "call", "get_context", {"context_id": context})["error_code"] == "ERR_NOT_FOUND"


def test_a_context_says_its_language_itself(tools: SandboxToolSet) -> None:
    context = tools.call("create_context", {"language": "bash", "cwd": "/tmp"})["context_id"]
    assert tools.call("run_code", {"code": "pwd", "context_id": context})["stdout"] == "/tmp\n"


def test_what_is_displayed_comes_as_text(tools: SandboxToolSet) -> None:
    code = "from IPython.display import display\ndisplay('shown')\n'value'"
    answer = tools.call("run_code", {"code": code})
    assert (answer["displayed"], answer["result"]) == (["'shown'"], "'value'")


def test_two_contexts_at_once_do_not_mix(tools: SandboxToolSet) -> None:
    contexts = [tools.call("create_context")["context_id"] for _ in range(2)]

    def count(context: str) -> str:
        code = f"import time\nfor n in range(20):\n    print('{context}')\n    time.sleep(0.005)"
        return str(tools.call("run_code", {"code": code, "context_id": context})["stdout"])

    with ThreadPoolExecutor(2) as pool:
        printed = list(pool.map(count, contexts))
    assert printed == [f"{context}\n" * 20 for context in contexts]


# Files and processes


def test_files_come_back_as_they_were(tools: SandboxToolSet, call: Mode) -> None:
    folder = f"/home/user/{call.name}"
    path = f"{folder}/deep/a.txt"
    assert call(tools, "call", "write_file", {"path": path, "content": "grün\n"})["size"] == 6
    assert call(tools, "call", "read_file", {"path": path})["content"] == "grün\n"
    raw = base64.b64encode(b"\xff\x00").decode()
    call(tools, "call", "write_file", {"path": path, "content": raw, "encoding": "base64", "mode": "600"})
    assert call(tools, "call", "read_file", {"path": path})["content"] == raw
    assert call(tools, "call", "file_system_stat", {"path": path})["mode"] == "0600"


def test_folders_are_made_listed_moved_and_removed(tools: SandboxToolSet, call: Mode) -> None:
    folder = f"/home/user/folders-{call.name}"
    assert call(tools, "call", "file_system_mkdir", {"path": f"{folder}/a/b", "mode": "0700"})["success"]
    listed = call(tools, "call", "file_system_list", {"path": folder, "depth": 2})["entries"]
    assert [entry["name"] for entry in listed] == ["a", "b"]
    call(tools, "call", "file_system_move", {"source": f"{folder}/a/b", "destination": f"{folder}/c"})
    call(tools, "call", "file_system_remove", {"path": f"{folder}/a"})
    assert [entry["name"] for entry in call(tools, "call", "list_directory", {"path": folder})["entries"]] == ["c"]
    assert "home" in [entry["name"] for entry in call(tools, "call", "list_directory")["entries"]]


def test_a_command_gives_its_real_exit_code(tools: SandboxToolSet, call: Mode) -> None:
    answer = call(tools, "call", "process_exec_cmd", {"command": "pwd; echo no >&2; exit 7", "cwd": "/tmp"})
    assert answer == {"stdout": "/tmp\n", "stderr": "no\n", "exit_code": 7, "status": "completed"}
    assert call(tools, "call", "process_exec_cmd", {"command": "sleep 9", "timeout": 1})["status"] == "timeout"


def test_processes_are_listed_described_and_killed(tools: SandboxToolSet, call: Mode) -> None:
    process = tools.sandbox().process.start(["sleep", "600"])
    listed = call(tools, "call", "process_list")["items"]
    assert process.pid in [item["processId"] for item in listed]
    assert "sleep 600" in call(tools, "call", "process_stat", {"pid": process.pid})["command"]
    assert call(tools, "call", "process_kill", {"pid": process.pid})["stopped"] is True
    assert process.wait(10).exit_code == 137


def test_the_sandbox_can_be_used(tools: SandboxToolSet, call: Mode) -> None:
    assert call(tools, "call", "health")["status"] == "ok"


# What the caller did wrong


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("read_file", {}, "needs the argument 'path'. It takes path (string)"),
        ("read_file", {"path": None}, "path must be a string, not None"),
        ("read_file", {"path": "a", "file": "b"}, "no argument 'file'. It takes path (string)"),
        ("read_file", {"path": 7}, "path must be a string, not 7"),
        ("run_code", {"code": "1", "timeout": "soon"}, "timeout must be an integer, not 'soon'"),
        ("run_code", {"code": "1", "timeout": True}, "timeout must be an integer, not True"),
        ("file_system_mkdir", {"path": "a", "parents": "yes"}, "parents must be true or false, not 'yes'"),
        ("read_file", ["path"], "the arguments of read_file must be an object, not ['path']"),
        ("read_file", '{"path": "a"}', "must be an object"),
        ("health", {"self": 1}, "no argument 'self'. It takes no arguments"),
        ("read_files", {}, "there is no tool 'read_files'. There are health, run_code"),
    ],
)
def test_a_wrong_argument_says_what_is_right(
    tools: SandboxToolSet, call: Mode, name: str, given: Any, said: str
) -> None:
    answer = call(tools, "call", name, given)
    assert said in answer["error"]
    assert answer["error_type"] == "InvalidInputError"


def test_models_may_write_null_and_whole_floats(tools: SandboxToolSet) -> None:
    answer = tools.call("run_code", {"code": "1", "language": None, "timeout": 5.0, "context_id": None})
    assert answer["exit_code"] == 0


def test_a_failing_call_never_replaces_the_sandbox(tools: SandboxToolSet, call: Mode) -> None:
    before = tools.sandbox().sandbox_id
    call(tools, "call", "write_file", {"path": "kept.txt", "content": "kept"})
    assert call(tools, "call", "read_file", {"path": "/not/there"})["error_code"] == "ERR_NOT_FOUND"
    assert call(tools, "call", "run_code", {"code": "1/0"})["exit_code"] == 1
    assert call(tools, "call", "process_kill", {"pid": "x"})["error"]
    assert (
        call(tools, "call", "file_system_mkdir", {"path": "/usr/mine"})["error_type"] == PermissionDeniedError.__name__
    )
    assert tools.sandbox().sandbox_id == before
    assert call(tools, "call", "read_file", {"path": "kept.txt"})["content"] == "kept"


def test_what_the_caller_cannot_put_right_is_raised(config: Config, call: Mode) -> None:
    nowhere = SandboxToolSet(created(config).set_config(Config(data_endpoint="http://127.0.0.1:9", account_id="1")))
    with pytest.raises(ConnectError):
        call(nowhere, "call", "health")


# One sandbox, made when it is needed


def test_it_is_created_at_the_first_call_and_deleted_at_the_end(config: Config, call: Mode) -> None:
    before = live(config)
    tools = SandboxToolSet.of_template(TEMPLATE, config=config)
    assert tools.tools()
    assert call(tools, "call", "read_file", {})["error"]
    assert live(config) == before, "a refused argument needs no sandbox"
    call(tools, "call", "health")
    assert live(config) == before + 1
    call(tools, "close")
    call(tools, "close")
    assert live(config) == before
    with pytest.raises(SandboxError, match="closed"):
        call(tools, "call", "health")


def test_closing_one_that_was_never_used_creates_nothing(config: Config) -> None:
    before = live(config)
    with SandboxToolSet.of_template(TEMPLATE, config=config):
        pass
    assert live(config) == before


def test_many_threads_share_one_sandbox(config: Config) -> None:
    before = live(config)
    together = threading.Barrier(8)

    def first(_: int) -> Any:
        together.wait()
        return shared.call("run_code", {"code": "1"})["result"]

    with SandboxToolSet.of_template(TEMPLATE, config=config) as shared, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(first, range(8))) == ["1"] * 8
        assert live(config) == before + 1


def test_many_tasks_share_one_sandbox(config: Config) -> None:
    before = live(config)

    async def all_at_once() -> None:
        async with SandboxToolSet.of_template(TEMPLATE, config=config) as tools:
            calls = [tools.call_async("run_code", {"code": "1"}) for _ in range(8)]
            assert [answer["result"] for answer in await asyncio.gather(*calls)] == ["1"] * 8
            assert live(config) == before + 1

    asyncio.run(all_at_once())
    assert live(config) == before


def test_a_sandbox_of_the_callers_stays(config: Config, call: Mode) -> None:
    with created(config) as sandbox:
        tools = SandboxToolSet(sandbox)
        assert call(tools, "call", "health")["status"] == "ok"
        assert call(tools, "sandbox") is sandbox
        call(tools, "close")
        assert sandbox.check_health()["status"] == "ok"


def test_the_function_may_be_plain_or_async(config: Config, call: Mode) -> None:
    def plain() -> CodeInterpreterSandbox:
        return Sandbox.create(TemplateType.CODE_INTERPRETER, TEMPLATE, config=config)

    async def awaited() -> CodeInterpreterSandbox:
        return await Sandbox.create_async(TemplateType.CODE_INTERPRETER, TEMPLATE, config=config)

    for tools in (SandboxToolSet(plain), SandboxToolSet(awaited)):
        assert call(tools, "call", "health")["status"] == "ok"
        call(tools, "close")


def test_a_template_that_is_not_there_is_told_each_time(config: Config, call: Mode) -> None:
    tools = SandboxToolSet.of_template("nobody-made-me", config=config)
    for _ in range(2):
        with pytest.raises(ResourceNotExistError, match="nobody-made-me"):
            call(tools, "call", "health")


# When the sandbox has ended


@pytest.mark.parametrize("ending", ["stop", "delete"])
def test_a_sandbox_that_ended_is_told_as_such(config: Config, call: Mode, ending: str) -> None:
    tools = SandboxToolSet.of_template(TEMPLATE, config=config)
    before = tools.sandbox().sandbox_id
    getattr(tools.sandbox(), ending)()
    for _ in range(2):
        with pytest.raises(SandboxTerminatedError, match="recreate=True"):
            call(tools, "call", "health")
    assert tools.sandbox().sandbox_id == before
    call(tools, "close")


def test_with_recreate_it_goes_on_in_one_new_sandbox(config: Config, call: Mode) -> None:
    before = live(config)
    tools = SandboxToolSet.of_template(TEMPLATE, config=config, recreate=True)
    old = tools.sandbox()
    old.stop()

    def look(_: int) -> Any:
        return call(tools, "call", "health")["status"]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(look, range(4))) == ["ok"] * 4
    assert tools.sandbox().sandbox_id != old.sandbox_id
    assert live(config) == before + 1
    call(tools, "close")


def test_what_may_have_been_done_is_not_done_again(config: Config) -> None:
    tools = SandboxToolSet.of_template(TEMPLATE, config=config, recreate=True)
    old = tools.sandbox()
    threading.Timer(0.3, old.stop).start()
    with pytest.raises(SandboxTerminatedError, match="next call gets a new sandbox") as caught:
        tools.call("process_exec_cmd", {"command": "sleep 10"})
    assert caught.value.executed != Executed.NO
    assert tools.call("health")["status"] == "ok"
    assert tools.sandbox().sandbox_id != old.sandbox_id
    tools.close()


def test_to_recreate_it_must_know_how(config: Config) -> None:
    with created(config) as sandbox, pytest.raises(InvalidInputError, match="of_template"):
        SandboxToolSet(sandbox, recreate=True)


# The value that is made once


def test_a_failure_goes_to_all_who_wait_and_the_next_tries_again() -> None:
    tries: list[int] = []

    async def make() -> str:
        tries.append(1)
        await asyncio.sleep(0.02)
        if len(tries) == 1:
            raise ValueError("not yet")
        return "made"

    async def ask() -> None:
        once = Once(make, "the value")
        found = await asyncio.gather(once.get(), once.get(), return_exceptions=True)
        assert [str(each) for each in found] == ["not yet", "not yet"]
        assert await once.get() == "made"
        assert once.value == "made"
        assert len(tries) == 2

    asyncio.run(ask())


def test_when_the_maker_gives_up_another_takes_over() -> None:
    async def ask() -> None:
        started: list[asyncio.Event] = []

        async def make() -> str:
            started.append(asyncio.Event())
            await asyncio.sleep(0.05 if len(started) > 1 else 60)
            return "made"

        once = Once(make, "the value")
        first = asyncio.ensure_future(once.get())
        second = asyncio.ensure_future(once.get())
        await asyncio.sleep(0.01)
        first.cancel()
        assert await asyncio.wait_for(second, 5) == "made"
        assert len(started) == 2

    asyncio.run(ask())


def test_one_who_waits_may_give_up_alone() -> None:
    async def ask() -> None:
        async def make() -> str:
            await asyncio.sleep(0.05)
            return "made"

        once = Once(make, "the value")
        first = asyncio.ensure_future(once.get())
        second = asyncio.ensure_future(once.get())
        await asyncio.sleep(0.01)
        second.cancel()
        assert await first == "made"

    asyncio.run(ask())


def test_a_blocking_call_does_not_wait_for_its_own_event_loop() -> None:
    async def ask() -> None:
        async def create() -> CodeInterpreterSandbox:
            await asyncio.sleep(60)
            raise AssertionError("not reached")

        tools = SandboxToolSet(create)
        first = asyncio.ensure_future(tools.sandbox_async())
        await asyncio.sleep(0.01)
        with pytest.raises(BlockingError, match="_async"):
            tools.sandbox()
        first.cancel()

    asyncio.run(ask())
