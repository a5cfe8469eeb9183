"""The page with keys alone, for those who listen, in other languages, at night and on a phone."""

from __future__ import annotations

from playwright.async_api import expect

from tests.unit.server.page.browsing import BROWSING, PAGE, Agent, Browsers, Gate, event

pytestmark = BROWSING
# What has the focus, and whether that is seen; of a message it is its box that shows it.
FOCUSED = """() => {
  const focused = document.activeElement;
  const box = focused.matches("textarea") ? focused.closest("form") : null;
  const { borderColor, outlineStyle } = getComputedStyle(box ?? focused);
  const seen = box ? borderColor !== "rgb(229, 226, 219)" : outlineStyle !== "none";
  return [focused.ariaLabel || focused.labels?.[0]?.textContent || focused.textContent.trim(), seen];
}"""

NAMELESS = """() => [...document.querySelectorAll("button, a, input, select, textarea, summary")]
  .filter((each) => each.checkVisibility() && !(each.ariaLabel || each.textContent.trim() || each.labels?.length))
  .map((each) => each.outerHTML)"""
TWICE = """() => {
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  return ids.filter((id, index) => ids.indexOf(id) !== index);
}"""


async def test_roles_and_names(browsers: Browsers) -> None:
    async with browsers.talking(Agent(event("TOOL_CALL", id="a", name="add", args="{}"), "Yes")) as chat:
        await chat.ask_and_wait()
        page = chat.page
        await expect(page.get_by_role("main")).to_be_visible()
        await expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Agent")
        await expect(page.get_by_role("combobox", name="Protocol")).to_be_visible()
        assert await page.evaluate(NAMELESS) == []
        assert await page.evaluate(TWICE) == []


async def test_who_listens_hears_the_answer_once_and_no_pieces_of_it(browsers: Browsers) -> None:
    gate = Gate()
    async with browsers.talking(Agent("One. ", "Two. ", gate, "Three.")) as chat:
        announcer = chat.page.get_by_role("status")
        await expect(announcer).to_have_attribute("aria-live", "polite")
        await chat.ask()
        await expect(chat.answer).to_contain_text("Two.")
        await expect(announcer).to_have_text("The agent is working")
        gate.open()
        await expect(announcer).to_have_text("The agent answered: One. Two. Three.")
        live = await chat.answer.evaluate("e => e.closest('[aria-live], [role=log]') === null")
        assert live


async def test_keys(browsers: Browsers) -> None:
    agent = Agent("ok")
    async with browsers.talking(agent) as chat:
        await expect(chat.field).to_be_focused()
        await chat.field.press_sequentially("one")
        await chat.field.press("Shift+Enter")
        await chat.field.press_sequentially("two")
        await chat.field.press("Enter")
        await chat.end()
        await expect(chat.field).to_be_focused()
        await expect(chat.field).to_have_value("")
        # Enter of an input method chooses a word, and sends nothing.
        await chat.field.fill("你")
        await chat.field.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True})
        await expect(chat.field).to_have_value("你")
        await chat.field.fill("   ")
        await chat.field.press("Enter")
    assert [request.messages[-1].text for request in agent.asked] == ["one\ntwo"]


async def test_the_order_of_tabs(browsers: Browsers) -> None:
    async with browsers.talking(Agent("ok")) as chat:
        await chat.ask_and_wait("first")
        await chat.page.get_by_role("button", name="New conversation").focus()
        names: list[str] = []
        for _ in range(12):
            await chat.page.keyboard.press("Tab")
            name, is_marked = await chat.page.evaluate(FOCUSED)
            assert is_marked, name
            names.append(name)
        assert names == [
            "first",
            "Rename “first”",
            "Delete “first”",
            "Hide conversations",
            "Protocol",
            "Raw events and trace",
            "Settings",
            "Copy the answer",
            "Ask again",
            "Attach files",
            "Message",
            "Send",
        ]


async def test_chinese_by_browser_and_by_choice(browsers: Browsers) -> None:
    async with browsers.talking(Agent("好"), locale="zh-CN") as chat:
        html = chat.page.locator("html")
        await expect(html).to_have_attribute("lang", "zh-CN")
        field = chat.page.get_by_role("textbox", name="消息")
        await field.fill("你好")
        await field.press("Enter")
        await expect(chat.page.get_by_role("article", name="智能体")).to_contain_text("好")
        await chat.page.get_by_role("button", name="设置").click()
        await chat.page.get_by_label("语言").select_option("English")
        await expect(chat.page.get_by_role("heading", name="Settings")).to_be_visible()
        await chat.page.keyboard.press("Escape")
        await expect(chat.answer).to_contain_text("好")
        await chat.reload()
        await expect(html).to_have_attribute("lang", "en")


async def test_light_and_dark(browsers: Browsers) -> None:
    dark, light = "rgb(22, 24, 28)", "rgb(255, 255, 255)"
    async with browsers.talking(Agent("ok"), color_scheme="dark") as chat:
        body = chat.page.locator("body")
        await expect(body).to_have_css("background-color", dark)
        await chat.page.emulate_media(color_scheme="light")
        await expect(body).to_have_css("background-color", light)
        await chat.page.get_by_role("button", name="Settings").click()
        await chat.page.get_by_label("Appearance").select_option("Dark")
        await expect(body).to_have_css("background-color", dark)
        await chat.reload()
        await expect(body).to_have_css("background-color", dark)


async def test_on_a_phone(browsers: Browsers) -> None:
    options = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
    text = (
        "# T\n\n" + "| a | b | c |\n|---|---|---|\n| " + "wide " * 20 + "| x | y |\n\n```\n" + "long" * 60 + "\n```\n"
    )
    async with browsers.talking(Agent(text), config=PAGE, **options) as chat:
        await expect(chat.page.get_by_role("navigation")).to_be_hidden()
        await chat.ask_and_wait("first" * 40)
        assert await chat.page.evaluate("() => document.documentElement.scrollWidth") == 360
        await chat.page.get_by_role("button", name="Show conversations").tap()
        await expect(chat.page.get_by_role("navigation")).to_be_visible()
        await chat.page.keyboard.press("Escape")
        await expect(chat.page.get_by_role("navigation")).to_be_hidden()
        await chat.page.get_by_role("button", name="Raw events").tap()
        await expect(chat.page.get_by_role("complementary")).to_be_visible()
        await chat.page.get_by_role("complementary").get_by_role("button", name="Close").tap()
        await expect(chat.page.get_by_role("complementary")).to_be_hidden()


async def test_who_reads_further_up_is_left_there(browsers: Browsers) -> None:
    gate = Gate()
    lines = "\n\n".join(f"line {number}" for number in range(80))
    async with browsers.talking(Agent(lines, gate, "\n\n" + lines)) as chat:
        transcript = chat.page.get_by_role("main")
        await chat.ask()
        await expect(chat.answer.get_by_text("line 79")).to_be_in_viewport()
        await transcript.evaluate("e => { e.scrollTop = 0; }")
        end = chat.page.get_by_role("button", name="To the end")
        await expect(end).to_be_visible()
        gate.open()
        await chat.end()
        assert await transcript.evaluate("e => e.scrollTop") == 0
        await end.click()
        await expect(chat.answer.get_by_text("line 79").last).to_be_in_viewport()
        await expect(end).to_be_hidden()
