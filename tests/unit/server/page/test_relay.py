"""The page of an agent that is elsewhere, served on this machine: what `agentrun chat --page` is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import httpx
import pytest
from playwright.async_api import expect
from pydantic import SecretStr

from agentrun.cli.chatting.served import ServedAgent
from agentrun.server import ServerConfig
from agentrun.server.page.relay import relay
from tests.gateway.serving import LOOPS, on_port, plain_client, wait_until
from tests.unit.server.page.browsing import PROTOCOLS, Agent, Browsers, Gate, in_a_browser, until
from tests.unit.server.page.test_trouble import resumable
from tests.unit.server.page.wire import wired
from tests.unit.server.serving import answers, serving

KEY = "secret-of-the-server"


@contextmanager
def relaying(url: str, key: str | None = None) -> Generator[str, None, None]:
    """The address of a page for the agent at this one."""
    agent = ServedAgent(url, key)
    app = relay(url, agent.protocols(), "Far away", "It helps", key, agent.traces_path)
    with on_port(app, LOOPS["uvloop"]) as port:
        yield f"http://127.0.0.1:{port}"


@in_a_browser
async def test_talking_and_stopping(browsers: Browsers) -> None:
    agent = Agent()
    with serving(agent, ServerConfig(api_keys=[SecretStr(KEY)])) as served, relaying(served.root, KEY) as root:
        async with browsers.at(root) as chat:
            await expect(chat.page.get_by_role("heading", level=1)).to_have_text("Far away")
            await expect(chat.page.get_by_text("It helps")).to_be_visible()
            for protocol in PROTOCOLS:
                gate = Gate()
                agent.items = ("Hel", gate, "lo", Gate())
                agent.ended.clear()
                await chat.begin(protocol)
                await chat.ask()
                await expect(chat.answer.locator(".text")).to_have_text("Hel")
                gate.open()
                await expect(chat.answer.locator(".text")).to_have_text("Hello")
                await chat.stop.click()
                await until(lambda: agent.ended)
                assert agent.ended == ["cancelled"]
            assert KEY not in await chat.page.content()


@in_a_browser
async def test_an_agent_that_is_away(browsers: Browsers) -> None:
    agent = Agent("Here I am")
    with serving(agent) as served, wired(served.port) as wire, relaying(wire.root) as root:
        async with browsers.at(root) as chat:
            wire.cut()
            await chat.ask()
            await expect(chat.answer.get_by_role("alert")).to_contain_text("The server cannot be reached.")
            wire.mend()
            await expect(chat.answer.locator(".text")).to_have_text("Here I am")


@in_a_browser
async def test_an_answer_that_breaks_off_goes_on(browsers: Browsers) -> None:
    gate = Gate()
    agent = Agent("The first half", gate, ", the second half")
    with on_port(resumable(agent), LOOPS["uvloop"]) as port, wired(port) as wire, relaying(wire.root) as root:
        async with browsers.at(root) as chat:
            await chat.ask()
            await expect(chat.answer).to_contain_text("The first half")
            wire.cut()
            await expect(chat.answer).to_contain_text("Waiting for the server")
            gate.open()
            await until(lambda: agent.ended)
            wire.mend()
            await chat.end()
            await expect(chat.answer.locator(".text")).to_have_text("The first half, the second half")
    assert len(agent.asked) == 1


def test_only_its_own_pages_may_use_it() -> None:
    agent = Agent("ok")
    asked = {"messages": [{"role": "user", "content": "hi"}]}
    with serving(agent) as served, relaying(served.root) as root, plain_client() as http:

        def ask(**headers: str) -> httpx.Response:
            return http.post(f"{root}/openai/v1/chat/completions", json=asked, headers=headers)

        assert ask().status_code == 200
        assert ask(origin=root).status_code == 200
        assert ask(origin="https://elsewhere.test").status_code == 403
        assert ask(origin="null").status_code == 403
        assert ask(host="elsewhere.test:80").status_code == 403
        assert http.get(f"{root}/chat", headers={"host": "elsewhere.test"}).status_code == 403
        # It is no way to everything else that the server has.
        assert http.post(f"{root}/shutdown").status_code in (404, 405)
        assert http.get(f"{root}/openai/v1/models").status_code in (404, 405)
    assert len(agent.asked) == 2


def test_an_agent_that_breaks_off() -> None:
    agent = Agent("half", Gate())
    with serving(agent) as served, wired(served.port) as wire, relaying(wire.root) as root, plain_client() as http:
        body = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
        with http.stream("POST", f"{root}/openai/v1/chat/completions", json=body) as answer:
            pieces = answer.iter_bytes()
            assert b"half" in next(pieces)
            wire.cut()
            with pytest.raises(httpx.RemoteProtocolError):
                list(pieces)


def test_the_command() -> None:
    with serving(Agent("ok")) as served:
        command = [sys.executable, "-m", "agentrun", "chat", served.root, "--page", "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
        try:
            assert process.stdout is not None
            (url,) = re.findall(r"is at (http://127\.0\.0\.1:\d+/chat)", process.stdout.readline())
            with plain_client() as http:
                wait_until(lambda: answers(http, url))
        finally:
            process.send_signal(signal.SIGINT)
            _, _ = process.communicate(timeout=30)
    assert process.returncode == 0
