"""Search of the web, by whichever provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol, cast

from pydantic import Field

from agentrun.config import Config
from agentrun.errors import InvalidInputError, InvalidResponseError
from agentrun.integration._function import of_both_modes
from agentrun.integration._toolset import CommonToolSet
from agentrun.integration.hub._keys import Key
from agentrun.integration.hub._service import Service

MOST_RESULTS = 20


class SearchResult(NamedTuple):
    """A page that was found."""

    title: str
    url: str
    snippet: str


class SearchProvider(Protocol):
    """Something that searches the web; write one for a provider that is not here."""

    async def search(self, query: str, count: int) -> Sequence[SearchResult]:
        """The pages that fit best, best first, at most `count` of them."""
        ...


def _results(answer: Any, names: tuple[str, str, str], count: int) -> list[SearchResult]:
    """The results of an answer; `names` are what the provider calls title, address and text."""
    if not isinstance(answer, list):
        raise InvalidResponseError("the search answered without a list of results")
    found = cast("list[Mapping[str, Any]]", answer)
    return [SearchResult(*(str(each.get(name) or "") for name in names)) for each in found[:count]]


def _within(answer: Mapping[str, Any], part: str, name: str) -> Any:
    """The list in a part of an answer, which is left away when nothing was found."""
    found: Mapping[str, Any] = answer.get(part) or {}
    return found.get(name, [])


class SearXNG:
    """A SearXNG server, which must allow the format json; it needs no key."""

    def __init__(self, base_url: str, *, timeout: float = 30.0) -> None:
        self._service = Service(base_url, timeout=timeout)

    async def search(self, query: str, count: int) -> Sequence[SearchResult]:
        """The pages that fit best."""
        answer = await self._service.call("GET", "/search", query={"q": query, "format": "json"})
        return _results(answer.get("results"), ("title", "url", "content"), count)


class Tavily:
    """Tavily; its key is given, in the Credential that is named, or in TAVILY_API_KEY."""

    def __init__(
        self,
        api_key: str | None = None,
        *,
        credential_name: str | None = None,
        base_url: str = "https://api.tavily.com",
        config: Config | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._key = Key("Tavily", "TAVILY_API_KEY", api_key, credential_name, config)
        self._service = Service(base_url, timeout=timeout)

    async def search(self, query: str, count: int) -> Sequence[SearchResult]:
        """The pages that fit best."""
        headers = {"authorization": f"Bearer {await self._key.get()}"}
        body = {"query": query, "max_results": count}
        answer = await self._service.call("POST", "/search", body=body, headers=headers)
        return _results(answer.get("results"), ("title", "url", "content"), count)


class Brave:
    """Brave Search; its key is given, in the Credential that is named, or in BRAVE_API_KEY."""

    def __init__(
        self,
        api_key: str | None = None,
        *,
        credential_name: str | None = None,
        base_url: str = "https://api.search.brave.com",
        config: Config | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._key = Key("Brave Search", "BRAVE_API_KEY", api_key, credential_name, config)
        self._service = Service(base_url, timeout=timeout)

    async def search(self, query: str, count: int) -> Sequence[SearchResult]:
        """The pages that fit best."""
        headers = {"x-subscription-token": await self._key.get()}
        asked = {"q": query, "count": count}
        answer = await self._service.call("GET", "/res/v1/web/search", query=asked, headers=headers)
        return _results(_within(answer, "web", "results"), ("title", "url", "description"), count)


class Bing:
    """A service with the interface of Bing Web Search v7; its key is given, in a Credential, or in BING_API_KEY."""

    def __init__(
        self,
        api_key: str | None = None,
        *,
        credential_name: str | None = None,
        base_url: str = "https://api.bing.microsoft.com",
        config: Config | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._key = Key("Bing", "BING_API_KEY", api_key, credential_name, config)
        self._service = Service(base_url, timeout=timeout)

    async def search(self, query: str, count: int) -> Sequence[SearchResult]:
        """The pages that fit best."""
        headers = {"ocp-apim-subscription-key": await self._key.get()}
        asked = {"q": query, "count": count}
        answer = await self._service.call("GET", "/v7.0/search", query=asked, headers=headers)
        return _results(_within(answer, "webPages", "value"), ("name", "url", "snippet"), count)


def toolset(provider: SearchProvider | None = None) -> CommonToolSet:
    """One tool, `web_search`, that asks a provider: SearXNG, Tavily, Brave, Bing, or one of your own."""
    if provider is None:
        raise InvalidInputError(
            "a web search needs a provider",
            field="provider",
            hint='For example hub.get("web_search", provider=SearXNG("http://127.0.0.1:8080")); '
            "the providers are in agentrun.integration.hub.web_search",
        )

    async def web_search(query: str, count: Annotated[int, Field(ge=1, le=MOST_RESULTS)] = 10) -> list[dict[str, str]]:
        """Search the web; each result has a title, an address and a snippet.

        Args:
            query: What to search for.
            count: How many results are wanted at most.
        """
        return [result._asdict() for result in await provider.search(query, count)]

    return CommonToolSet([of_both_modes(web_search)])
