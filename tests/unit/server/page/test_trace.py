"""What the page shows of the traces that the server keeps."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from agentrun.cli.chatting.served import ServedAgent
from tests.gateway.serving import plain_client
from tests.unit.server.page.browsing import PAGE, PROTOCOLS, Agent, Browsers, Chat, Gate, in_a_browser
from tests.unit.server.page.test_relay import relaying
from tests.unit.server.programs import Program, program
from tests.unit.server.serving import serving

OFF = "To keep traces, start the server with AGENTRUN_TRACES=1, or give the agent ServerConfig(traces=True)."
RUN, TOOL = "invoke_agent guide", "execute_tool look"
# Where each bar begins and ends, as a share of the common scale.
BARS = """(bars) => bars.map((bar) => {
  const [{ left, right }, scale] = [bar.getBoundingClientRect(), bar.parentElement.getBoundingClientRect()];
  return [(left - scale.left) / scale.width, (right - scale.left) / scale.width];
})"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    file = tmp_path_factory.mktemp("traces") / "traces.db"
    with program(file, "page", OTEL_EXPORTER_OTLP_ENDPOINT="") as found:
        yield found


def names(chat: Chat) -> Locator:
    return chat.page.locator(".span-name")


def panel(chat: Chat) -> Locator:
    return chat.page.get_by_role("tabpanel", name="Trace")


async def open_trace(page: Page) -> None:
    await page.get_by_role("button", name="Raw events and trace").click()
    await page.get_by_role("tab", name="Trace").click()


@in_a_browser
async def test_the_tree_of_a_run(browsers: Browsers, served: Program) -> None:
    async with browsers.at(served.url) as chat:
        await open_trace(chat.page)
        await expect(panel(chat)).to_contain_text("What the agent does for an answer appears here.")
        for protocol in PROTOCOLS:
            await chat.begin(protocol)
            await chat.ask_and_wait(f"by {protocol}")
            await expect(panel(chat).get_by_role("heading")).to_have_text(f"Trace of the answer to “by {protocol}”")
            await expect(names(chat)).to_have_text([RUN, TOOL])
            # The tool is below its run.
            run = panel(chat).get_by_role("list", name="Steps").locator("> li")
            await expect(run).to_have_count(1)
            await expect(run.locator("> ul > li .span-name")).to_have_text(TOOL)
            await expect(run.locator(".span-time").first).to_have_text(re.compile(r"^[\d.]+ m?s$"))
            await expect(run.locator(".span-tokens")).to_have_text("3 / 5 tokens")
            await expect(panel(chat)).to_contain_text("completed · ")
            (begins, ends), (tool_begins, tool_ends) = await panel(chat).locator(".span-bar").evaluate_all(BARS)
            assert (round(begins, 2), round(ends, 2)) == (0, 1)
            assert 0 <= tool_begins < tool_ends < 1.001
    # It is the one that the page chose, and so was found without looking through others.
    trace = served.store.runs(1)[0].trace_id
    assert {span.trace_id for span in served.store.find(trace)} == {trace}


@in_a_browser
async def test_a_step_that_is_opened_tells_all_of_itself(browsers: Browsers, served: Program) -> None:
    async with browsers.at(served.url) as chat:
        await chat.ask_and_wait()
        await open_trace(chat.page)
        await names(chat).nth(1).click()
        facts = panel(chat).locator(".span-facts")
        await expect(facts).to_contain_text("gen_ai.tool.call.id")
        await expect(facts).to_contain_text("c1")


@in_a_browser
async def test_a_run_that_failed_and_another_that_is_chosen(browsers: Browsers, served: Program) -> None:
    async with browsers.at(served.url) as chat:
        await chat.begin("chat")
        await chat.ask_and_wait("first")
        await open_trace(chat.page)
        await expect(names(chat)).to_have_text([RUN, TOOL])
        await chat.ask_and_wait("fail")
        await expect(names(chat)).to_have_text([RUN])
        await expect(panel(chat).locator(".span-trouble")).to_have_text("failed: ValueError: it cannot be done")
        await chat.answers.first.get_by_role("button", name="Show the trace").click()
        await expect(panel(chat)).to_contain_text("“first”")
        await expect(names(chat)).to_have_text([RUN, TOOL])
        await expect(chat.page.get_by_role("tab", name="Trace")).to_be_focused()
        # A conversation that is opened again later has its traces too.
        await chat.reload()
        await open_trace(chat.page)
        await expect(panel(chat).locator(".span-trouble")).to_contain_text("it cannot be done")


@in_a_browser
async def test_in_chinese_on_a_phone(browsers: Browsers, served: Program) -> None:
    phone: dict[str, Any] = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
    async with browsers.at(served.url, locale="zh-CN", **phone) as chat:
        await chat.page.get_by_role("textbox", name="消息").fill("你好")
        await chat.page.get_by_role("button", name="发送").tap()
        await chat.page.get_by_role("button", name="查看追踪").tap()
        await expect(names(chat)).to_have_text([RUN, TOOL])
        await expect(chat.page.get_by_role("tabpanel", name="追踪")).to_contain_text("已完成")
        assert await chat.page.evaluate("() => document.documentElement.scrollWidth") == 360


