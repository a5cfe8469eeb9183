"""An application on a port of its own, and a client of the Agent API that believes nothing it has not checked."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai
import uvicorn

PATIENCE = 60.0
DICTIONARY = {"ada": "a language", "bob": "a name"}


def look_up(word: str) -> str:
    """Look a word up in the dictionary.

    Args:
        word (str): The word.
    """
    return DICTIONARY[word]


@contextmanager
def serving(app: Any) -> Iterator[Served]:
    """An application that answers, until the end of the block."""
    # Agents leave connections to their models open, which uvloop does not forgive at the end.
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", loop="asyncio"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield Served(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@contextmanager
def running(module: str) -> Iterator[Served]:
    """A program that serves an agent at the port of the variable PORT, until the end of the block; it ends well."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = subprocess.Popen([sys.executable, "-m", module], env={**os.environ, "PORT": str(port)})
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", program)
        yield Served(f"http://127.0.0.1:{port}")
        program.terminate()
        # Uvicorn ends by the signal once more, when everything is put away.
        assert program.wait(PATIENCE) in (0, -signal.SIGTERM)
    finally:
        program.kill()
        program.wait()


def _wait_for(url: str, program: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert program.poll() is None
        assert time.monotonic() < deadline
        try:
            httpx.get(url, timeout=PATIENCE).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.05)


@dataclass(frozen=True)
class Served:
    """Where an application answers."""

    url: str

    def ask(self, *said: dict[str, Any] | str, session: str = "s1", user: str = "u1") -> Answer:
        """The answer to messages, over the Agent API; text is what the user says."""
        body = {"input": [_message(each) for each in said], "session_id": session, "user_id": user}
        events: list[dict[str, Any]] = []
        with httpx.stream("POST", f"{self.url}/process", json=body, timeout=PATIENCE) as response:
            assert response.status_code == 200, response.read()
            lines = (line for line in response.iter_lines() if line.startswith("data: "))
            events += [json.loads(line.removeprefix("data: ")) for line in lines]
        return Answer(events)

    def chat(self, *said: dict[str, Any]) -> list[Any]:
        """The chunks of a streaming answer, over OpenAI's protocol."""
        with openai.OpenAI(base_url=f"{self.url}/openai/v1", api_key="none", timeout=PATIENCE) as client:
            messages: Any = list(said)
            return list(client.chat.completions.create(model="agent", messages=messages, stream=True))


@dataclass(frozen=True)
class Answer:
    """A stream of the Agent API that kept its grammar: numbers without gaps, one beginning, one end."""

    events: list[dict[str, Any]]
    messages: list[tuple[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        assert [event["sequence_number"] for event in self.events] == list(range(len(self.events)))
        states = [event["status"] for event in self.events if event["object"] == "response"]
        assert states in (["created", "in_progress", "completed"], ["created", "in_progress", "failed"]), states
        assert self.events[-1]["object"] == "response"
        done = [event for event in self.events if event["object"] == "message" and event["status"] == "completed"]
        object.__setattr__(self, "messages", [(message["type"], _said(message)) for message in done])

    @property
    def error(self) -> Any:
        """What went wrong, None when nothing did."""
        return self.events[-1]["error"]

    @property
    def deltas(self) -> list[str]:
        """The pieces of text as they came."""
        return [event["text"] for event in self.events if event["object"] == "content" and event["delta"]]

    @property
    def text(self) -> str:
        """All that was said in words."""
        return "\n".join(said for kind, said in self.messages if kind == "message")


def _message(said: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(said, dict):
        return said
    return {"role": "user", "content": [{"type": "text", "text": said}]}


def _said(message: dict[str, Any]) -> Any:
    contents = message["content"]
    if message["type"].startswith("plugin_call"):
        (content,) = contents
        return content["data"]
    return "".join(content.get("text") or f"<{content['type']}>" for content in contents)


def body(kind: str, **data: Any) -> dict[str, Any]:
    """A message with a call or its output."""
    role = "tool" if kind.endswith("_output") else "assistant"
    return {"role": role, "type": kind, "content": [{"type": "data", "data": data}]}


BEFORE: list[dict[str, Any] | str] = [
    "Look up bob",
    body("plugin_call", call_id="c1", name="look_up", arguments='{"word": "bob"}'),
    body("plugin_call_output", call_id="c1", name="look_up", output='[{"type": "text", "text": "a name"}]'),
    {"role": "assistant", "content": [{"type": "text", "text": "A name."}]},
]
"""A conversation so far, with a call."""


def check_called(answer: Answer, result: str = "a language") -> None:
    """The answer to "Look up ada": words, a call, its result, and words again."""
    assert answer.error is None
    kinds = [kind for kind, _ in answer.messages if kind != "reasoning"]
    assert kinds in (
        ["message", "plugin_call", "plugin_call_output", "message"],
        ["plugin_call", "plugin_call_output", "message"],
    ), answer.messages
    said = dict(answer.messages)
    assert said["message"] == f"It says: {result}."
    call, output = said["plugin_call"], said["plugin_call_output"]
    assert call["name"] == "look_up"
    assert json.loads(call["arguments"]) == {"word": "ada"}
    assert output["call_id"] == call["call_id"]
    assert result in output["output"]
    assert len(answer.deltas) > 1


RECALLED = "I recall: user=Look up bob, call=look_up, tool=a name, assistant=A name."
"""What the model says to "Recall" when it was told all of `BEFORE`."""


def check_chat(served: Served) -> None:
    """The same over OpenAI's protocol: the call by its pieces, words, and one end."""
    chunks = served.chat({"role": "user", "content": "Look up ada"})
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert [call.function.name for call in calls if call.function.name] == ["look_up"]
    assert json.loads("".join(call.function.arguments or "" for call in calls)) == {"word": "ada"}
    assert "".join(delta.content or "" for delta in deltas).endswith("It says: a language.")
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
