"""The command line, run as people run it: as a process, whose output, status and leftovers are looked at."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from agentrun import (
    AgentRuntime,
    AgentRuntimeCode,
    AgentRuntimeDataAPI,
    AgentRuntimeLanguage,
    Config,
    Credential,
    CredentialConfig,
)
from agentrun._core import local
from agentrun._core.run_directory import birth_of
from agentrun.cli import processes
from agentrun.cli.variables import Shell, render
from agentrun.emulator import records
from agentrun.emulator.backends.base import LEVELS
from agentrun.emulator.launcher import landlock
from agentrun.tool import Tool
from tests.emulator.agents import wait_until
from tests.emulator.backends.conftest import host_processes

AGENTRUN = [sys.executable, "-m", "agentrun"]
PATIENCE = 30.0
AWKWARD = {"SPACES": "a b", "QUOTES": 'it\'s "so"', "DOLLAR": "$HOME `id` \\n", "EMPTY": "", "HASH": "a#b"}


@pytest.fixture
def home(tmp_path: Path) -> Generator[dict[str, str]]:
    """An environment in which no other emulator of this user is known, and nothing leads to a cloud."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTRUN_", "ALIBABA_"))}
    yield {**kept, "XDG_RUNTIME_DIR": str(runtime), "NO_COLOR": "1"}
    for file in runtime.glob("agentrun/*.json"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(file.read_text())["pid"], signal.SIGKILL)


def agentrun(home: dict[str, str], *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*AGENTRUN, *arguments], env=home, capture_output=True, text=True, timeout=PATIENCE, check=False, **options
    )


def started(home: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start a command that goes on, in a group of its own so that it can be signalled like from a terminal."""
    return subprocess.Popen(
        [*AGENTRUN, *arguments],
        env=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def eventually(check: Callable[[], Any], what: str) -> Any:
    """The first true answer of `check`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {PATIENCE} s")


def records_in(home: dict[str, str]) -> list[dict[str, Any]]:
    """What is recorded of running emulators."""
    return [json.loads(file.read_text()) for file in Path(home["XDG_RUNTIME_DIR"]).glob("agentrun/*.json")]


def in_background(home: dict[str, str], *options: str) -> dict[str, Any]:
    """Start an emulator that stays, on a free port; returns its record."""
    done = agentrun(home, "emulator", "up", "--detach", "--port", "0", *options)
    assert done.returncode == 0, done.stderr
    return records_in(home)[0]


def stop_background(home: dict[str, str]) -> None:
    done = agentrun(home, "emulator", "down")
    assert done.returncode == 0, done.stderr
    assert "stopped in" in done.stdout


@pytest.fixture
def emulator_record(home: dict[str, str]) -> Generator[dict[str, Any]]:
    """An emulator in the background, for one test."""
    yield in_background(home)
    stop_background(home)


def config_of(record: dict[str, Any], access_key_id: str = local.ACCESS_KEY_ID) -> Config:
    return Config.local(record["port"], access_key_id=access_key_id)


def create_credential(config: Config, name: str) -> None:
    secret = CredentialConfig.outbound_llm_api_key("sk-1", "openai")
    Credential.create(credential_name=name, credential_config=secret, config=config)


def names_in(config: Config) -> list[str]:
    with config:
        return [str(found.credential_name) for found in Credential.list_all(config=config)]


# The command line itself


def test_version_is_one_plain_line(home: dict[str, str]) -> None:
    done = agentrun(home, "version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "agentrun 0.1.0\n", "")


def test_help_is_plain_text_without_a_terminal(home: dict[str, str]) -> None:
    done = agentrun(home, "emulator", "up", "--help")
    assert done.returncode == 0
    assert "--allow-unconfined" in done.stdout
    assert done.stdout.isascii()


def test_an_unknown_option_is_no_traceback(home: dict[str, str]) -> None:
    done = agentrun(home, "emulator", "up", "--prot", "1")
    assert done.returncode == 2
    assert "--prot" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["down"], ["status"], ["env"], ["reset"], ["logs"], ["exec", "--running", "--", "true"], ["down", "--port", "1"]],
    ids=" ".join,
)
def test_without_an_emulator_commands_say_how_to_start_one(home: dict[str, str], arguments: list[str]) -> None:
    done = agentrun(home, "emulator", *arguments)
    assert done.returncode == 1
    assert done.stderr == "agentrun: no emulator runs: start one with `agentrun emulator up --detach`\n"


