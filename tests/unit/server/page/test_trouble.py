"""What goes wrong is told in words, with a way on."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from agentrun.server import AgentApp, ServerConfig
from agentrun.server.page import PageProtocol, PageSettings, routes
from tests.gateway.serving import LOOPS, on_port
from tests.unit.server.page.browsing import BROWSING, PAGE, PROTOCOLS, Agent, Browsers, Gate, until
from tests.unit.server.page.wire import wired
from tests.unit.server.serving import serving

pytestmark = BROWSING


async def test_an_error_of_the_agent_and_a_retry(browsers: Browsers) -> None:
    agent = Agent()
    async with browsers.talking(agent) as chat:
        for protocol in PROTOCOLS:
            agent.items = ("I try", ValueError("no such table"))
            await chat.begin(protocol)
            await chat.ask_and_wait()
            alert = chat.answer.get_by_role("alert")
            await expect(alert).to_contain_text("The agent failed.")
            await expect(alert).to_contain_text("no such table")
            await expect(chat.answer).to_contain_text("I try")
            agent.items = ("It works",)
            await alert.get_by_role("button", name="Try again").click()
            await expect(chat.answer.locator(".text")).to_have_text("It works")
            await expect(chat.page.get_by_role("alert")).to_have_count(0)


async def test_an_agent_that_interrupts_itself(browsers: Browsers) -> None:
    async with browsers.talking(Agent({"event": "ERROR", "data": {"message": "x", "code": "CancelledError"}})) as chat:
        for protocol in ("agent_api", "ag_ui"):
            await chat.begin(protocol)
            await chat.ask_and_wait()
            await expect(chat.answer).to_contain_text("The agent was interrupted")


async def test_a_key(browsers: Browsers) -> None:
    config = ServerConfig(web_ui=True, api_keys=[SecretStr("secret-of-the-server")])
    async with browsers.talking(Agent("Welcome"), config, path="/chat") as chat:
        await chat.ask_and_wait()
        await expect(chat.answer.get_by_role("alert")).to_contain_text("The server wants an access key.")
        await chat.page.get_by_role("button", name="Settings").click()
        await chat.page.get_by_label("Access key").fill("secret-of-the-server")
        await chat.page.keyboard.press("Escape")
        await chat.answer.get_by_role("button", name="Try again").click()
        await expect(chat.answer.locator(".text")).to_have_text("Welcome")
        kept = await chat.page.context.storage_state()
        assert "secret-of-the-server" not in str(kept)


async def test_a_question_while_the_server_is_away_is_asked_when_it_is_back(browsers: Browsers) -> None:
    agent = Agent("Here I am")
    with serving(agent, PAGE) as served, wired(served.port) as wire:
        async with browsers.at(wire.root) as chat:
            wire.cut()
            await chat.ask("Are you there?")
            await expect(chat.answer.get_by_role("alert")).to_contain_text("The server cannot be reached.")
            await expect(chat.answer).to_contain_text("Waiting for the server")
            wire.mend()
            await expect(chat.answer.locator(".text")).to_have_text("Here I am")
            await expect(chat.answers).to_have_count(1)
    assert [request.messages[-1].text for request in agent.asked] == ["Are you there?"]


async def test_an_answer_that_breaks_off_is_kept_and_not_asked_for_twice(browsers: Browsers) -> None:
    agent = Agent("The first half", Gate())
    with serving(agent, PAGE) as served, wired(served.port) as wire:
        async with browsers.at(wire.root) as chat:
            await chat.ask()
            await expect(chat.answer).to_contain_text("The first half")
            wire.cut()
            await expect(chat.answer.get_by_role("alert")).to_contain_text("The connection broke")
            wire.mend()
            await expect(chat.answer).not_to_contain_text("Waiting for the server")
            await expect(chat.answer).to_contain_text("The first half")
            await until(lambda: agent.ended)
            assert (len(agent.asked), agent.ended) == (1, ["cancelled"])
            agent.items = ("Both halves",)
            await chat.answer.get_by_role("button", name="Try again").click()
            await expect(chat.answer.locator(".text")).to_have_text("Both halves")


def resumable(agent: Agent) -> Any:
    app = AgentApp(config=PAGE, resume_seconds=30.0)

    def query(msgs: Any, request: Any) -> Any:
        return agent(request)

    app.query()(query)
    return app


async def test_an_answer_that_breaks_off_goes_on_where_the_server_kept_it(browsers: Browsers) -> None:
    gate = Gate()
    agent = Agent("The first half", gate, ", the second half")
    with on_port(resumable(agent), LOOPS["uvloop"]) as port, wired(port) as wire:
        async with browsers.at(wire.root) as chat:
            await chat.ask()
            await expect(chat.answer).to_contain_text("The first half")
            wire.cut()
            await expect(chat.answer).to_contain_text("Waiting for the server")
            gate.open()
            await until(lambda: agent.ended)
            wire.mend()
            await chat.end()
            await expect(chat.answer.locator(".text")).to_have_text("The first half, the second half")
            await expect(chat.answer.get_by_role("alert")).to_have_count(0)
    assert agent.ended == ["whole"]


async def test_stop_reaches_an_agent_whose_stream_could_go_on(browsers: Browsers) -> None:
    agent = Agent("I will go on for ever", Gate())
    with on_port(resumable(agent), LOOPS["uvloop"]) as port:
        async with browsers.at(f"http://127.0.0.1:{port}") as chat:
            await chat.ask()
            await expect(chat.answer).to_contain_text("for ever")
            await chat.field.press("Escape")
            await expect(chat.answer).to_contain_text("Stopped")
            await until(lambda: agent.ended)
    assert agent.ended == ["cancelled"]


@pytest.mark.parametrize("again", ["ask", "stop"])
async def test_nobody_has_to_wait_for_a_server(browsers: Browsers, again: str) -> None:
    agent = Agent("There")
    with serving(agent, PAGE) as served, wired(served.port) as wire:
        async with browsers.at(wire.root) as chat:
            wire.cut()
            await chat.ask("first")
            await expect(chat.answer).to_contain_text("Waiting for the server")
            if again == "stop":
                await chat.field.press("Escape")
                await expect(chat.answer).not_to_contain_text("Waiting for the server")
            wire.mend()
            await chat.ask_and_wait("second")
            await expect(chat.answer.locator(".text")).to_have_text("There")


async def test_no_protocol_that_the_page_speaks(browsers: Browsers) -> None:
    names = ("agent_api", "openai", "responses", "a2a", "agui", "mcp")
    config = ServerConfig.model_validate({"web_ui": True, **{name: {"enable": False} for name in names}})
    async with browsers.talking(Agent(), config) as chat:
        await chat.ask()
        await expect(chat.page.get_by_role("alert")).to_contain_text("no protocol that this page speaks")


PROXIES = {
    502: "The server failed.",
    504: "The server failed.",
    503: "The server has too much to do at the moment.",
    413: "The message is too long for the server.",
    404: "The server has nothing at this address.",
    200: "The server has nothing at this address.",
}


async def test_what_proxies_answer_is_told_and_not_asked_again(browsers: Browsers) -> None:
    answers = list(PROXIES)

    async def refuse(_: Request) -> HTMLResponse:
        return HTMLResponse("<h1>Something in between</h1>", answers.pop(0))

    page = routes(PageSettings("Agent", [PageProtocol("agent_api", "/process")]))
    app = Starlette(routes=[*page, Route("/process", refuse, methods=["POST"])])
    with on_port(app, LOOPS["uvloop"]) as port:
        async with browsers.at(f"http://127.0.0.1:{port}") as chat:
            for number, words in enumerate(PROXIES.values(), start=1):
                await chat.begin("agent_api")
                await chat.ask_and_wait()
                await expect(chat.answer.get_by_role("alert")).to_contain_text(words)
                await expect(chat.answer.get_by_role("alert")).to_contain_text("<h1>Something in between</h1>")
                await expect(chat.answer).not_to_contain_text("Waiting for the server")
                assert len(answers) == len(PROXIES) - number
