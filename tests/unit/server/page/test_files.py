"""Files that go to an agent."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, expect

from agentrun.server import ServerConfig
from tests.unit.server.page.browsing import BROWSING, PIXEL, PROTOCOLS, Agent, Browsers

pytestmark = BROWSING
IMAGE = FilePayload(name="pixel.png", mimeType="image/png", buffer=base64.b64decode(PIXEL))
NOTES = FilePayload(name="notes.csv", mimeType="text/csv", buffer=b"a,b\n1,2\n")
SOUND = FilePayload(name="beep.wav", mimeType="audio/wav", buffer=b"RIFF....WAVE")
IMAGE_URL = f"data:image/png;base64,{PIXEL}"


async def test_files_reach_the_agent(browsers: Browsers) -> None:
    agent = Agent("I see")
    async with browsers.talking(agent) as chat:
        for protocol in PROTOCOLS:
            await chat.begin(protocol)
            await chat.page.locator("input[type=file]").set_input_files([IMAGE, NOTES, SOUND])
            await expect(chat.page.locator(".chip")).to_have_text(["pixel.png", "notes.csv", "beep.wav"])
            await chat.page.get_by_role("button", name="Remove beep.wav").click()
            await expect(chat.field).to_be_focused()
            await chat.ask_and_wait("What is this?")
            await expect(chat.questions.get_by_role("img", name="pixel.png")).to_have_js_property("naturalWidth", 1)
            await expect(chat.questions).to_contain_text("notes.csv")
            await expect(chat.page.locator(".chip")).to_have_count(0)
    for request in agent.asked:
        parts = request.messages[-1].content
        assert isinstance(parts, list)
        image, file, text = parts
        assert image == {"type": "image_url", "image_url": {"url": IMAGE_URL}}
        assert text == {"type": "text", "text": "What is this?"}
        assert base64.b64encode(b"a,b\n1,2\n").decode() in str(file)
        assert "notes.csv" in str(file)


async def test_sound_reaches_the_agent(browsers: Browsers) -> None:
    agent = Agent("I hear")
    async with browsers.talking(agent) as chat:
        for protocol in ("agent_api", "chat"):
            await chat.begin(protocol)
            await chat.page.locator("input[type=file]").set_input_files([SOUND])
            await expect(chat.page.locator(".chip")).to_have_text(["beep.wav"])
            await chat.field.press("Enter")
            await chat.end()
    expected = {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode(b"RIFF....WAVE").decode(), "format": "wav"},
    }
    assert [request.messages[-1].content for request in agent.asked] == [[expected]] * 2


async def test_more_than_a_message_may_have_is_refused(browsers: Browsers, tmp_path: Path) -> None:
    agent = Agent("ok")
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * (3 * 2**20))
    async with browsers.talking(agent, ServerConfig(web_ui=True, max_body_bytes=3 * 2**20)) as chat:
        await chat.page.locator("input[type=file]").set_input_files([large])
        await expect(chat.page.get_by_role("alert")).to_have_text(
            "large.bin is too large: a message may have 2 MB of files."
        )
        await expect(chat.page.locator(".chip")).to_have_count(0)
        large.write_bytes(b"x" * (2 * 2**20))
        await chat.page.locator("input[type=file]").set_input_files([large])
        await expect(chat.page.locator(".chip")).to_have_text(["large.bin"])
        await chat.ask_and_wait()
        await expect(chat.answer.locator(".text")).to_have_text("ok")


@pytest.mark.parametrize("how", ["paste", "drop"])
async def test_paste_and_drop(browsers: Browsers, how: str) -> None:
    agent = Agent("I see")
    async with browsers.talking(agent) as chat:
        await chat.field.evaluate(
            """(field, how) => {
              const data = new DataTransfer();
              data.items.add(new File(["a,b"], "table.csv", { type: "text/csv" }));
              const options = { bubbles: true, cancelable: true };
              const event = how === "paste"
                ? new ClipboardEvent("paste", { ...options, clipboardData: data })
                : new DragEvent("drop", { ...options, dataTransfer: data });
              field.dispatchEvent(event);
            }""",
            how,
        )
        await expect(chat.page.locator(".chip")).to_have_text(["table.csv"])
        await chat.ask_and_wait()
    assert "table.csv" in str(agent.asked[0].messages[-1].content)


async def test_large_files_are_not_kept_but_their_names_are(browsers: Browsers, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * (2 * 2**20))
    async with browsers.talking(Agent("ok")) as chat:
        await chat.page.locator("input[type=file]").set_input_files([large])
        await expect(chat.page.locator(".chip")).to_have_count(1)
        await chat.ask_and_wait("Look")
        await chat.reload()
        await expect(chat.questions).to_contain_text("large.bin (not kept)")
        await expect(chat.answer.locator(".text")).to_have_text("ok")