# up and down


def test_up_detached_answers_and_down_leaves_nothing(home: dict[str, str]) -> None:
    record = in_background(home)
    create_credential(config_of(record), "kept")
    assert names_in(config_of(record)) == ["kept"]
    stop_background(home)
    assert birth_of(record["pid"]) is None
    assert not Path(record["directory"]).exists()
    assert list(Path(home["XDG_RUNTIME_DIR"], "agentrun").iterdir()) == []


def test_records_are_for_the_user_alone(home: dict[str, str], emulator_record: dict[str, Any]) -> None:
    directory = Path(home["XDG_RUNTIME_DIR"], "agentrun")
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / f"{emulator_record['port']}.json").stat().st_mode & 0o777 == 0o600


def test_up_says_where_how_and_what_next(home: dict[str, str]) -> None:
    done = agentrun(home, "emulator", "up", "-d", "--port", "0")
    port = records_in(home)[0]["port"]
    first, how, following = done.stdout.splitlines()
    assert f"http://127.0.0.1:{port}" in first
    assert how.startswith("Agents and sandboxes ")
    assert f'eval "$(agentrun emulator env --port {port})"' in following
    stop_background(home)


def test_a_second_emulator_on_the_port_is_refused(home: dict[str, str], emulator_record: dict[str, Any]) -> None:
    port = str(emulator_record["port"])
    done = agentrun(home, "emulator", "up", "--port", port)
    assert done.returncode == 1
    assert f"down --port {port}" in done.stderr
    assert str(emulator_record["pid"]) in done.stderr


