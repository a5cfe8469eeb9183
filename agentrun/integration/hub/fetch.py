"""Pages and files of the web, read with care: only what is public, only so much of it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from contextlib import aclosing
from typing import Annotated, Any, Literal
from urllib.parse import urljoin, urlsplit

from pydantic import Field

from agentrun._core.api import USER_AGENT, error_of
from agentrun._core.public_network import public_session
from agentrun._core.session import ByteStream, Request, Session, Timeouts
from agentrun.errors import InvalidInputError, ToolError
from agentrun.integration._function import of_both_modes
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.hub._markdown import markdown, title

MOST_BYTES = 2_000_000
MOST_CHARACTERS = 20_000
MOST_REDIRECTS = 5
SECONDS = 30.0
_TEXT = ("text/", "application/json", "application/xml", "application/javascript", "application/yaml")
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_MOVED = (301, 302, 303, 307, 308)


def toolset(
    *,
    allowed_hosts: Collection[str] = (),
    most_bytes: int = MOST_BYTES,
    timeout: float = SECONDS,
    user_agent: str = USER_AGENT,
) -> CommonToolSet:
    """One tool, `fetch`, that reads a page or a text of the web.

    It reaches only addresses of the public internet, checked where the connection is made, and the hosts in
    `allowed_hosts`, wherever they are. At most `most_bytes` of an answer are read.
    """
    reader = _Reader(public_session(frozenset(allowed_hosts)), most_bytes, timeout, user_agent)

    async def fetch(
        url: str,
        format: Literal["markdown", "text", "raw"] = "markdown",
        start: Annotated[int, Field(ge=0)] = 0,
        length: Annotated[int, Field(ge=1, le=200_000)] = MOST_CHARACTERS,
    ) -> dict[str, Any]:
        """Read a page or a text file of the web.

        Args:
            url: Its address, beginning with http:// or https://.
            format: Pages as markdown, as plain text, or raw as they were sent.
            start: The character to begin with, to go on reading a long page.
            length: How many characters to read at most.
        """
        page = await reader.read(url)
        text = _as(format, page)
        rest = len(text) - start - length
        return {
            "url": page["url"],
            "title": page["title"],
            "content_type": page["content_type"],
            "content": text[start : start + length],
            "next_start": start + length if rest > 0 else None,
            "cut": page["cut"],
        }

    return CommonToolSet([of_both_modes(fetch)])


def _as(format: str, page: dict[str, Any]) -> str:
    text: str = page["text"]
    if format == "raw" or not page["is_html"]:
        return text
    written = markdown(text, page["url"])
    return written if format == "markdown" else re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", written)


class _Reader:
    """Follows an address to its end, checking every step."""

    def __init__(self, session: Session, most_bytes: int, timeout: float, user_agent: str) -> None:
        self._session = session
        self._most_bytes = most_bytes
        self._timeouts = Timeouts(timeout, min(timeout, 10.0), timeout)
        self._headers = {"user-agent": user_agent, "accept": "text/html,text/*;q=0.9,application/json;q=0.9,*/*;q=0.1"}

    async def read(self, url: str) -> dict[str, Any]:
        """The text at an address; raises InvalidInputError, ToolError, and the error that an answer means."""
        for _ in range(MOST_REDIRECTS + 1):
            request = Request("GET", _checked(url), dict(self._headers), timeouts=self._timeouts, retries=1)
            stream = await self._session.open(request)
            try:
                if stream.status not in _MOVED or "location" not in stream.headers:
                    return await self._page(url, stream)
            finally:
                await stream.close()
            url = urljoin(url, stream.headers["location"])
        raise ToolError(f"{url} was redirected more than {MOST_REDIRECTS} times", tool="fetch")

    async def _page(self, url: str, stream: ByteStream) -> dict[str, Any]:
        if stream.status >= 400:
            raise error_of(stream.status, stream.headers, (await self._body(stream))[0])
        content_type = stream.headers.get("content-type", "text/plain")
        if not _is_text(content_type):
            raise ToolError(f"{url} is {content_type}, and no text", tool="fetch", hint="Only text can be read")
        body, is_cut = await self._body(stream)
        text = _decoded(body, content_type)
        is_html = "html" in content_type
        return {
            "url": url,
            "title": title(text) if is_html else None,
            "content_type": content_type,
            "text": text,
            "is_html": is_html,
            "cut": is_cut,
        }

    async def _body(self, stream: ByteStream) -> tuple[bytes, bool]:
        read = bytearray()
        pieces: Any = aiter(stream)
        async with aclosing(pieces):
            async for piece in pieces:
                read += piece
                if len(read) > self._most_bytes:
                    return bytes(read[: self._most_bytes]), True
        return bytes(read), False


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInputError(
            f"{url!r:.200} is no address that can be fetched", field="url", hint="It begins with http:// or https://"
        )
    if parts.username or parts.password:
        raise InvalidInputError("an address with a user or password is not fetched", field="url")
    return url.partition("#")[0]


def _is_text(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith(_TEXT) or kind.endswith(("+xml", "+json"))


def _decoded(body: bytes, content_type: str) -> str:
    named = _CHARSET.search(content_type) or _CHARSET.search(body[:2048].decode("ascii", "replace"))
    try:
        return body.decode(codecs.lookup(named[1] if named else "utf-8").name, "replace")
    except LookupError:
        return body.decode("utf-8", "replace")
