"""Providers of web search: what each is asked, by which key, and what becomes of its answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from agentrun.errors import AuthenticationError, ConfigError, InvalidResponseError, RateLimitError
from agentrun.integration import hub
from agentrun.integration.hub.web_search import Bing, Brave, SearchProvider, SearXNG, Tavily
from agentrun.integration.utils import Tool
from tests.unit.modes import both_modes, drive
from tests.unit.servers import Received, answer, serving

KEY = "canary-5b1e"
FOUND = [{"title": "Cats", "url": "https://cats", "snippet": "They purr."}]
PROVIDERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "searxng": (SearXNG, {"results": [{"title": "Cats", "url": "https://cats", "content": "They purr."}] * 3}),
    "tavily": (Tavily, {"results": [{"title": "Cats", "url": "https://cats", "content": "They purr.", "score": 1}]}),
    "brave": (Brave, {"web": {"results": [{"title": "Cats", "url": "https://cats", "description": "They purr."}]}}),
    "bing": (Bing, {"webPages": {"value": [{"name": "Cats", "url": "https://cats", "snippet": "They purr."}]}}),
}
WITH_KEYS = {"tavily": "TAVILY_API_KEY", "brave": "BRAVE_API_KEY", "bing": "BING_API_KEY"}


def provider(name: str, url: str, key: str | None = KEY) -> SearchProvider:
    kind = PROVIDERS[name][0]
    made: SearchProvider = kind(url) if name == "searxng" else kind(key, base_url=url)
    return made


def searching(name: str, url: str, key: str | None = KEY) -> Tool:
    return hub.get("web_search", provider=provider(name, url, key)).tools()[0]


def asked(request: Received) -> tuple[str, str, dict[str, str]]:
    parts = urlsplit(request.path)
    return request.method, parts.path, dict(parse_qsl(parts.query))


@both_modes
@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_is_asked_as_it_wants_and_answers_alike(mode: str, name: str) -> None:
    with serving(answer(PROVIDERS[name][1])) as server:
        assert drive(mode, searching(name, server.url).call_async(query="cats & co", count=1)) == FOUND
        request = server.requests[0]
    expected: dict[str, tuple[str, str, dict[str, str]]] = {
        "searxng": ("GET", "/search", {"q": "cats & co", "format": "json"}),
        "tavily": ("POST", "/search", {}),
        "brave": ("GET", "/res/v1/web/search", {"q": "cats & co", "count": "1"}),
        "bing": ("GET", "/v7.0/search", {"q": "cats & co", "count": "1"}),
    }
    assert asked(request) == expected[name]
    keys = {
        "tavily": ("authorization", f"Bearer {KEY}"),
        "brave": ("x-subscription-token", KEY),
        "bing": ("ocp-apim-subscription-key", KEY),
    }
    if name in keys:
        header, value = keys[name]
        assert request.headers[header] == value
    if name == "tavily":
        assert request.body == b'{"query": "cats & co", "max_results": 1}'


@pytest.mark.parametrize("name", ["brave", "bing"])
def test_an_answer_without_pages_found_none(name: str) -> None:
    with serving(answer({})) as server:
        assert searching(name, server.url)(query="x") == []


@pytest.mark.parametrize("name", WITH_KEYS)
def test_keys_come_from_the_environment_or_are_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WITH_KEYS[name], raising=False)
    with serving(answer(PROVIDERS[name][1])) as server:
        outcome = searching(name, server.url, None).outcome({"query": "x"})
        assert isinstance(outcome.error, ConfigError)
        assert WITH_KEYS[name] in outcome.text
        monkeypatch.setenv(WITH_KEYS[name], KEY)
        assert searching(name, server.url, None)(query="x") == FOUND


@pytest.mark.parametrize("name", WITH_KEYS)
def test_a_refused_key_is_an_error_that_does_not_show_it(name: str) -> None:
    with serving(answer({"message": "no"}, 401), answer({}, 429, {"retry-after": "3"})) as server:
        tool = searching(name, server.url)
        refused, limited = tool.outcome({"query": "x"}), tool.outcome({"query": "x"})
    assert isinstance(refused.error, AuthenticationError)
    assert isinstance(limited.error, RateLimitError)
    assert KEY not in refused.text + repr(vars(refused.error)) + repr(tool) + repr(vars(provider(name, "http://x")))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"results": 3}'])
def test_an_answer_that_is_none_is_an_error(body: bytes) -> None:
    with serving(answer(body)) as server:
        assert isinstance(searching("searxng", server.url).outcome({"query": "x"}).error, InvalidResponseError)
