"""The page in a real browser, and what it may do there: it says nothing to anybody but its own server."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from playwright.async_api import Browser, Locator, Page, Request, async_playwright, expect

from agentrun.server import AgentEvent, AgentRequest, EventType, ServerConfig
from tests.unit.server.serving import PATIENCE, Served, serving

T = TypeVar("T", bound=Callable[..., Any])

CHROMIUM = os.environ.get("AGENTRUN_TEST_CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# An image of one pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
# One worker has the browser, and one loop of events.
BROWSING = [
    pytest.mark.xdist_group("page"),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason=f"there is no {CHROMIUM}"),
]


def in_a_browser(test: T) -> T:
    """Marks one test, where not all of a file need a browser."""
    for mark in BROWSING:
        test = mark(test)
    return test


PROTOCOLS = {"agent_api": "Agent API", "ag_ui": "AG-UI", "chat": "OpenAI Chat", "responses": "OpenAI Responses"}
# Pictures cost time, and those of moving things never end.
SMALL: dict[str, Any] = {"locale": "en-US", "viewport": {"width": 900, "height": 600}, "reduced_motion": "reduce"}
PAGE = ServerConfig(web_ui=True)
expect.set_options(timeout=20_000)


def event(kind: str, **data: Any) -> AgentEvent:
    return AgentEvent(event=EventType(kind), data=data)


class Agent:
    """Answers with these, raises errors among them, and waits at an `asyncio.Event` until a test sets it."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.asked: list[AgentRequest] = []
        self.ended: list[str] = []

    async def __call__(self, request: AgentRequest) -> AsyncIterator[Any]:
        self.asked.append(request)
        try:
            for item in self.items:
                if isinstance(item, Gate):
                    await item.wait()
                elif isinstance(item, Exception):
                    raise item
                else:
                    yield item
                    await asyncio.sleep(0)
            self.ended.append("whole")
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise


class Gate:
    """Something that an agent waits for, in another thread than the test."""

    def __init__(self) -> None:
        self.is_open = False

    def open(self) -> None:
        self.is_open = True

    async def wait(self) -> None:
        while not self.is_open:  # noqa: ASYNC110  # Who opens it is in another thread.
            await asyncio.sleep(0.002)


async def until(true: Callable[[], Any]) -> None:
    """Wait for something that happens in the thread of a server."""
    ends = asyncio.get_running_loop().time() + PATIENCE
    while not true():
        assert asyncio.get_running_loop().time() < ends, "it did not come about"
        await asyncio.sleep(0.005)


class Chat:
    """The page as somebody uses it."""

    def __init__(self, page: Page, watch: Watch) -> None:
        self.page = page
        self.watch = watch
        self.field = page.get_by_role("textbox", name="Message")
        self.answers = page.get_by_role("article", name="Agent")
        self.questions = page.get_by_role("article", name="You")
        self.stop = page.get_by_role("button", name="Stop")

    @property
    def answer(self) -> Locator:
        """The last one."""
        return self.answers.last

    async def ask(self, text: str = "hi") -> None:
        await self.field.fill(text)
        await self.field.press("Enter")

    async def ask_and_wait(self, text: str = "hi") -> None:
        await self.ask(text)
        await self.end()

    async def end(self) -> None:
        """Wait for the end of the answer."""
        await expect(self.page.locator(".message.last[aria-busy=false]")).to_be_visible()

    async def begin(self, protocol: str) -> None:
        """Another conversation, in this protocol."""
        await self.page.get_by_role("button", name="New conversation", exact=True).click()
        await self.page.get_by_label("Protocol").select_option(PROTOCOLS[protocol])

    async def reload(self) -> None:
        await self.page.reload()
        await expect(self.field).to_be_visible()


class Watch:
    """What a page asked for, and what it complained about."""

    def __init__(self, page: Page, root: str) -> None:
        self.foreign: list[str] = []
        self.complaints: list[str] = []
        self.answers: list[str] = []
        self._root = root
        page.on("request", self._see)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._hear(message.type, message.text))

    def _see(self, request: Request) -> None:
        if not request.url.startswith((f"{self._root}/", "data:")):
            self.foreign.append(request.url)

    def _hear(self, kind: str, text: str) -> None:
        # What a server refuses is told twice, here and by the page itself.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.complaints.append(text)


class Browsers:
    """Opens pages in one browser, each with a memory of its own."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @asynccontextmanager
    async def at(self, root: str, path: str = "/", **options: Any) -> AsyncGenerator[Chat, None]:
        """The page of a server, which at the end has kept to it and had nothing to complain about."""
        context = await self._browser.new_context(**{**SMALL, **options})
        try:
            page = await context.new_page()
            watch = Watch(page, root)
            await page.goto(root + path)
            yield Chat(page, watch)
            assert (watch.foreign, watch.complaints) == ([], [])
        finally:
            await context.close()

    @asynccontextmanager
    async def talking(self, handler: Any, config: ServerConfig = PAGE, **options: Any) -> AsyncGenerator[Chat, None]:
        """The page of a server for this agent."""
        with serving(handler, config) as served:
            async with self.at(served.root, **options) as chat:
                yield chat


@asynccontextmanager
async def launched() -> AsyncGenerator[Browsers, None]:
    """A browser, until the end of the block."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield Browsers(browser)
        finally:
            await browser.close()


__all__ = ["BROWSING", "PAGE", "PROTOCOLS", "Agent", "Browsers", "Chat", "Gate", "Served", "event", "launched", "until"]
