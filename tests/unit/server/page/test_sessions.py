"""Conversations, which the browser keeps."""

from __future__ import annotations

import json
from typing import Any

from playwright.async_api import Locator, expect

from tests.unit.server.page.browsing import BROWSING, Agent, Browsers, Chat, event

pytestmark = BROWSING
PLACE = "agentrun.session."


def conversations(chat: Chat) -> Locator:
    return chat.page.get_by_role("navigation").get_by_role("listitem")


async def kept(chat: Chat) -> dict[str, str]:
    """What is in the browser's storage."""
    state = await chat.page.context.storage_state()
    return {entry["name"]: entry["value"] for origin in state.get("origins", []) for entry in origin["localStorage"]}


async def test_a_conversation_survives_a_reload(browsers: Browsers) -> None:
    items = (
        event("REASONING", delta="hm"),
        event("TOOL_CALL", id="a", name="add", args='{"x": 1}'),
        event("TOOL_RESULT", id="a", result="42"),
        "It is **42**",
        event("USAGE", input_tokens=3, output_tokens=5),
    )
    async with browsers.talking(Agent(*items)) as chat:
        await chat.ask_and_wait("What is it?")
        before = await chat.page.locator("#transcript").inner_text()
        await chat.reload()
        await expect(chat.questions).to_have_text("What is it?")
        await expect(chat.answer.locator("strong")).to_have_text("42")
        assert await chat.page.locator("#transcript").inner_text() == before
        await expect(chat.page).to_have_title("What is it? · Agent")
        await chat.ask_and_wait("And now?")
        await expect(chat.answers).to_have_count(2)


async def test_list_new_rename_delete(browsers: Browsers) -> None:
    async with browsers.talking(Agent("ok")) as chat:
        await chat.ask_and_wait("first")
        await chat.begin("ag_ui")
        await chat.ask_and_wait("second")
        await expect(conversations(chat)).to_have_text(["second", "first"])
        current = chat.page.get_by_role("button", name="second", exact=True)
        await expect(current).to_have_attribute("aria-current", "page")

        await chat.page.get_by_role("button", name="first", exact=True).press("F2")
        field = chat.page.get_by_role("textbox", name="Rename")
        await field.fill("The <b>first</b>")
        await field.press("Enter")
        await expect(conversations(chat)).to_have_text(["second", "The <b>first</b>"])
        await expect(chat.page.get_by_role("button", name="The <b>first</b>", exact=True)).to_be_focused()

        await current.press("Delete")
        await expect(chat.page.get_by_role("button", name="Cancel")).to_be_focused()
        await chat.page.keyboard.press("Escape")
        await expect(conversations(chat)).to_have_count(2)
        await current.hover()
        await chat.page.get_by_role("button", name="Delete “second”").click()
        await chat.page.get_by_role("button", name="Delete", exact=True).click()
        await expect(conversations(chat)).to_have_text(["The <b>first</b>"])
        await expect(chat.answers).to_have_count(0)

        await chat.reload()
        await expect(conversations(chat)).to_have_text(["The <b>first</b>"])
        assert len([name for name in await kept(chat) if name.startswith(PLACE)]) == 1


def session(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"old-{number}", "title": f"old {number}", "messages": [], **more}


async def fill(chat: Chat, sessions: list[dict[str, Any]]) -> None:
    """Leaves conversations in the browser, the first of them the latest."""
    await chat.page.context.add_init_script(f"""
        if (!localStorage.getItem("agentrun.sessions")) {{
          const sessions = {json.dumps(sessions)};
          const listed = sessions.map(({{ id, title }}, index) => ({{ id, title, at: 1000 - index }}));
          localStorage.setItem("agentrun.sessions", JSON.stringify(listed));
          for (const each of sessions) localStorage.setItem("agentrun.session." + each.id, JSON.stringify(each));
        }}
    """)
    await chat.page.context.clear_cookies()
    await chat.reload()


async def test_the_oldest_are_forgotten(browsers: Browsers) -> None:
    async with browsers.talking(Agent("ok")) as chat:
        await fill(chat, [session(number) for number in range(100)])
        await expect(conversations(chat)).to_have_count(100)
        await chat.ask_and_wait("the newest")
        await expect(conversations(chat)).to_have_count(100)
        await expect(conversations(chat).first).to_have_text("the newest")
        await expect(conversations(chat).last).to_have_text("old 98")
        assert len([name for name in await kept(chat) if name.startswith(PLACE)]) == 100


async def test_large_ones_make_room(browsers: Browsers) -> None:
    large = [session(number, messages=[], filler="x" * 1_300_000) for number in range(3)]
    async with browsers.talking(Agent("y" * 900_000)) as chat:
        await fill(chat, large)
        await chat.ask_and_wait("the newest")
        await expect(conversations(chat)).to_have_text(["the newest", "old 0", "old 1"])
        assert sum(len(value) for value in (await kept(chat)).values()) <= 4_010_000
        await chat.reload()
        await expect(chat.answer).to_contain_text("yyyy")


async def test_a_place_of_nothing_is_a_new_conversation(browsers: Browsers) -> None:
    async with browsers.talking(Agent("ok"), path="/chat#nobody-has-this") as chat:
        await expect(chat.page.get_by_role("heading", name="What can I do for you?")).to_be_visible()
        await chat.ask_and_wait()
        await expect(conversations(chat)).to_have_count(1)
