"""What the page is made of, and how it is served."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import httpx
import pytest

from agentrun.server import AgentApp, AgentRunServer, ServerConfig
from agentrun.server.page.files import page_files
from tests.gateway.serving import LOOPS, on_port, plain_client
from tests.unit.server.page.browsing import PAGE, Agent
from tests.unit.server.serving import Served, serving

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
MOST_BYTES = 300 * 1024


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Agent("ok"), PAGE) as found:
        yield found


def get(served: Served, path: str, **headers: str) -> httpx.Response:
    return served.http.get(f"{served.root}{path}", headers=headers)


def files_of(served: Served) -> list[str]:
    """The paths of what the page asks for."""
    return [f"/{path}" for path in re.findall(r'(?:href|src)="(chat/[^"]+)"', get(served, "/chat").text)]


def test_it_is_small(served: Served) -> None:
    files = page_files()
    assert sum(len(file.compressed) for file in files.by_path.values()) <= MOST_BYTES
    assert all(gzip.decompress(file.compressed) == file.content for file in files.by_path.values())
    # Nothing in it leads elsewhere, but for the names of namespaces.
    for path, file in files.by_path.items():
        places = set(re.findall(rb"https?://[\w.]+", file.content)) - {b"http://www.w3.org"}
        assert not places, path


def test_every_file_is_served_and_kept_for_ever(served: Served) -> None:
    paths = files_of(served)
    assert len(paths) > 20
    for path in paths:
        answer = get(served, path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["x-content-type-options"] == "nosniff"
    plain = get(served, paths[0], **{"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == get(served, paths[0]).content
    # The page itself is asked for each time, so that it names the files that there are.
    assert get(served, "/chat").headers["cache-control"] == "no-cache"


def test_no_other_file_is_served(served: Served) -> None:
    version = page_files().version
    for path in ("nothing.js", "..%2froutes.py", "%2e%2e/routes.py", "index.htm", ""):
        assert get(served, f"/chat/{version}/{path}").status_code == 404
    old = get(served, "/chat/0123456789abcdef/main.js")
    assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache")


def test_browsers_are_led_to_it_and_programs_are_not(served: Served) -> None:
    led = get(served, "/", **BROWSER)
    assert (led.status_code, led.headers["location"], led.headers["vary"]) == (307, "/chat", "accept")
    assert get(served, "/").json()["service"]
    assert get(served, "/", accept="application/json").json()["protocols"]


def test_its_policy(served: Served) -> None:
    policy = get(served, "/chat").headers["content-security-policy"]
    assert "'unsafe" not in policy
    assert {"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))


def test_without_it_there_is_none() -> None:
    with serving(Agent("ok")) as served:
        assert get(served, "/chat").status_code == 404
        assert get(served, "/", **BROWSER).json()["service"]


def test_an_application_tells_its_name() -> None:
    app = AgentApp(app_name='A "friend" <b>', app_description="Helps", config=ServerConfig(web_ui=True))
    app.query()(Agent("ok"))
    app.engine.add_page(app)  # What `run(web_ui=True)` does; once is enough.
    with on_port(app, LOOPS["uvloop"]) as port, plain_client() as http:
        page = http.get(f"http://127.0.0.1:{port}/chat").text
    assert "<title>A &quot;friend&quot; &lt;b&gt;</title>" in page
    assert "Helps" in page
    assert len([route for route in app.routes if getattr(route, "path", "") == "/chat"]) == 1


def test_below_another_application() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = AgentRunServer(Agent("ok"), config=PAGE).as_fastapi_app()
    with on_port(Starlette(routes=[Mount("/below", inner)]), LOOPS["uvloop"]) as port, plain_client() as http:
        root = f"http://127.0.0.1:{port}/below"
        assert http.get(f"{root}/", headers=BROWSER).headers["location"] == "/below/chat"
        page = http.get(f"{root}/chat").text
        (style,) = re.findall(r'href="([^"]+style.css)"', page)
        assert http.get(f"{root}/{style}").status_code == 200