@in_a_browser
async def test_without_traces_it_says_how_to_get_them(browsers: Browsers) -> None:
    gate = Gate()
    agent = Agent("ok", gate)
    async with browsers.talking(agent, PAGE) as chat:
        await open_trace(chat.page)
        await expect(panel(chat)).to_have_text(OFF)
        await chat.ask()
        await expect(panel(chat)).to_have_text(OFF)
        gate.open()
        await chat.end()
        await expect(panel(chat)).to_have_text(OFF)
        await expect(chat.answer.get_by_role("button", name="Show the trace")).to_have_count(0)
    (request,) = agent.asked
    assert request.raw_request
    # Nobody keeps the span of the page, so none is named where the page does not look for it.
    assert "traceparent" not in request.raw_request.headers


@in_a_browser
async def test_tabs_by_keys(browsers: Browsers) -> None:
    async with browsers.talking(Agent("ok")) as chat:
        page = chat.page
        events, trace = page.get_by_role("tab", name="Raw events"), page.get_by_role("tab", name="Trace")
        await page.get_by_role("button", name="Raw events and trace").click()
        await expect(events).to_have_attribute("aria-selected", "true")
        await events.focus()
        for key, chosen, other in (
            ("ArrowRight", trace, events),
            ("ArrowRight", events, trace),
            ("ArrowLeft", trace, events),
            ("Home", events, trace),
            ("End", trace, events),
        ):
            await page.keyboard.press(key)
            await expect(chosen).to_be_focused()
            await expect(chosen).to_have_attribute("aria-selected", "true")
            await expect(other).to_have_attribute("tabindex", "-1")
        await expect(page.get_by_role("tabpanel")).to_have_count(1)
        await page.keyboard.press("Tab")  # The buttons: one closes.
        await expect(page.get_by_role("complementary").get_by_role("button", name="Close")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(panel(chat)).to_be_focused()


@in_a_browser
async def test_a_server_with_keys(browsers: Browsers, tmp_path: Path) -> None:
    with program(tmp_path / "traces.db", "key", "page", OTEL_EXPORTER_OTLP_ENDPOINT="") as served:
        async with browsers.at(served.url, "/chat") as chat:
            await chat.page.get_by_role("button", name="Settings").click()
            await chat.page.get_by_label("Access key").fill("a-key")
            await chat.page.keyboard.press("Escape")
            await chat.ask_and_wait()
            await open_trace(chat.page)
            await expect(names(chat)).to_have_text([RUN, TOOL])


@in_a_browser
async def test_who_comes_from_another_machine_is_told_why_there_is_nothing(browsers: Browsers, served: Program) -> None:
    async with browsers.at(served.url, extra_http_headers={"x-forwarded-for": "10.0.0.1"}) as chat:
        await chat.ask_and_wait()
        await open_trace(chat.page)
        await expect(panel(chat)).to_have_text(re.compile("on its own machine alone, or with api_keys"))


@in_a_browser
async def test_an_answer_that_was_stopped(browsers: Browsers, served: Program) -> None:
    async with browsers.at(served.url) as chat:
        await open_trace(chat.page)
        await chat.ask("stay")
        await expect(chat.answer).to_contain_text("the answer")
        await expect(panel(chat)).to_have_text("The trace appears when the answer ends.")
        await chat.stop.click()
        await expect(names(chat)).to_have_text([RUN, TOOL])
        await expect(panel(chat).locator(".span-trouble")).to_have_text("cancelled")


# The page for an agent that is elsewhere


@in_a_browser
async def test_an_agent_elsewhere_that_keeps_traces(browsers: Browsers, served: Program) -> None:
    with relaying(served.url) as root:
        async with browsers.at(root) as chat:
            for protocol in PROTOCOLS:
                await chat.begin(protocol)
                await chat.ask_and_wait()
                await chat.answer.get_by_role("button", name="Show the trace").click()
                await expect(names(chat)).to_have_text([RUN, TOOL])


@in_a_browser
async def test_an_agent_elsewhere_that_keeps_none(browsers: Browsers) -> None:
    with serving(Agent("ok")) as served, relaying(served.root) as root:
        async with browsers.at(root) as chat:
            await chat.ask_and_wait()
            await open_trace(chat.page)
            await expect(panel(chat)).to_have_text(OFF)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://elsewhere.test"}, 403),
        ({"host": "elsewhere.test"}, 403),
    ],
)
def test_the_relay_shows_traces_to_its_own_page_alone(served: Program, headers: dict[str, str], status: int) -> None:
    served.ask()
    (run, *_) = served.kept(1)
    with relaying(served.url) as root, plain_client() as http:
        assert http.get(f"{root}/_agentrun/traces/{run.trace_id}", headers=headers).status_code == status
        assert http.get(f"{root}/_agentrun/traces").status_code == 404


@pytest.mark.parametrize(
    ("path", "before"),
    [
        ("", ""),
        ("/process", ""),
        ("/openai/v1", ""),
        ("/v1/chat/completions", ""),
        ("/compatible-mode/v1/", ""),
        ("/below", "/below"),
        ("/below/ag-ui/agent", "/below"),
    ],
)
def test_where_an_agent_has_its_traces(path: str, before: str) -> None:
    assert ServedAgent(f"http://127.0.0.1:1{path}").traces_path == f"{before}/_agentrun/traces"
