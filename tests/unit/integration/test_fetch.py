"""Reading the web: pages as Markdown, limits, and no way into what is not public."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from agentrun._core.public_network import is_public
from agentrun.errors import AgentRunError, ClientError, ConnectError, InvalidInputError, ToolError
from agentrun.integration import hub
from agentrun.integration.hub._markdown import markdown
from agentrun.integration.utils import Tool
from tests.unit.modes import both_modes, drive
from tests.unit.servers import Behaviour, Server, answer, serving

PAGE = b"""<!doctype html><html><head><title> A  page </title><style>p{}</style></head><body>
<nav>Menu</nav><h1>Cats &amp; dogs</h1><p>They <b>live</b> with <a href="/people?x=1">people</a>.</p>
<ul><li>one</li><li>two<ol><li>deep</li></ol></li></ul><pre>a  =  1
b</pre><p>Use <code>purr()</code><br>often</p><img src="c.png" alt="A cat">
<table><thead><tr><th>who</th><th>what</th></tr></thead><tbody><tr><td>cat</td><td>purr</td></tr></tbody></table>
<script>alert("x")</script></body></html>"""


def html(body: bytes, **headers: str) -> Behaviour:
    return answer(body, headers={"content-type": "text/html; charset=utf-8", **headers})


def moved(to: str, status: int = 302) -> Behaviour:
    return answer(b"", status, {"location": to})


def fetching(**options: Any) -> Tool:
    return hub.get("fetch", allowed_hosts=["127.0.0.1"], timeout=20, **options).tools()[0]


@both_modes
def test_a_page_is_read_as_markdown(mode: str) -> None:
    with serving(html(PAGE)) as server:
        base = server.url
        found = drive(mode, fetching().call_async(url=f"{base}/a/b"))
    assert found["title"] == "A page"
    assert found["next_start"] is None
    assert found["content"] == (
        f"# Cats & dogs\n\nThey **live** with [people]({base}/people?x=1).\n\n- one\n- two\n  1. deep\n\n"
        f"```\na  =  1\nb\n```\n\nUse `purr()`\noften\n\n![A cat]({base}/a/c.png)\n\n"
        "| who | what |\n| --- | --- |\n| cat | purr |"
    )
    assert server.requests[0].method == "GET"
    assert server.requests[0].path == "/a/b"


def test_pages_are_read_as_text_and_raw_and_piece_by_piece() -> None:
    with serving(html(b"<p>Go to <a href='/x'>there</a> now</p>")) as server:
        tool = fetching()
        assert tool(url=server.url, format="text")["content"] == "Go to there now"
        assert tool(url=server.url, format="raw")["content"].startswith("<p>")
        first = tool(url=server.url, format="text", length=5)
        assert (first["content"], first["next_start"]) == ("Go to", 5)
        assert tool(url=server.url, format="text", start=5, length=50)["content"] == " there now"


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("grüße".encode("latin-1"), "text/plain; charset=iso-8859-1", "grüße"),
        ('<meta charset="gb2312">你好'.encode("gb2312"), "text/html", "你好"),
        (b"{}", "application/problem+json", "{}"),
        (b"a\xff", "text/plain; charset=nonsense", "a\ufffd"),
    ],
)
def test_texts_are_read_in_their_encoding(body: bytes, kind: str, text: str) -> None:
    with serving(answer(body, headers={"content-type": kind})) as server:
        assert fetching()(url=server.url)["content"] == text


@both_modes
def test_no_more_is_read_than_allowed(mode: str) -> None:
    bomb = gzip.compress(b"a" * 20_000_000)
    for body in (
        answer(b"a" * 5000, headers={"content-type": "text/plain"}),
        html(bomb, **{"content-encoding": "gzip"}),
    ):
        with serving(body) as server:
            found = drive(mode, fetching(most_bytes=1000).call_async(url=server.url))
        assert (len(found["content"]), found["cut"]) == (1000, True)


def test_what_is_no_text_is_refused() -> None:
    with serving(answer(b"\x89PNG", headers={"content-type": "image/png"})) as server:
        error = fetching().outcome({"url": server.url}).error
    assert isinstance(error, ToolError)
    assert "image/png" in error.message


def test_an_error_of_the_server_is_one() -> None:
    with serving(answer(b"gone", 404)) as server:
        error = fetching().outcome({"url": server.url}).error
    assert isinstance(error, ClientError)
    assert (error.status_code, error.message) == (404, "gone")


def test_redirects_are_followed_for_a_while() -> None:
    with serving(moved("/b"), moved("c", 307), html(b"<p>here</p>")) as server:
        found = fetching()(url=f"{server.url}/a")
        assert (found["content"], found["url"]) == ("here", f"{server.url}/c")
    with serving(moved("/again")) as server:
        assert "more than 5 times" in fetching().outcome({"url": server.url}).text
    assert len(server.requests) == 6


# What is not public

INSIDE = (
    *("http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/", "http://2130706433:{port}/"),
    *("http://0.0.0.0:{port}/", "http://[::ffff:127.0.0.1]:{port}/", "http://0x7f000001:{port}/"),
    *("http://169.254.169.254/latest/meta-data", "http://100.100.100.200/", "http://10.0.0.1/", "http://[fe80::1]/"),
)


def is_refused(error: Exception | None) -> bool:
    return isinstance(error, ConnectError) and "public internet" in error.message


@both_modes
@pytest.mark.parametrize("url", INSIDE)
def test_what_is_not_public_is_not_reached(mode: str, url: str) -> None:
    with serving(html(b"secret")) as server:
        port = server.url.rpartition(":")[2]
        tool = hub.get("fetch", timeout=20).tools()[0]
        assert is_refused(drive(mode, tool.outcome_async({"url": url.format(port=port)})).error)
    assert server.accepted == 0


@both_modes
def test_a_redirect_leads_to_nothing_that_is_not_public(mode: str) -> None:
    with serving(html(b"secret")) as inner, serving(moved(inner.url.replace("127.0.0.1", "localhost"))) as outer:
        assert is_refused(drive(mode, fetching().outcome_async({"url": outer.url})).error)
        assert reached(outer, inner) == (1, 0)


def reached(*servers: Server) -> tuple[int, ...]:
    return tuple(server.accepted for server in servers)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x", "nonsense", "http://", "http://u:p@example.com/"])
def test_only_addresses_of_the_web_are_read(url: str) -> None:
    error = fetching().outcome({"url": url}).error
    assert isinstance(error, InvalidInputError)
    assert error.field == "url"


def test_a_redirect_out_of_the_web_is_refused() -> None:
    with serving(moved("file:///etc/passwd")) as server:
        assert isinstance(fetching().outcome({"url": server.url}).error, InvalidInputError)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *[(address, True) for address in ("8.8.8.8", "2001:4860:4860::8888")],
        *[(address, False) for address in ("192.168.1.1", "172.16.0.1", "100.64.0.1", "224.0.0.1", "240.0.0.1")],
        *[(address, False) for address in ("::", "fc00::1", "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1%eth0")],
    ],
)
def test_addresses_are_public_or_not(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "page", ["<p>a<b>b", "</div></ul></pre></a>x", "<a><a><a>", "<" * 1000, "<li>alone</li>", "<script>never closed"]
)
def test_broken_pages_are_read_as_far_as_they_go(page: str) -> None:
    assert isinstance(markdown(page), str)


def test_no_error_of_another_library_gets_out() -> None:
    with serving(html(b"not gzip", **{"content-encoding": "gzip"})) as server:
        assert isinstance(fetching().outcome({"url": server.url}).error, AgentRunError)
