"""Questions and answers, in every protocol."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.unit.server.page.browsing import BROWSING, PIXEL, PROTOCOLS, Agent, Browsers, Gate, event, until

pytestmark = BROWSING
CALL: list[Any] = [
    event("TOOL_CALL_CHUNK", id="a", name="add", args_delta='{"x":'),
    event("TOOL_CALL_CHUNK", id="a", args_delta=" 41}"),
]
IMAGE = f"data:image/png;base64,{PIXEL}"


async def test_text_streams(browsers: Browsers) -> None:
    agent = Agent()
    async with browsers.talking(agent) as chat:
        for protocol, label in PROTOCOLS.items():
            gate = Gate()
            agent.items = ("Hel", gate, "lo **you**")
            await chat.begin(protocol)
            await chat.ask("Who is there?")
            await expect(chat.answer).to_contain_text("Hel")
            await expect(chat.answer).to_have_attribute("aria-busy", "true")
            gate.open()
            await chat.end()
            await expect(chat.answer.locator(".text")).to_have_text("Hello you")
            await expect(chat.answer.get_by_text("you", exact=True)).to_have_js_property("tagName", "STRONG")
            await expect(chat.answer).to_contain_text(f"{label} · ")
            await expect(chat.questions).to_have_text("Who is there?")
    assert [request.messages[-1].text for request in agent.asked] == ["Who is there?"] * 4
    assert [request.protocol for request in agent.asked] == ["agent_api", "agui", "openai", "openai_responses"]


async def test_thoughts_are_folded(browsers: Browsers) -> None:
    async with browsers.talking(Agent(event("REASONING", delta="I weigh it"), "Yes")) as chat:
        for protocol in PROTOCOLS:
            await chat.begin(protocol)
            await chat.ask_and_wait()
            thought = chat.answer.get_by_text("I weigh it")
            await expect(thought).to_be_hidden()
            await chat.answer.get_by_text("Thoughts").click()
            await expect(thought).to_be_visible()
            await expect(chat.answer.locator(".text")).to_have_text("Yes")


async def test_a_call_is_seen_while_it_runs(browsers: Browsers) -> None:
    agent = Agent()
    async with browsers.talking(agent) as chat:
        for protocol in PROTOCOLS:
            gate = Gate()
            agent.items = (*CALL, gate, event("TOOL_RESULT", id="a", result={"sum": 42}), "It is 42")
            await chat.begin(protocol)
            await chat.ask()
            call = chat.answer.locator(".call")
            for seen in ("add", "running", "x: 41"):
                await expect(call).to_contain_text(seen)
            gate.open()
            await chat.end()
            await call.get_by_text("add").click()
            await expect(call.locator("pre").first).to_have_text('{\n  "x": 41\n}')
            if protocol == "chat":  # It has no words for results.
                await expect(call).to_contain_text("no result")
            else:
                await expect(call).to_contain_text("done")
                await expect(call.locator("pre").last).to_have_text('{\n  "sum": 42\n}')
            await expect(chat.answer.locator(".text")).to_have_text("It is 42")


async def test_parallel_calls_of_which_one_fails(browsers: Browsers) -> None:
    agent = Agent(
        event("TOOL_CALL", id="a", name="good", args="{}"),
        event("TOOL_CALL", id="b", name="bad", args="{}"),
        event("TOOL_RESULT", id="b", result="no such thing", is_error=True),
        event("TOOL_RESULT", id="a", result="fine"),
    )
    async with browsers.talking(agent) as chat:
        for protocol in ("agent_api", "ag_ui", "responses"):
            await chat.begin(protocol)
            await chat.ask_and_wait()
            good, bad = chat.answer.locator(".call", has_text="good"), chat.answer.locator(".call", has_text="bad")
            await expect(good).to_contain_text("done")
            await expect(bad).to_contain_text("failed")
            await bad.get_by_text("bad").click()
            await expect(bad.locator("pre").last).to_have_text("no such thing")


async def test_images_that_an_agent_gives(browsers: Browsers) -> None:
    places = (IMAGE, "https://elsewhere.test/secret.png")
    content: list[Any] = [{"type": "image_url", "image_url": {"url": place}} for place in places]
    async with browsers.talking(Agent({"role": "assistant", "content": content})) as chat:
        for protocol in ("agent_api", "ag_ui"):
            await chat.begin(protocol)
            await chat.ask_and_wait()
            await expect(chat.answer.get_by_role("img")).to_have_js_property("naturalWidth", 1)
            # To load it would tell its place who looks at it.
            await expect(chat.answer.get_by_role("link")).to_have_attribute("href", places[1])


async def test_usage_and_no_answer(browsers: Browsers) -> None:
    async with browsers.talking(Agent(event("USAGE", input_tokens=3, output_tokens=5))) as chat:
        for protocol in PROTOCOLS:
            await chat.begin(protocol)
            await chat.ask_and_wait()
            await expect(chat.answer).to_contain_text("3 tokens in, 5 out")
            await expect(chat.answer).to_contain_text("The agent gave no answer.")


@pytest.mark.parametrize("by", ["button", "key"])
async def test_stop_reaches_the_agent(browsers: Browsers, by: str) -> None:
    agent = Agent("I will go on for ever", Gate())
    async with browsers.talking(agent) as chat:
        for protocol in PROTOCOLS:
            await chat.begin(protocol)
            await chat.ask()
            await expect(chat.answer).to_contain_text("for ever")
            await (chat.stop.click() if by == "button" else chat.field.press("Escape"))
            await chat.end()
            await until(lambda: agent.ended)
            await expect(chat.answer).to_contain_text("Stopped")
            await expect(chat.answer).to_contain_text("for ever")
            await expect(chat.field).to_be_focused()
            assert agent.ended == ["cancelled"]
            agent.ended.clear()


async def test_what_is_sent_of_a_conversation(browsers: Browsers) -> None:
    agent = Agent("one")
    async with browsers.talking(agent) as chat:
        for protocol in PROTOCOLS:
            await chat.begin(protocol)
            await chat.ask_and_wait("first")
            await chat.ask_and_wait("second")
    firsts, seconds = agent.asked[::2], agent.asked[1::2]
    assert [request.session_id for request in firsts] == [request.session_id for request in seconds]
    assert len({request.session_id for request in firsts} - {None}) == 4
    # Agents behind the Agent API remember their sessions.
    told = [[message.text for message in request.messages] for request in seconds]
    assert told == [["second"], *[["first", "one", "second"]] * 3]


async def test_calls_are_sent_with_their_results(browsers: Browsers) -> None:
    agent = Agent(*CALL, event("TOOL_RESULT", id="a", result="42"), "It is 42")
    async with browsers.talking(agent) as chat:
        await chat.page.get_by_role("button", name="Settings").click()
        await chat.page.get_by_label("whole conversation").select_option("Always")
        await chat.page.keyboard.press("Escape")
        for protocol in PROTOCOLS:
            await chat.begin("agent_api")
            await chat.ask_and_wait("first")
            await chat.page.get_by_label("Protocol").select_option(PROTOCOLS[protocol])
            await chat.ask_and_wait("second")
            said = agent.asked[-1].messages
            assert [message.role.value for message in said] == ["user", "assistant", "tool", "assistant", "user"]
            calls = [(call.id, call.function) for call in said[1].tool_calls or ()]
            assert calls == [("a", {"name": "add", "arguments": '{"x": 41}'})]
            assert (said[2].tool_call_id, said[2].text, said[3].text) == ("a", "42", "It is 42")


async def test_an_answer_goes_on_while_another_conversation_is_looked_at(browsers: Browsers) -> None:
    gate = Gate()
    async with browsers.talking(Agent("begun ", gate, "and ended")) as chat:
        await chat.ask("first")
        await expect(chat.answer).to_contain_text("begun")
        await chat.begin("agent_api")
        await expect(chat.answers).to_have_count(0)
        gate.open()
        await chat.ask_and_wait("second")
        await chat.page.get_by_role("button", name="first", exact=True).click()
        await expect(chat.answer.locator(".text")).to_have_text("begun and ended")
        await expect(chat.answers).to_have_count(1)


async def test_asking_again_replaces_the_answer(browsers: Browsers) -> None:
    agent = Agent("one")
    async with browsers.talking(agent) as chat:
        await chat.ask_and_wait("same")
        agent.items = ("two",)
        await chat.answer.get_by_role("button", name="Ask again").click()
        await expect(chat.answer.locator(".text")).to_have_text("two")
        await expect(chat.answers).to_have_count(1)
    assert [request.messages[-1].text for request in agent.asked] == ["same", "same"]


async def test_raw_events(browsers: Browsers) -> None:
    async with browsers.talking(Agent("hello")) as chat:
        await chat.begin("ag_ui")
        await chat.page.get_by_role("button", name="Raw events").click()
        await chat.ask_and_wait("question")
        rows = chat.page.locator(".event")
        names = ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED"]
        await expect(rows.locator("b")).to_have_text(["POST /ag-ui/agent", *names])
        await rows.nth(3).get_by_text("TEXT_MESSAGE_CONTENT").click()
        await expect(rows.nth(3).locator("pre")).to_contain_text('"delta": "hello"')
