"""`agentrun chat` in the terminal, with agents that are served over TCP."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr

from agentrun.cli.app import run
from agentrun.server import AgentEvent, AgentRequest, EventType, ServerConfig
from tests.gateway.serving import wait_until
from tests.unit.server.serving import Served, serving

PROTOCOLS = ("agent_api", "ag_ui", "chat", "responses")
in_each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def event(kind: str, **data: Any) -> AgentEvent:
    return AgentEvent(event=EventType(kind), data=data)


class Agent:
    """Gives these, raises errors among them, and remembers what it was asked."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.asked: list[AgentRequest] = []

    def __call__(self, request: AgentRequest) -> Iterator[Any]:
        self.asked.append(request)
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item


class Done(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def chat(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(served: Served | str, *arguments: str) -> Done:
        url = served if isinstance(served, str) else served.root
        try:
            status = run(["chat", url, *arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = capsys.readouterr()
        return Done(status, str(out), str(err))

    return call


EVERYTHING: tuple[Any, ...] = (
    event("REASONING", delta="hm"),
    event("TOOL_CALL_CHUNK", id="a", name="add", args_delta='{"x":'),
    event("TOOL_CALL_CHUNK", id="a", args_delta="1}"),
    event("TOOL_RESULT", id="a", result="42"),
    "It is ",
    "42",
)


@in_each_protocol
def test_one_answer_is_its_words_alone(chat: Any, protocol: str) -> None:
    agent = Agent(*EVERYTHING)
    with serving(agent) as served:
        assert chat(served, "-q", "How much?", "--protocol", protocol, "--session-id", "S") == (0, "It is 42\n", "")
    (asked,) = agent.asked
    assert (asked.messages[-1].text, asked.session_id) == ("How much?", "S")
    assert (
        asked.protocol
        == {"agent_api": "agent_api", "ag_ui": "agui", "chat": "openai", "responses": "openai_responses"}[protocol]
    )


@in_each_protocol
def test_a_failure_is_told_with_status_1(chat: Any, protocol: str) -> None:
    with serving(Agent("I try", ValueError("no such table"))) as served:
        done = chat(served, "-q", "x", "--protocol", protocol)
    assert (done.status, done.out) == (1, "I try\n")
    assert done.err.startswith("agentrun: no answer: ")
    assert "no such table" in done.err


@in_each_protocol
def test_a_conversation(chat: Any, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Agent("one")
    monkeypatch.setattr(sys, "stdin", io.StringIO("first\n\nsecond\n"))
    with serving(agent) as served:
        assert chat(served, "--protocol", protocol) == (0, "one\none\n", "")
    first, second = agent.asked
    assert first.session_id == second.session_id is not None
    told = [message.text for message in second.messages]
    assert told == (["second"] if protocol == "agent_api" else ["first", "one", "second"])


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("", "agent_api"),
        ("/process", "agent_api"),
        ("/ag-ui/agent", "agui"),
        ("/openai/v1", "openai"),
        ("/openai/v1/chat/completions", "openai"),
    ],
)
def test_the_address_of_a_protocol_is_enough(chat: Any, path: str, protocol: str) -> None:
    agent = Agent("ok")
    with serving(agent) as served:
        assert chat(served.root + path, "-q", "x").out == "ok\n"
    assert agent.asked[0].protocol == protocol


def test_a_protocol_that_is_switched_off(chat: Any) -> None:
    config = ServerConfig.model_validate({"agent_api": {"enable": False}})
    with serving(Agent("ok"), config) as served:
        assert chat(served, "-q", "x").out == "ok\n"
        done = chat(served, "-q", "x", "--protocol", "agent_api")
    assert (done.status, done.out) == (1, "")
    assert "does not speak agent_api: it speaks" in done.err


def test_a_key(chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ServerConfig(api_keys=[SecretStr("secret-of-the-server")])
    with serving(Agent("ok"), config) as served:
        refused = chat(served, "-q", "x")
        assert refused.status == 1
        assert "asks for a key" in refused.err
        monkeypatch.setenv("THE_KEY", "secret-of-the-server")
        assert chat(served, "-q", "x", "--api-key-env", "THE_KEY") == (0, "ok\n", "")
        missing = chat(served, "-q", "x", "--api-key-env", "NOT_SET")
    assert missing == (
        1,
        "",
        "agentrun: NOT_SET is not set: set it to the key of the server, or leave --api-key-env out\n",
    )


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1", "does not answer"),
        ("ftp://127.0.0.1", "is no address of an agent"),
        ("http://", "is no address of an agent"),
    ],
)
def test_nobody_there(chat: Any, url: str, words: str) -> None:
    done = chat(url, "-q", "x")
    assert (done.status, done.out) == (1, "")
    assert words in done.err


def test_a_server_of_something_else(chat: Any) -> None:
    off = {name: {"enable": False} for name in ("agent_api", "openai", "responses", "a2a", "agui", "mcp")}
    with serving(Agent(), ServerConfig.model_validate(off)) as served:
        done = chat(served, "-q", "x")
    assert (done.status, done.out) == (1, "")
    assert "speaks none of agent_api, ag_ui, chat, responses" in done.err


class Terminal:
    """The command at a terminal, which a test types into and reads."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agentrun", "chat", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )
        os.close(slave)
        self.seen = ""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        try:
            while piece := os.read(self._master, 65536):
                self.seen += piece.decode(errors="replace")
        except OSError:
            pass  # The end of a terminal.

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.seen)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reading.join()
        os.close(self._master)


@contextmanager
def terminal(*arguments: str) -> Generator[Terminal, None, None]:
    found = Terminal(*arguments)
    try:
        yield found
    finally:
        found.close()


def test_at_a_terminal() -> None:
    stopped = threading.Event()

    class Patient(Agent):
        def __call__(self, request: AgentRequest) -> Iterator[Any]:
            yield from super().__call__(request)
            if request.messages[-1].text == "for ever":
                try:
                    while True:
                        yield "."
                        stopped.wait(0.01)
                finally:
                    stopped.set()

    evil = "\x1b]0;title\x07\x1b[2Jend"
    agent = Patient(*EVERYTHING, evil)
    with serving(agent) as served, terminal(served.root) as shell:
        shell.wait_for("Ctrl-D ends")
        shell.wait_for("> ")
        shell.type("how much?\n")
        shell.wait_for("]0;title[2Jend")
        for dim in ("\x1b[2mhm\x1b[0m", '\x1b[2m→ add \x1b[0m\x1b[2m{"x":\x1b[0m', "\x1b[2m← 42\x1b[0m"):
            assert dim in shell.seen
        assert "\x1b]0;" not in shell.seen
        shell.type("for ever\n")
        shell.wait_for("...")
        os.killpg(shell.process.pid, signal.SIGINT)  # Ctrl-C.
        shell.wait_for("(stopped)")
        assert stopped.wait(15)
        shell.type("again\n")
        wait_until(lambda: len(agent.asked) == 3)
        wait_until(lambda: shell.seen.count("2Jend") == 3 and shell.seen.endswith("> "))
        shell.type("\x04")
        assert shell.process.wait(15) == 0