@pytest.mark.parametrize("detach", [[], ["--detach"]], ids=["foreground", "detached"])
def test_a_port_that_somebody_else_has_is_refused(home: dict[str, str], detach: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = agentrun(home, "emulator", "up", "--port", str(taken.getsockname()[1]), *detach)
    assert done.returncode == 1
    assert done.stderr.startswith("agentrun: cannot listen on 127.0.0.1:")
    assert done.stderr.count("\n") == 1
    assert records_in(home) == []


def test_ctrl_c_stops_an_emulator_in_the_foreground(home: dict[str, str]) -> None:
    with started(home, "emulator", "up", "--port", "0") as process:
        assert process.stdout is not None
        assert "listens at" in process.stdout.readline()
        record = records_in(home)[0]
        assert "to stop: Ctrl-C" in "".join(process.stdout.readline() for _ in range(2))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    assert birth_of(record["pid"]) is None
    assert not Path(record["directory"]).exists()
    assert records_in(home) == []


def test_down_ends_an_emulator_in_the_foreground_too(home: dict[str, str]) -> None:
    with started(home, "emulator", "up", "--port", "0") as process:
        eventually(lambda: records_in(home), "the start")
        stop_background(home)
        assert process.wait(PATIENCE) == 0


def test_the_record_of_a_killed_emulator_is_removed_with_what_it_left(home: dict[str, str]) -> None:
    record = in_background(home)
    os.kill(record["pid"], signal.SIGKILL)
    eventually(lambda: birth_of(record["pid"]) is None, "the death")
    assert Path(record["directory"]).exists()
    assert agentrun(home, "emulator", "status").returncode == 1
    assert records_in(home) == []
    assert not Path(record["directory"]).exists()


def test_a_frozen_emulator_is_killed(home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    record = in_background(home)
    os.kill(record["pid"], signal.SIGSTOP)
    monkeypatch.setenv("XDG_RUNTIME_DIR", home["XDG_RUNTIME_DIR"])
    (emulator,) = records.running()
    assert processes.stop(emulator, patience=0.1) == "killed, because it did not stop within 0.1 s"
    assert birth_of(record["pid"]) is None
    assert records_in(home) == []
    assert not Path(record["directory"]).exists()


def test_a_second_ctrl_c_kills(home: dict[str, str]) -> None:
    with started(home, "emulator", "up", "--port", "0") as process:
        record = eventually(lambda: records_in(home), "the start")[0]
        assert process.stdout is not None
        assert "to stop: Ctrl-C" in "".join(process.stdout.readline() for _ in range(3))
        os.kill(record["pid"], signal.SIGSTOP)
        for _ in range(2):
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 1
    assert birth_of(record["pid"]) is None
    assert records_in(home) == []
    assert not Path(record["directory"]).exists()


def test_state_survives_and_choices_reach_the_emulator(home: dict[str, str], tmp_path: Path) -> None:
    options = ("--state", str(tmp_path / "state"), "--access-key", "alice:her-secret", "--profile", "realistic")
    record = in_background(home, *options)
    alice = config_of(record, "alice").replace(access_key_secret="her-secret")
    create_credential(alice, "kept")
    assert json.loads(agentrun(home, "emulator", "status", "--json").stdout)[0]["profile"] == "realistic"
    assert b"her-secret" not in Path(f"/proc/{record['pid']}/cmdline").read_bytes()
    stop_background(home)
    again = in_background(home, *options)
    assert names_in(alice.replace(control_endpoint=again["url"])) == ["kept"]
    stop_background(home)


# Choices that cannot be


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1", "defines no script"),
        ("script = 1", "script in {path} is a int"),
        ("def f():\n    raise KeyError('k')\nf()", "{path} cannot be loaded: KeyError: 'k' (line 2)"),
        ("script = (", "{path} cannot be loaded: SyntaxError"),
    ],
)
def test_a_script_that_cannot_be_used_is_explained(
    home: dict[str, str], tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "answers.py"
    path.write_text(text)
    done = agentrun(home, "emulator", "exec", "--script", str(path), "--", "true")
    assert done.returncode == 1
    assert reason.format(path=path) in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--script", "/nowhere.py"], "there is no script /nowhere.py"),
        (["--profile", "quick"], "choose one of instant, realistic"),
        (["--access-key", "alice"], "ID:SECRET"),
        (["--state", "/proc/none"], "/proc/none"),
    ],
    ids=lambda value: str(value[0]),
)
def test_wrong_options_are_one_line(home: dict[str, str], options: list[str], reason: str) -> None:
    done = agentrun(home, "emulator", "up", "--port", "0", "--detach", *options)
    assert done.returncode == 1
    assert done.stderr.startswith("agentrun: ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


# env, status, reset, logs


def test_status_shows_what_runs(home: dict[str, str], emulator_record: dict[str, Any]) -> None:
    columns, row = (line.split("\t") for line in agentrun(home, "emulator", "status").stdout.splitlines())
    shown = dict(zip(columns, row, strict=True))
    assert shown["url"] == emulator_record["url"]
    assert shown["pid"] == str(emulator_record["pid"])
    assert (shown["sandboxes"], shown["agents"], shown["state"]) == ("0", "0", "in memory")


def test_env_is_all_that_exec_sets(home: dict[str, str], emulator_record: dict[str, Any]) -> None:
    printed = json.loads(agentrun(home, "emulator", "env", "--shell", "json").stdout)
    assert printed == emulator_record["environment"]
    program = f"import json, os; print(json.dumps({{name: os.environ[name] for name in {list(printed)}}}))"
    done = agentrun(home, "emulator", "exec", "--running", "--", sys.executable, "-c", program)
    assert json.loads(done.stdout) == printed


def test_env_can_be_evaluated(home: dict[str, str], emulator_record: dict[str, Any]) -> None:
    line = f'eval "$({shlex.join(AGENTRUN)} emulator env)" && {shlex.join(AGENTRUN)} emulator exec --running -- env'
    done = subprocess.run(["sh", "-c", line], env=home, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert f"AGENTRUN_DATA_ENDPOINT={emulator_record['url']}" in done.stdout.splitlines()


@pytest.mark.parametrize(("shell", "program"), [(Shell.SH, "sh"), (Shell.FISH, "fish")], ids=["sh", "fish"])
def test_shells_read_back_what_was_rendered(shell: Shell, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    show = f"{shlex.quote(sys.executable)} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    text = f"{render(AWKWARD, shell)}\n{show}\n"
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True, timeout=PATIENCE)
    found = json.loads(done.stdout)
    assert {name: found[name] for name in AWKWARD} == AWKWARD


def test_dotenv_quotes_only_what_needs_it() -> None:
    lines = render(AWKWARD | {"URL": "http://127.0.0.1:4590"}, Shell.DOTENV).splitlines()
    assert lines == [
        "SPACES='a b'",
        "QUOTES='it\\'s \"so\"'",
        "DOLLAR='$HOME `id` \\\\n'",
        "EMPTY=",
        "HASH='a#b'",
        "URL=http://127.0.0.1:4590",
    ]


def test_reset_forgets_one_account_or_all(home: dict[str, str], emulator_record: dict[str, Any]) -> None:
    alice, bob = config_of(emulator_record, "alice"), config_of(emulator_record, "bob")
    create_credential(alice, "hers")
    create_credential(bob, "his")
    assert agentrun(home, "emulator", "reset", "--account-of", "alice").returncode == 0
    assert (names_in(alice), names_in(bob)) == ([], ["his"])
    assert agentrun(home, "emulator", "reset").returncode == 0
    assert names_in(bob) == []


def test_logs_show_requests_and_follow_further_ones(home: dict[str, str], emulator_record: dict[str, Any]) -> None:
    config = config_of(emulator_record)
    create_credential(config, "first")
    names_in(config)
    last = agentrun(home, "emulator", "logs", "-n", "1").stdout
    assert "ListCredentials GET" in last
    assert last.count("\n") == 1
    entry = json.loads(agentrun(home, "emulator", "logs", "--json", "--operation", "CreateCredential").stdout)
    assert (entry["status"], entry["account"]) == (200, local.account_id(local.ACCESS_KEY_ID))
    with started(home, "emulator", "logs", "-f", "-n", "0") as following:
        assert following.stdout is not None
        time.sleep(1)
        create_credential(config, "second")
        assert "CreateCredential POST" in following.stdout.readline()
        os.killpg(following.pid, signal.SIGINT)
        assert following.wait(PATIENCE) == 0
        assert following.stderr is not None
        assert following.stderr.read() == ""
    config.close()


def test_following_ends_with_the_emulator(home: dict[str, str]) -> None:
    in_background(home)
    with started(home, "emulator", "logs", "-f") as following:
        time.sleep(1)
        stop_background(home)
        assert following.wait(PATIENCE) == 0
        assert following.stderr is not None
        assert following.stderr.read() == ""


def test_colours_are_for_terminals(home: dict[str, str], emulator_record: dict[str, Any]) -> None:
    names_in(config_of(emulator_record))
    home = {name: value for name, value in home.items() if name != "NO_COLOR"} | {"TERM": "xterm-256color"}
    ours, theirs = pty.openpty()
    subprocess.run([*AGENTRUN, "emulator", "logs"], env=home, stdout=theirs, check=True, timeout=PATIENCE)
    os.close(theirs)
    assert b"\x1b[32m" in os.read(ours, 65536)
    os.close(ours)


def test_runtime_logs_name_a_runtime_that_is_not_there(home: dict[str, str], emulator_record: dict[str, Any]) -> None:
    done = agentrun(home, "runtime", "logs", "nobody")
    assert done.returncode == 1
    assert "nobody does not exist" in done.stderr
    assert "Traceback" not in done.stderr


TALKATIVE = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path)
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_runtime_logs_are_what_the_agent_wrote(
    home: dict[str, str], emulator_record: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text(TALKATIVE)
    with config_of(emulator_record) as config:
        code = AgentRuntimeCode.from_file(
            AgentRuntimeLanguage.PYTHON312, ["python3", "main.py"], str(tmp_path / "code")
        )
        runtime = AgentRuntime.create(agent_runtime_name="talkative", code_configuration=code, port=9000, config=config)
        runtime.wait_until_ready()
        AgentRuntimeDataAPI("talkative", config=config).invoke("hello", "GET")
    done = agentrun(home, "runtime", "logs", "talkative", "-n", "5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "asked for /hello" in done.stdout.splitlines()


def test_tool_logs_are_what_its_server_wrote(home: dict[str, str], emulator_record: dict[str, Any]) -> None:
    with config_of(emulator_record) as config:
        spec = {"command": "python3", "args": ["-c", "import sys; sys.exit('nothing to serve')"]}
        Tool.create(
            tool_name="broken",
            tool_type="MCP",
            create_method="MCP_LOCAL",
            protocol_spec=json.dumps({"mcpServers": {"server": spec}}),
            config=config,
        )
        wait_until(lambda: "FAILED" in (Tool.get_by_name("broken", config).status or ""), 60)
    done = agentrun(home, "tool", "logs", "broken", "-n", "50")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to serve" in done.stdout
    missing = agentrun(home, "tool", "logs", "nobody")
    assert (missing.returncode, "nobody" in missing.stderr, "Traceback" in missing.stderr) == (1, True, False)


# exec


def test_exec_gives_the_command_its_streams_and_takes_its_status(home: dict[str, str]) -> None:
    program = "import sys; print(sys.stdin.read().upper()); print('to stderr', file=sys.stderr); sys.exit(42)"
    done = agentrun(home, "emulator", "exec", "--", sys.executable, "-c", program, input="given")
    assert (done.returncode, done.stdout, done.stderr) == (42, "GIVEN\n", "to stderr\n")
    assert records_in(home) == []


def test_exec_leads_an_sdk_to_its_emulator(home: dict[str, str]) -> None:
    program = "import agentrun; print(list(agentrun.Credential.list_all()))"
    done = agentrun(home, "emulator", "exec", "--", sys.executable, "-c", program)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_exec_runs_the_script_it_is_given(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("ANSWER = 'forty-two'")
    script = tmp_path / "answers.py"
    script.write_text(
        "from beside import ANSWER\nfrom agentrun.emulator import Rule, Script\nscript = Script([Rule('why', ANSWER)])"
    )
    program = (
        "import openai; answer = openai.OpenAI().chat.completions.create("
        "model='any', messages=[{'role': 'user', 'content': 'why?'}]); print(answer.choices[0].message.content)"
    )
    done = agentrun(home, "emulator", "exec", "--script", str(script), "--", sys.executable, "-c", program)
    assert (done.returncode, done.stdout) == (0, "forty-two\n"), done.stderr


def test_exec_over_tls_is_trusted_by_the_command(home: dict[str, str]) -> None:
    program = "import agentrun; print(list(agentrun.Credential.list_all()))"
    done = agentrun(home, "emulator", "exec", "--tls", "--", sys.executable, "-c", program)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [(["no-such-command"], 127, "check its spelling"), (["/etc/passwd"], 126, "Permission denied")],
)
def test_exec_explains_a_command_it_cannot_run(
    home: dict[str, str], command: list[str], status: int, reason: str
) -> None:
    done = agentrun(home, "emulator", "exec", "--", *command)
    assert done.returncode == status
    assert reason in done.stderr
    assert records_in(home) == []


def test_exec_refuses_options_for_an_emulator_that_runs(home: dict[str, str]) -> None:
    done = agentrun(home, "emulator", "exec", "--running", "--tls", "--", "true")
    assert done.returncode == 1
    assert "keeps its options" in done.stderr


WAITING = """
import signal, sys, time
def told(number, frame):
    print(signal.Signals(number).name, flush=True)
    sys.exit(7)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, told)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_exec_passes_signals_on(home: dict[str, str], number: signal.Signals) -> None:
    with started(home, "emulator", "exec", "--", sys.executable, "-c", WAITING) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == f"{number.name}\n"
        assert process.wait(PATIENCE) == 7
    assert records_in(home) == []


COUNTING = """
import signal, time
told = []
signal.signal(signal.SIGINT, lambda number, frame: told.append(number))
print("ready", flush=True)
while not told:
    time.sleep(0.01)
time.sleep(0.5)
print("told", len(told), flush=True)
"""


def test_ctrl_c_reaches_the_command_once(home: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*AGENTRUN, "emulator", "exec", "--", sys.executable, "-c", COUNTING],
        env=home,
        stdin=theirs,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.write(ours, b"\x03")
        assert process.stdout.readline() == "told 1\n"
        assert process.wait(PATIENCE) == 0
    os.close(ours)
    os.close(theirs)


def test_the_status_of_a_command_ended_by_a_signal_is_a_shells(home: dict[str, str]) -> None:
    assert agentrun(home, "emulator", "exec", "--", "sh", "-c", "kill -9 $$").returncode == 128 + signal.SIGKILL


SANDBOX = """
import agentrun, time
agentrun.Template.create(template_name="python", template_type=agentrun.TemplateType.CODE_INTERPRETER)
sandbox = agentrun.Sandbox.create(template_name="python")
sandbox.context.execute("1 + 1")
print("ready", flush=True)
time.sleep(60)
"""


def test_nothing_survives_exec_that_is_killed(home: dict[str, str]) -> None:
    with started(home, "emulator", "exec", "--", sys.executable, "-c", SANDBOX) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
        record = records_in(home)[0]
        assert host_processes(record["directory"])
        process.kill()
        process.wait()
        eventually(lambda: process.stdout and process.stdout.read() == "", "the end of the command")
    eventually(lambda: birth_of(record["pid"]) is None, "the end of the emulator")
    assert not host_processes(record["directory"])
    assert not Path(record["directory"]).exists()
    assert records_in(home) == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 always looks in the working directory")
def test_a_file_in_the_working_directory_does_not_stand_in_for_a_module(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('the wrong one')")
    safe = {**home, "PYTHONSAFEPATH": "1"}
    assert agentrun(safe, "emulator", "exec", "--", "true", cwd=tmp_path).returncode == 0


# doctor


def doctor(home: dict[str, str], *prefix: str) -> tuple[int, dict[str, str]]:
    """The exit status and the lines of findings by name; `prefix` is a command that runs it in its own way."""
    done = subprocess.run(
        [*prefix, *AGENTRUN, "emulator", "doctor"],
        env=home,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok ", "missing ", "problem "))]
    return done.returncode, {line[9:].partition(":")[0]: line for line in lines}


def test_doctor_looks_at_this_machine(home: dict[str, str]) -> None:
    status, found = doctor(home)
    assert found["python"].split()[-1] == ".".join(map(str, sys.version_info[:3]))
    assert found["port 4590"]
    assert (status == 1) == any(line.startswith("problem") for line in found.values())


def test_doctor_shows_every_level_and_the_one_that_sandboxes_really_get(home: dict[str, str]) -> None:
    status, found = doctor(home)
    assert [name.removeprefix("level ") for name in found if name.startswith("level ")] == list(LEVELS)
    assert status == 0, found["sandboxes"]
    reached = found["sandboxes"].split()[2].rstrip(",")
    assert found[f"level {reached}"].startswith("ok")
    program = (
        "import agentrun; agentrun.Template.create(template_name='t', template_type='CodeInterpreter'); "
        "print(agentrun.Sandbox.create(template_name='t').isolation.level)"
    )
    assert agentrun(home, "emulator", "exec", "--", sys.executable, "-c", program).stdout == f"{reached}\n"


def test_doctor_names_the_fix_where_bubblewrap_is_missing(home: dict[str, str], tmp_path: Path) -> None:
    status, found = doctor({**home, "PATH": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none"})
    assert found["bubblewrap"] == "missing  bubblewrap: bubblewrap is not installed; fix: install bubblewrap"
    assert "not here: bubblewrap" in found["level namespaces"]
    assert found["agents"].startswith("missing")
    if landlock.abi():
        assert (status, found["sandboxes"].split()[:3]) == (0, ["ok", "sandboxes:", "landlock"])
    else:
        assert (status, found["sandboxes"].split()[:3]) == (1, ["problem", "sandboxes:", "none"])


# The sandboxes of an ordinary user in a user namespace in which no other may be made; of the machine nothing changes.
WITHOUT_NAMESPACES = (
    *("unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "sh", "-c"),
    'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all "$@"',
    "sh",
)


@pytest.mark.skipif(
    subprocess.run([*WITHOUT_NAMESPACES, "true"], capture_output=True, check=False).returncode != 0,
    reason="user namespaces cannot be made here in the first place",
)
def test_doctor_names_the_setting_that_forbids_user_namespaces(home: dict[str, str]) -> None:
    _, found = doctor(home, *WITHOUT_NAMESPACES)
    for name in ("bubblewrap", "user namespaces"):
        assert found[name].startswith("missing")
        assert found[name].endswith("; fix: sysctl -w user.max_user_namespaces=65536")
    assert "not here: user namespaces, bubblewrap" in found["level namespaces"]
    assert found["own user ids"].startswith("missing")


def test_doctor_says_what_a_container_engine_lacks(home: dict[str, str], tmp_path: Path) -> None:
    _, found = doctor({**home, "DOCKER_HOST": f"unix://{tmp_path}/none"})
    assert found["container engine"].startswith(f"missing  container engine: no container engine answers at {tmp_path}")
    assert "; fix: start it with `systemctl start docker`" in found["container engine"]
    assert "not here: container engine" in found["level container"]


def test_doctor_warns_of_a_proxy_that_would_get_local_requests(home: dict[str, str]) -> None:
    proxied = {**home, "HTTP_PROXY": "http://proxy.example:3128", "NO_PROXY": "", "no_proxy": ""}
    assert "missing  proxies: HTTP_PROXY" in agentrun(proxied, "emulator", "doctor").stdout
    excepted = {**proxied, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    assert "ok       proxies: HTTP_PROXY" in agentrun(excepted, "emulator", "doctor").stdout
